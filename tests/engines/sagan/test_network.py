"""What the spec asks of the networks beyond the golden numbers."""

from __future__ import annotations

import pytest
import torch

from engines.errors import BadInput
from engines.sagan.network import Critic, Generator, InstanceNorm
from engines.sagan.patches import join, position_code, restore_grid, restore_overlapping, split
from engines.sagan.settings import Settings


def codes() -> torch.Tensor:
    return position_code(torch.tensor([0.0, 0, 1, 1]), torch.tensor([0.0, 1, 0, 1]), None)


def test_the_published_position_code_is_inert() -> None:
    torch.manual_seed(0)
    generator, patches = Generator(8, 1, position="reference"), torch.randn(4, 1, 32, 32).tanh()
    with torch.no_grad():
        plain, shuffled = generator(patches, codes())[0], generator(patches, 10 * codes().flip(0))[0]
    assert (plain - shuffled).abs().max() < 1e-4  # rounding: a processor without AVX-512 gives 1.1e-5


def test_film_starts_like_the_published_form_and_then_tells_patches_apart() -> None:
    torch.manual_seed(0)
    generator, patches = Generator(8, 1, position="film"), torch.randn(4, 1, 32, 32).tanh()
    with torch.no_grad():
        before = generator(patches, codes())[0]
        assert torch.equal(before, generator(patches, codes().flip(0))[0])
    optimiser = torch.optim.SGD(generator.parameters(), 0.1)
    (generator(patches, codes())[0] * torch.linspace(-1, 1, 4)[:, None, None, None]).mean().backward()
    optimiser.step()
    with torch.no_grad():
        apart = (generator(patches, codes())[0] - generator(patches, codes().flip(0))[0]).abs().max()
    assert apart > 1e-4


def test_instance_norm_equals_torchs_own() -> None:
    x = torch.randn(3, 5, 4, 6)
    norm = InstanceNorm(5)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()
    plain = torch.nn.functional.instance_norm(x, weight=norm.weight, bias=norm.bias)
    assert torch.allclose(norm(x), plain, atol=1e-5)


def test_batched_equals_one_by_one() -> None:
    torch.manual_seed(0)
    generator = Generator(8, 1)
    pictures = torch.randn(3, 1, 64, 64).tanh()

    def restore(patches: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        return torch.tanh(generator(patches, code)[0] + patches)

    with torch.no_grad():
        for form in (lambda x: restore_grid(restore, x, 2, None), lambda x: restore_overlapping(restore, x, None)):
            together = form(pictures)
            alone = torch.cat([form(picture[None]) for picture in pictures])
            assert torch.allclose(together, alone, atol=1e-5)


def test_split_and_join_are_inverse_and_row_by_row() -> None:
    pictures = torch.arange(2 * 8 * 8, dtype=torch.float32).reshape(2, 1, 8, 8)
    patches = split(pictures, 2)
    assert torch.equal(patches[1], pictures[0, :, :4, 4:])
    assert torch.equal(patches[6], pictures[1, :, 4:, :4])
    assert torch.equal(join(patches, 2), pictures)


def test_overlapping_patches_give_the_picture_back_without_a_seam() -> None:
    pictures = torch.randn(2, 1, 64, 64)
    assert torch.allclose(restore_overlapping(lambda patches, _: patches, pictures, None), pictures, atol=1e-6)

    def shifted(patches: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        return patches * 0 + code[:, 2:3, None, None]  # each patch answers with its column

    columns = restore_overlapping(shifted, pictures, None)[0, 0, 10]
    assert (columns[1:] - columns[:-1]).abs().max() < 0.06  # the plain grid would jump by 1
    assert columns[0] == 0
    assert columns[-1] == 1


def test_heights_reach_every_patch_of_their_slice() -> None:
    rows = torch.tensor([0.0, 1.0])
    code = position_code(rows, rows, torch.tensor([0.0, 0.5, 1.0]))
    assert code.shape == (6, 7)
    assert torch.equal(code[2, 3:], code[3, 3:])
    assert not torch.equal(code[0, 3:], code[2, 3:])


def test_critic_centre_tap_equals_the_full_convolution() -> None:
    critic, pictures = Critic(4), torch.randn(2, 1, 64, 64)
    assert torch.allclose(critic(pictures), critic.last(critic.main(pictures)), atol=1e-7)


def test_paper_preset_and_impossible_settings() -> None:
    paper = Settings.preset("paper")
    assert (paper.position, paper.ema, paper.overlap, paper.iterations) == ("reference", 0.0, False, 100_000)
    with pytest.raises(BadInput):
        Settings(size=48)
    with pytest.raises(BadInput):
        Settings.preset("nature")
