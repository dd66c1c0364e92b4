"""Functions that the tests run in real child processes."""

from __future__ import annotations

import ctypes
import os
import sys
import time

import numpy as np

from engines import BadInput, Volume


def add(a, b):
    return a + b


def count_to(n, pause_s=0.01, report=None):
    for done in range(n):
        report(done, n, f"step {done}")
        time.sleep(pause_s)
    report(n, n, "done")
    return n


def stubborn(seconds):
    time.sleep(seconds)


def hold_the_interpreter(seconds):
    # PyDLL keeps the interpreter lock: not even the child's listening thread can run.
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


def double(volume, report=None):
    return {"volume": volume.with_voxels(volume.voxels * 2), "list": [volume.voxels[0], "text"]}


def write_into(volume):
    volume.voxels[...] = -1
    return float(volume.voxels.sum())


def fill(shape, report=None, allocate=None):
    voxels = allocate(shape)
    for k in range(shape[2]):
        voxels[:, :, k] = k
        report(k + 1, shape[2], "")
        time.sleep(0.02)
    return Volume(voxels, np.eye(4))


def known_trouble():
    raise BadInput("The file is empty.", "Choose another one.")


def bug():
    return {}["missing"]


def panic():
    raise SystemExit(3)


def crash():
    ctypes.string_at(0)


def hog(gibibytes):
    return np.ones(int(gibibytes * 2**27)).sum()


def modules_and_pid():
    return sorted(sys.modules), os.getpid()


def unpicklable():
    return lambda: None


def version_of_torch():
    import torch

    return {"torch": torch.__version__}


def tensor():
    import torch

    return torch.zeros(3)


class Unwelcome:
    """Pretends to be anything when it is pickled."""

    def __reduce__(self):
        import torch

        return torch.zeros, (3,)


def unwelcome():
    return Unwelcome()
