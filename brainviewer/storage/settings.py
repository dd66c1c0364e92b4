"""What the user chose and wants to find again: theme, conventions, heatmap look, layout of the window."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from brainviewer.storage import folders
from brainviewer.storage.files import put_aside, write_whole


class Settings(BaseModel):
    """User settings; unknown names in the file are ignored, wrong values make the file count as damaged.

    window_state: Qt's own record of the docks, as base64 text. model_of: engine key -> folder of the model used last.
    reader: who corrects masks; written into corrections and their exports.
    cohort: table that models are fine-tuned with.
    """

    model_config = ConfigDict(extra="ignore", validate_assignment=True)

    version: Literal[1] = 1
    theme: Literal["system", "light", "dark"] = "system"
    scheme: Literal["radiology", "neuro"] = "radiology"
    radiological: bool = True
    interpolate: bool = True
    palette: str = "inferno"
    opacity: float = Field(default=0.6, ge=0, le=1)
    threshold: float = Field(default=99.0, ge=50, le=99.99)
    contour: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    engine: str = ""
    model_of: dict[str, str] = Field(default_factory=dict)
    window_geometry: str = ""
    window_state: str = ""
    last_folder: str = ""
    reader: str = "Reader"
    cohort: str = ""


def path() -> Path:
    """The settings file."""
    return folders.settings_dir() / "settings.json"


def load() -> tuple[Settings, str]:
    """The stored settings, or the defaults with a sentence telling why."""
    try:
        return Settings.model_validate_json(path().read_bytes()), ""
    except FileNotFoundError:
        return Settings(), ""
    except OSError as error:
        return Settings(), f"The settings cannot be read ({error.strerror}); the defaults are used."
    except ValidationError:
        aside = put_aside(path())
        return (
            Settings(),
            f"The settings file was damaged; the defaults are used. The old file is kept as {aside.name}.",
        )


def save(settings: Settings) -> None:
    """Store the settings, whole or not at all."""
    write_whole(path(), settings.model_dump_json(indent=1).encode())
