"""A small fine-tuning for tests of the window: it runs in the real worker, learns nothing, and can be paused."""

from __future__ import annotations

import time

import numpy as np

from engines import model_package
from engines.finetuning import Example, Figures, Tuned, judge

STEPS = 30


def finetune(model, corrected, cohort, out, seed=0, resume=False, report=None):
    return _finetune(model, out, resume, report, better=True)


def finetune_in_vain(model, corrected, cohort, out, seed=0, resume=False, report=None):
    return _finetune(model, out, resume, report, better=False)


def _finetune(model, out, resume, report, better):
    for step in range(STEPS // 2 if resume else 0, STEPS):
        report(step, STEPS, f"mask {1 / (step + 1):.3g}  points {2 / (step + 2):.3g}")
        time.sleep(0.05)
    before, after = Figures(0.5, 0.6, 0.01), Figures(0.7 if better else 0.4, 0.6, 0.01)
    verdict = judge(before, after)
    if verdict.accepted:
        card = model_package.read_card(model)
        model_package.write(
            out, card.model_copy(update={"version": "2", "parent": card.digest}), {"w": np.zeros(3, np.float32)}, {}
        )
    r, c = np.indices((64, 64)) - 32
    discs = [r**2 + c**2 < radius**2 for radius in (10, 14, 11)]
    picture = (r**2 + c**2 < 800).astype(np.float32) + discs[0]
    examples = (Example(True, picture, *discs), Example(False, picture, *discs))
    return Tuned(out if verdict.accepted else None, verdict, before, after, [], {}, examples)
