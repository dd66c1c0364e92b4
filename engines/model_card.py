"""What a model says about itself: where it comes from, what it can do, what it must not be used for."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

SCHEMA_VERSION: Literal[1] = 1
TABLE_HEAD = "| figure | value | 95 % interval | subjects | data |\n|---|---|---|---|---|"


def _plain(value: Any) -> Any:
    # Settings hold tuples and paths; JSON knows neither.
    return json.loads(json.dumps(value, default=str))


def _no_nan(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Plain = Annotated[dict[str, JsonValue], BeforeValidator(_plain)]
Number = Annotated[float | None, BeforeValidator(_no_nan)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$|^$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TrainingData(_Part):
    """One cohort the model learned from.

    digest: of the cohort file and what it names (Cohort.digest). licence: of the data.
    """

    cohort: str
    digest: str
    subjects: int
    licence: str = ""
    note: str = ""


class Metric(_Part):
    """One measured figure, with the data and command that give it again.

    low, high: 95 % bootstrap interval by subject; empty where it has none.
    """

    name: str
    value: Number
    low: Number = None
    high: Number = None
    subjects: int = 0
    data: str = ""
    command: str = ""
    note: str = ""


class StoredFile(_Part):
    """A tensor file of the package and the digest of its bytes; both are filled in when the package is written."""

    file: Literal["weights.safetensors", "calibration.safetensors"]
    sha256: Sha256 = ""


class ModelCard(_Part):
    """The content of model.json.

    engine: key of the engine. parent: digest of the model this one was fine-tuned from. created: ISO date and time.
    settings, preparation: plain values as the engine stored them. seconds: training time.
    digest: identity of the model, over everything above including the digests of both tensor files.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    engine: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    name: Annotated[str, Field(min_length=1, max_length=80)]
    version: Annotated[str, Field(min_length=1, max_length=40)] = "1"
    parent: Sha256 = ""
    created: str = ""
    modality: str = ""
    settings: Plain = Field(default_factory=dict)
    preparation: Plain = Field(default_factory=dict)
    training_data: tuple[TrainingData, ...] = ()
    metrics: tuple[Metric, ...] = ()
    intended_use: str = "Research only; not for diagnosis."
    limits: str = ""
    licence: str = ""
    seconds: float = 0.0
    command: str = ""
    weights: StoredFile = StoredFile(file="weights.safetensors")
    calibration: StoredFile = StoredFile(file="calibration.safetensors")
    digest: Sha256 = ""

    def sealed(self, weights_sha256: str, calibration_sha256: str) -> ModelCard:
        """The same card with the digests of its files and its own."""
        card = self.model_copy(
            update={
                "weights": StoredFile(file="weights.safetensors", sha256=weights_sha256),
                "calibration": StoredFile(file="calibration.safetensors", sha256=calibration_sha256),
            }
        )
        return card.model_copy(update={"digest": card.expected_digest()})

    def expected_digest(self) -> str:
        """The digest the content calls for; another one stored means the card was altered."""
        content = self.model_dump(mode="json", exclude={"digest"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def modality_warning(self, modality: str) -> tuple[str, ...]:
        """What a result must say when the series is not what the model is made for: one sentence or none."""
        if not self.modality or self.modality == modality:
            return ()
        shown = modality or "of unknown contrast"
        return (f"The model is made for {self.modality}, this series is {shown}: its percentiles may not hold.",)

    def readme(self) -> str:
        """The card as a page for people."""
        metrics = "\n".join(_metric_row(metric) for metric in self.metrics)
        data = "\n".join(
            f"- {part.cohort}: {part.subjects} subjects, licence: {part.licence or 'not stated'}. {part.note}".rstrip()
            for part in self.training_data
        )
        table = f"{TABLE_HEAD}\n{metrics}" if metrics else ""
        commands = "\n".join(dict.fromkeys(f"    {line}" for line in [self.command, *_commands(self)] if line))
        parts = [
            f"# {self.name} {self.version}",
            f"A model of the engine `{self.engine}` for {self.modality or 'any'} images. Made {self.created or '-'}.",
            f"**Intended use.** {self.intended_use}",
            f"**Limits.** {self.limits or 'Not stated.'}",
            f"**Licence.** {self.licence or 'Not stated.'}",
            f"## Training data\n\n{data or 'Not stated.'}\n\nTraining took {self.seconds:.0f} s.",
            f"## Figures\n\n{table or 'None measured.'}",
            f"## Commands\n\n{commands}" if commands else "",
            f"Digest `{self.digest}`" + (f", parent `{self.parent}`" if self.parent else ""),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"


def _metric_row(metric: Metric) -> str:
    def show(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    interval = f"{show(metric.low)} to {show(metric.high)}" if metric.low is not None else "-"
    name = f"{metric.name} ({metric.note})" if metric.note else metric.name
    return f"| {name} | {show(metric.value)} | {interval} | {metric.subjects or '-'} | {metric.data or '-'} |"


def _commands(card: ModelCard) -> list[str]:
    return [metric.command for metric in card.metrics]
