"""Which model and which series go together when a command leaves the choice to us; it always says which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engines import BadInput

if TYPE_CHECKING:
    from brainviewer.study import Series, Study
    from engines.model_package import Model


@dataclass(frozen=True, slots=True)
class Match:
    """A model for a series. When they do not fit the engine's result carries a warning."""

    model: Model
    series: Series


def models_at_hand() -> list[Model]:
    """Every sound model: the user's own first, as in the window."""
    from brainviewer.storage import models

    return models.find()[0]


def model_at(reference: str) -> Model:
    """A model by its folder, folder name or the beginning of its digest; raises BadInput."""
    from engines.model_package import Model, read_card

    if Path(reference).is_dir():
        return Model(Path(reference), read_card(Path(reference)))
    fitting = [
        model
        for model in models_at_hand()
        if reference == model.folder.name or (len(reference) >= 6 and model.card.digest.startswith(reference))
    ]
    if len(fitting) != 1:
        raise BadInput(f"{len(fitting)} models are called '{reference}'.", "See `brainviewer models list`.")
    return fitting[0]


def match(engine: str, models: Sequence[Model], studies: Sequence[Study], series_uid: str = "") -> Match:
    """The model of an engine and the series it fits best; raises BadInput when the choice would be a guess.

    The same modality fits; one that is not stated fits too. A series named by the user, or the only one there is, is
    taken whatever it is.
    """
    own = [model for model in models if model.card.engine == engine]
    if not own:
        raise BadInput(f"There is no model for the engine '{engine}'.", "Train one, or add one with `models add`.")
    series = _candidates(studies, series_uid)
    for model in own:
        for one in series:
            if one.modality == model.card.modality:
                return Match(model, one)
    for model in own:
        for one in series:
            if not one.modality or not model.card.modality:
                return Match(model, one)
    if len(series) == 1:
        return Match(own[0], series[0])
    there = ", ".join(sorted({one.modality for one in series}))
    wanted = ", ".join(sorted({model.card.modality for model in own}))
    raise BadInput(f"'{engine}' has models for {wanted}; the series are {there}.", "Name one with --series.")


def _candidates(studies: Sequence[Study], series_uid: str) -> list[Series]:
    every = [series for study in studies for series in study.series]
    chosen = [series for series in every if series.uid.startswith(series_uid)] if series_uid else every
    exact = [series for series in chosen if series.uid == series_uid]
    if series_uid and len(exact or chosen) != 1:
        raise BadInput(f"{len(chosen)} series have the UID {series_uid}.", "`brainviewer info` lists them.")
    # The most slices, then the most voxels: localisers and derived maps come last.
    return exact or sorted(chosen, key=lambda one: (-one.shape[2], -one.shape[0] * one.shape[1]))
