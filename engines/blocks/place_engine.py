"""What the engines on features of places share: opening a model, a volume's scores, measuring healthy subjects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from engines import device as devices
from engines import model_package, setting_values
from engines.blocks.place_scores import Heat, PlaceScale, calibrated
from engines.blocks.slab_features import Seen, Slabs
from engines.calibration import Calibration
from engines.contract import Report, silent
from engines.errors import BadInput, BadModel
from engines.files import load_volume
from engines.model_card import ModelCard
from engines.samples import Sample
from engines.volume import Volume

Places = Mapping[str, PlaceScale]
"""What is usual at each place, by the name of the score."""


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A model package, read and checked. weights, arrays: of its two tensor files."""

    card: ModelCard
    settings: Any
    device: devices.Device
    calibration: Calibration
    weights: Mapping[str, NDArray[Any]]
    arrays: Mapping[str, NDArray[Any]]


def opened(model: Path, key: str, settings: type[Any], device: str) -> Opened:
    """Read a package of the engine `key`; raises BadModel when it is not one."""
    loaded = model_package.load(model, key)
    try:
        stored = setting_values.restore(settings, loaded.card.settings)
    except (BadInput, KeyError) as error:
        raise misfit(loaded.card) from error
    calibration = Calibration.from_arrays(loaded.calibration)
    return Opened(
        loaded.card, stored, devices.choose(device), calibration, loaded.weights, loaded.calibration
    )  # fmt: skip


def misfit(card: ModelCard) -> BadModel:
    """What to raise when a package holds something else than its engine needs."""
    return BadModel(f"'{card.name}' is not a model of the engine '{card.engine}'.", "Train or add it again.")


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A volume with the scores of its places.

    slabs: without features; None where no place was scored. raw: scores (m, h, w) by name, higher for the less usual.
    contrast: the map of Encoder-Decoder Contrast, where there is one.
    """

    seen: Seen
    slabs: Slabs | None
    raw: Mapping[str, Tensor]
    contrast: Heat | None = None


def stored_places(arrays: Mapping[str, NDArray[Any]], names: Iterable[str]) -> dict[str, PlaceScale]:
    """The scales of a package's calibration."""
    return {name: PlaceScale.from_arrays(arrays, name) for name in names}


def healthy_arrays(
    samples: Sequence[Sample],
    score: Callable[[Volume, Report], Scored],
    heat: Callable[[Scored, Places], Heat],
    report: Report,
) -> dict[str, NDArray[Any]]:
    """Measure the usual score of each place, then the percentiles, on healthy subjects: arrays of a calibration."""
    seen: list[Scored] = []
    for done, sample in enumerate(samples):
        report(done, len(samples), f"calibrating on {sample.subject}")
        seen.append(score(load_volume(sample), silent))
    places = {}
    for name in seen[0].raw if seen else ():
        pairs = [(one.slabs, one.raw[name]) for one in seen if one.slabs is not None]
        places[name] = PlaceScale.measured(pairs)
    named = [(sample.subject, one.seen) for sample, one in zip(samples, seen, strict=True)]
    arrays: dict[str, NDArray[Any]] = {**calibrated(named, [heat(one, places) for one in seen]).to_arrays()}
    for name, scale in places.items():
        arrays |= scale.to_arrays(name)
    report(len(samples), len(samples), "calibrated")
    return arrays
