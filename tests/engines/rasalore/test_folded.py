"""The folded forms say the same as the plain network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engines.rasalore import folded
from engines.rasalore.folded import FoldedRasaLore
from engines.rasalore.network import RasaLore


def network(**sizes: int) -> RasaLore:
    """A small network in evaluation mode whose norms and biases do something."""
    torch.manual_seed(3)
    made = RasaLore(**{"width": 4, "size": 16, "grid": 8, **sizes})
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith("bias") or ".bn" in name or "norm" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
        for name, buffer in made.named_buffers():
            if "running" in name:
                buffer.add_(0.3 * torch.rand_like(buffer))
    return made.eval()


def close(one: Tensor, other: Tensor) -> None:
    assert (one - other).abs().max() <= 1e-5 * other.abs().max()


@pytest.mark.parametrize("sizes", [{}, {"grid": 4}, {"size": 32, "width": 8}])
def test_detection_form_equals_the_plain_form(sizes: dict[str, int]) -> None:
    plain = network(**sizes)
    pictures = torch.randn(3, 1, plain.size, plain.size)
    with torch.no_grad():
        expected = plain(pictures)
    for one, other in zip(FoldedRasaLore(plain)(pictures), expected, strict=True):
        close(one, other)


def test_training_form_has_the_gradients_of_the_plain_form() -> None:
    plain = network().double()
    pictures = torch.randn(2, 1, 16, 16, dtype=torch.float64)
    gradients = []
    for forward in (plain, lambda x: folded.forward(plain, x)):
        plain.zero_grad()
        out = forward(pictures)
        (out.logits.square().mean() + out.activations.mean() + out.codes.square().mean()).backward()
        gradients.append(
            {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in plain.named_parameters()}
        )
    for name, gradient in gradients[0].items():
        largest = max(float(gradient.abs().max()), 1e-9)
        # The bias of RASA's keys cancels in the softmax: rounding in one form, no gradient in the other.
        assert float((gradients[1][name] - gradient).abs().max()) < 1e-8 * max(largest, 1), name


def test_chunks_do_not_change_the_result() -> None:
    fast = FoldedRasaLore(network())
    pictures = torch.randn(5, 1, 16, 16)
    whole = fast(pictures).logits
    parts = torch.cat([fast(part).logits for part in pictures.split(2)])
    close(parts, whole)
