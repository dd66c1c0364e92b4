"""The border: whatever a library raises on a damaged file leaves this room as one BadInput sentence."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from engines import BadInput, KnownError

# Leave room for the viewer itself and for the heatmap of the same size.
SHARE_OF_FREE_MEMORY = 0.7


class NotAnImage(BadInput):
    """A sound file that holds something else than a picture: a report, a segmentation, a plan."""


@contextmanager
def damage_reported(path: Path, part: str) -> Iterator[None]:
    """Turn any foreign exception into BadInput naming the file.

    The library's own text is left out: on damaged headers it quotes values, and those may name the patient.
    """
    try:
        yield
    except KnownError:
        raise
    except RecursionError as error:
        raise BadInput(f"{path.name} is nested too deeply to be a real file.") from error
    except MemoryError as error:
        raise BadInput(f"{path.name} asks for more memory than there is.") from error
    except PermissionError as error:
        raise BadInput(f"{path.name} may not be read.", "Ask its owner for permission.") from error
    except FileNotFoundError as error:
        raise BadInput(f"{path.name} is not there any more.") from error
    except Exception as error:  # noqa: BLE001 - hostile files make pydicom, nibabel and Pillow raise a dozen types
        raise BadInput(f"{path.name} is damaged: its {part} cannot be read ({type(error).__name__}).") from error


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep library warnings and log lines to ourselves: what matters becomes a warning on the series.

    Theirs quote values of the header, and those may name the patient.
    """
    logs = [logging.getLogger(name) for name in ("pydicom", "nibabel.global", "PIL")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


def refuse_if_too_large(voxels: int, what: str) -> None:
    """Raise BadInput before allocating more than this computer has."""
    needed, free = voxels * 4, psutil.virtual_memory().available
    if needed > free * SHARE_OF_FREE_MEMORY:
        raise BadInput(
            f"{what} needs {needed / 1e9:.1f} GB, but only {free / 1e9:.1f} GB of memory are free.",
            "Close other programs, or check whether the file's header is damaged.",
        )
