"""Arrays cross between processes by shared memory and leave nothing behind."""

from __future__ import annotations

import gc
import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from brainviewer.jobs import shared_array
from engines import Volume


@pytest.fixture
def pipe():
    ends = multiprocessing.Pipe(duplex=True)
    yield ends
    for end in ends:
        end.close()


def round_trip(pipe, message, own_copy=False):
    shared_array.send(pipe[0], message)
    return shared_array.receive(pipe[1]).open(own_copy=own_copy)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["float32", "uint8", "bool", ">i2"])
def test_large_arrays_arrive_equal_and_in_the_same_order(pipe, order, dtype):
    array = np.asarray(np.random.default_rng(0).integers(0, 2, (70, 80, 90)).astype(dtype), order=order)
    got = round_trip(pipe, {"a": [array]})["a"][0]
    assert np.array_equal(got, array)
    assert got.dtype == array.dtype
    assert got.flags.f_contiguous == array.flags.f_contiguous
    assert not got.flags.writeable
    assert shared_array.segment_of(got) is not None


def test_strided_views_and_small_arrays_arrive_equal(pipe):
    array = np.arange(200 * 200, dtype=np.float32).reshape(200, 200)
    got = round_trip(pipe, (array[::2, ::3], array[:4]))
    assert np.array_equal(got[0], array[::2, ::3])
    assert np.array_equal(got[1], array[:4])
    assert shared_array.segment_of(got[1]) is None


def test_arrays_inside_a_frozen_dataclass_are_shared(pipe):
    volume = Volume(np.ones((64, 64, 64), np.float32), np.eye(4), uid="1.2")
    got = round_trip(pipe, volume)
    assert got.uid == "1.2"
    assert shared_array.segment_of(got.voxels) is not None


def test_memory_filled_later_is_seen_by_the_receiver(pipe):
    array = shared_array.shared_zeros((64, 64, 64))
    got = round_trip(pipe, array)
    array[3, 4, 5] = 7
    assert got[3, 4, 5] == 7


def test_own_copies_do_not_write_into_the_senders_memory(pipe):
    array = shared_array.shared_zeros((64, 64, 64))
    got = round_trip(pipe, array, own_copy=True)
    got[...] = 9
    assert array.max() == 0


def test_more_arrays_than_one_message_can_carry(pipe):
    arrays = [np.full(20000, n, np.float32) for n in range(250)]
    got = round_trip(pipe, arrays)
    assert [int(a[0]) for a in got] == list(range(250))


def test_no_descriptor_is_left_open(pipe):
    array = np.ones((64, 64, 64), np.float32)
    round_trip(pipe, array)
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        round_trip(pipe, [array, array])
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_a_size_beyond_all_memory_is_a_memory_error():
    with pytest.raises((MemoryError, OverflowError)):
        shared_array.shared_zeros((2**20, 2**20, 2**20))


def test_where_there_is_no_memfd_arrays_are_copied(pipe, monkeypatch):
    monkeypatch.setattr(shared_array, "SHARED", False)
    array = np.arange(10000, dtype=np.float64)  # fits the socket's buffer: both ends are in this process
    assert np.array_equal(round_trip(pipe, array), array)
