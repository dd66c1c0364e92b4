"""A pass of the network recorded as a CUDA graph and played back: a hundred passes of one volume differ in data only.

Without it each pass launches its kernels one by one. Nothing else changes: the recording is compared with the plain
pass before it is used, and used where it is quicker.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from engines.itermask3d.shrinking import Fill

WARM_UP = 3  # passes before recording, in which libraries choose their kernels and take their memory
CLOSE = 1e-3  # of the filling's deviation: a recorded pass runs the same kernels


class Recorded:
    """A CUDA graph of `fill` for inputs like `shown` (n, 2, i, j, k); call it as `fill`.

    Raises RuntimeError where something in the pass cannot be recorded.
    """

    def __init__(self, fill: Fill, shown: Tensor) -> None:
        self._shown = shown.clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                fill(self._shown)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._filled = fill(self._shown)

    def __call__(self, shown: Tensor) -> Tensor:
        """(n, 2, i, j, k) -> (n, 1, i, j, k); a copy, since the next pass writes to the same place."""
        self._shown.copy_(shown)
        self._graph.replay()
        return self._filled.clone()


def quicker(fill: Fill, shown: Tensor) -> Fill:
    """`fill`, or its recording where there is a GPU and the recording gives the same in less time."""
    if shown.device.type != "cuda":
        return fill
    try:
        recorded = Recorded(fill, shown)
    except torch.OutOfMemoryError:
        raise  # smaller chunks and the CPU are tried by run_chunked
    except RuntimeError:
        return fill
    plain, again = fill(shown).float(), recorded(shown).float()
    if not torch.allclose(plain, again, rtol=0, atol=CLOSE * float(plain.std())):
        return fill
    return recorded if _seconds(recorded, shown) < _seconds(fill, shown) else fill


def _seconds(run: Callable[[Tensor], Tensor], shown: Tensor) -> float:
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(WARM_UP):
        run(shown)
    torch.cuda.synchronize()
    return time.perf_counter() - started
