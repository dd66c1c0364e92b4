"""A model's card in a line and in a tip: what it learned from, how good it is, what it must not be used for."""

from __future__ import annotations

from engines.model_package import Model


def model_summary(model: Model) -> str:
    """Two short lines for the panel: training data, and the first figures."""
    card = model.card
    subjects = sum(part.subjects for part in card.training_data)
    data = f"Learned from {subjects} subjects." if subjects else ""
    figures = "; ".join(f"{metric.name} {metric.value:.2f}" for metric in card.metrics[:2] if metric.value is not None)
    return "\n".join(part for part in (data, figures) if part)


def model_tip(model: Model) -> str:
    """Everything a reader should know before trusting the model."""
    card = model.card
    lines = [f"{card.name} {card.version}, engine {card.engine}, for {card.modality or 'any'} images"]
    lines += [f"Data: {part.cohort}, {part.subjects} subjects, licence {part.licence or 'not stated'}"
              for part in card.training_data]  # fmt: skip
    for metric in card.metrics:
        if metric.value is not None:
            span = f" ({metric.low:.2f} to {metric.high:.2f})" if metric.low is not None and metric.high else ""
            lines.append(f"{metric.name}: {metric.value:.3f}{span}  {metric.note or metric.data}".rstrip())
    lines += [f"Intended use: {card.intended_use}", f"Limits: {card.limits or 'not stated'}"]
    lines += [f"Licence: {card.licence or 'not stated'}", f"Digest: {card.digest[:12]}", str(model.folder)]
    return "\n".join(lines)
