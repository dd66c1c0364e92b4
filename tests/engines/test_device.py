"""Choosing a device, and getting through with little memory."""

from __future__ import annotations

import pytest
import torch

from engines import device
from engines.errors import BadInput, Cancelled, OutOfMemory


def test_cpu_computes_in_single_precision() -> None:
    chosen = device.choose("cpu")
    assert (chosen.name, chosen.precision) == ("cpu", "fp32")
    with chosen.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_auto_takes_what_is_there() -> None:
    assert device.choose().name == ("cuda" if torch.cuda.is_available() else "cpu")


def test_missing_gpu_and_unknown_device_are_told() -> None:
    with pytest.raises(BadInput, match="no device 'tpu'"):
        device.choose("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(BadInput, match="CUDA was asked for"):
            device.choose("cuda")


def doubled(part: torch.Tensor, _name: str) -> torch.Tensor:
    return part * 2


def test_chunks_give_the_whole_in_order() -> None:
    calls: list[tuple[int, int]] = []
    items = torch.arange(10)
    done = device.run_chunked(doubled, items, 4, "cpu", lambda part, total, _: calls.append((part, total)))
    assert torch.equal(torch.cat(done.outputs), items * 2)
    assert (done.chunk, done.device, done.warnings) == (4, "cpu", ())
    assert calls == [(0, 10), (4, 10), (8, 10), (10, 10)]


def test_chunk_halves_when_memory_runs_out() -> None:
    def work(part: torch.Tensor, name: str) -> torch.Tensor:
        if len(part) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return doubled(part, name)

    done = device.run_chunked(work, torch.arange(10), 8, "cpu")
    assert torch.equal(torch.cat(done.outputs), torch.arange(10) * 2)
    assert done.chunk == 2
    assert "smaller pieces" in done.warnings[0]


class Meter:
    """Counts as a GPU would: 100 bytes are free, each item takes 30."""

    def __init__(self) -> None:
        self.begun = 0

    def begin(self) -> None:
        self.begun += 1

    def needed(self) -> int:
        return 30

    def free(self) -> int:
        return 100


def test_the_first_item_alone_says_how_many_fit() -> None:
    sizes: list[int] = []

    def work(part: torch.Tensor, name: str) -> torch.Tensor:
        sizes.append(len(part))
        return doubled(part, name)

    meter = Meter()
    done = device.run_chunked(work, torch.arange(7), 64, "cuda", meter=meter)
    assert sizes == [1, 2, 2, 2], "80 of 100 bytes are given away"
    assert meter.begun == 1
    assert torch.equal(torch.cat(done.outputs), torch.arange(7) * 2)
    assert done.warnings == ()


def test_cpu_takes_over_when_the_gpu_is_too_small() -> None:
    def work(part: torch.Tensor, name: str) -> torch.Tensor:
        if name == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return doubled(part, name)

    done = device.run_chunked(work, torch.arange(5), 4, "cuda")
    assert torch.equal(torch.cat(done.outputs), torch.arange(5) * 2)
    assert done.device == "cpu"
    assert "the CPU finished" in done.warnings[-1]


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), torch.OutOfMemoryError()],
)
def test_too_little_memory_everywhere_is_known_trouble(error: Exception) -> None:
    def work(_part: torch.Tensor, _name: str) -> torch.Tensor:
        raise error

    with pytest.raises(OutOfMemory, match="not enough memory"):
        device.run_chunked(work, torch.arange(5), 4, "cpu")


def test_other_errors_and_cancel_pass_through() -> None:
    def broken(_part: torch.Tensor, _name: str) -> torch.Tensor:
        raise RuntimeError("shapes do not fit")

    def stop(_done: int, _total: int, _text: str) -> None:
        raise Cancelled

    with pytest.raises(RuntimeError, match="shapes"):
        device.run_chunked(broken, torch.arange(5), 4, "cpu")
    with pytest.raises(Cancelled):
        device.run_chunked(doubled, torch.arange(5), 4, "cpu", stop)


@pytest.mark.gpu
def test_real_gpu_out_of_memory_is_survived() -> None:
    chosen = device.choose("cuda")
    free = device.GpuMeter().free()

    def work(part: torch.Tensor, name: str) -> torch.Tensor:
        # One item needs a third of the free memory: four at once do not fit, one does.
        torch.empty((len(part), free // 3), dtype=torch.uint8, device=name).fill_(1)
        return part.to(name) * 2

    done = device.run_chunked(work, torch.arange(4), 4, chosen)
    assert torch.equal(torch.cat(done.outputs).cpu(), torch.arange(4) * 2)
    assert (done.device, done.chunk) == ("cuda", 2)


@pytest.mark.gpu
def test_gpu_uses_bfloat16_where_it_can() -> None:
    chosen = device.choose("cuda")
    with chosen.autocast():
        product = torch.ones(4, 4, device="cuda") @ torch.ones(4, 4, device="cuda")
    assert product.dtype == (torch.bfloat16 if chosen.precision == "bf16" else torch.float32)
