"""Work in real child processes: results, progress, cancel, death and replacement."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from brainviewer.jobs.host import WorkerHost
from brainviewer.jobs.job import Bug, JobState, WorkerDied
from engines import BadInput, OutOfMemory, Volume
from tests.torch_watch import torch_arrived

WORK = "tests.jobs.work:"


@pytest.fixture
def host(qapp):
    before = _shared_memory()
    host = WorkerHost("testing")
    yield host
    host.shutdown()
    qapp.processEvents()
    assert host.pid is None
    assert _shared_memory() <= before


def _shared_memory() -> set[str]:
    folder = Path("/dev/shm")
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def result(qtbot, job, timeout=30_000):
    with qtbot.waitSignal(job.finished, timeout=timeout) as got:
        pass
    return got.args[0]


def failure(qtbot, job, timeout=30_000):
    with qtbot.waitSignal(job.failed, timeout=timeout) as got:
        pass
    return got.args[0]


def wait_until_running(qtbot, job):
    qtbot.waitUntil(lambda: job.state is JobState.RUNNING, timeout=30_000)


def test_a_result_comes_back(qtbot, host):
    assert result(qtbot, host.submit("Add", WORK + "add", 2, b=3)) == 5


def test_volumes_cross_and_come_back_equal(qtbot, host):
    rng = np.random.default_rng(1)
    voxels = rng.random((64, 60, 50), np.float32)
    got = result(qtbot, host.submit("Double", WORK + "double", Volume(voxels, np.eye(4), uid="7")))
    assert got["volume"].uid == "7"
    assert np.array_equal(got["volume"].voxels, voxels * 2)
    assert np.array_equal(got["list"][0], voxels[0])


def test_a_child_that_writes_into_its_volume_does_not_change_ours(qtbot, host):
    volume = Volume(np.ones((64, 64, 64), np.float32), np.eye(4))
    assert result(qtbot, host.submit("Write", WORK + "write_into", volume)) < 0
    assert volume.voxels.min() == 1


def test_progress_arrives_in_order_with_time_left(qtbot, host):
    job = host.submit("Count", WORK + "count_to", 40, pause_s=0.03)
    seen, left = [], []
    job.progress.connect(lambda done, total, text: (seen.append(done), left.append(job.seconds_left)))
    assert result(qtbot, job) == 40
    assert seen == sorted(seen)
    assert seen[-1] == 40
    assert len(seen) > 10
    known = [seconds for seconds in left if seconds is not None]
    assert known
    assert 0 <= known[-1] < 1


def test_partial_arrays_fill_while_the_child_works(qtbot, host):
    job = host.submit("Fill", WORK + "fill", (64, 64, 30))
    with qtbot.waitSignal(job.partial, timeout=30_000) as got:
        pass
    array = got.args[0]
    assert array.shape == (64, 64, 30)
    assert not array.flags.writeable
    qtbot.waitUntil(lambda: array[0, 0, 3] == 3, timeout=10_000)
    assert array[0, 0, 29] == 0
    volume = result(qtbot, job)
    assert volume.voxels[5, 5, 29] == 29


def test_jobs_run_in_the_order_of_submission_one_at_a_time(qtbot, host):
    order = []
    jobs = [host.submit(str(n), WORK + "count_to", 3) for n in range(4)]
    for job in jobs:
        job.started.connect(lambda job=job: order.append("+" + job.title))
        job.ended.connect(lambda job=job: order.append("-" + job.title))
    result(qtbot, jobs[-1])
    qtbot.waitUntil(lambda: not host.jobs)
    assert order == ["+0", "-0", "+1", "-1", "+2", "-2", "+3", "-3"]


def test_the_child_stays_warm_between_jobs(qtbot, host):
    first = result(qtbot, host.submit("", WORK + "modules_and_pid"))[1]
    assert result(qtbot, host.submit("", WORK + "modules_and_pid"))[1] == first == host.pid


@pytest.mark.parametrize("function", ["count_to", "stubborn", "hold_the_interpreter"])
def test_cancel_does_not_wait_for_the_work(qtbot, host, function):
    job = host.submit("Long", WORK + function, 1000)
    wait_until_running(qtbot, job)
    time.sleep(0.1)
    with qtbot.waitSignal(job.cancelled, timeout=10_000):  # the work takes minutes
        job.cancel()
    assert result(qtbot, host.submit("Next", WORK + "add", 1, 1)) == 2


def test_a_cooperative_cancel_keeps_the_child(qtbot, host):
    job = host.submit("Long", WORK + "count_to", 1000)
    wait_until_running(qtbot, job)
    pid = host.pid
    with qtbot.waitSignal(job.cancelled, timeout=5_000):
        job.cancel()
    assert host.pid == pid


def test_a_waiting_job_is_cancelled_at_once(qtbot, host):
    first = host.submit("First", WORK + "count_to", 30)
    second = host.submit("Second", WORK + "add", 1, 1)
    with qtbot.waitSignal(second.cancelled, timeout=1_000):
        second.cancel()
    assert result(qtbot, first) == 30


def test_a_killed_child_costs_a_message_and_the_next_job_is_served(qtbot, host):
    job = host.submit("Long", WORK + "count_to", 1000)
    wait_until_running(qtbot, job)
    os.kill(host.pid, signal.SIGKILL)
    error = failure(qtbot, job, 5_000)
    assert isinstance(error, WorkerDied)
    assert "testing worker stopped unexpectedly" in error.message
    assert error.remedy
    assert result(qtbot, host.submit("Next", WORK + "add", 1, 1)) == 2


def test_a_child_killed_while_idle_is_replaced(qtbot, host):
    result(qtbot, host.submit("Add", WORK + "add", 1, 1))
    os.kill(host.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: host.pid is None, timeout=5_000)
    assert result(qtbot, host.submit("Add", WORK + "add", 1, 2)) == 3


def test_a_native_crash_leaves_a_stack_for_the_report(qtbot, host):
    error = failure(qtbot, host.submit("Crash", WORK + "crash"))
    assert isinstance(error, WorkerDied)
    assert "segmentation" in error.message
    assert "in crash" in error.details


def test_a_job_without_a_sign_of_life_is_stopped(qtbot, host):
    result(qtbot, host.submit("Warm", WORK + "add", 1, 1))
    error = failure(qtbot, host.submit("Hang", WORK + "stubborn", 100, stall_s=0.5))
    assert "no sign of life for 0.5 seconds" in error.message
    assert result(qtbot, host.submit("Next", WORK + "add", 1, 1)) == 2


def test_known_trouble_crosses_with_message_and_remedy(qtbot, host):
    error = failure(qtbot, host.submit("Open", WORK + "known_trouble"))
    assert type(error) is BadInput
    assert (error.message, error.remedy) == ("The file is empty.", "Choose another one.")


@pytest.mark.parametrize(
    ("function", "trace"), [("bug", "missing"), ("panic", "SystemExit"), ("unpicklable", "lambda")]
)
def test_a_bug_crosses_with_its_traceback_and_the_child_lives(qtbot, host, function, trace):
    error = failure(qtbot, host.submit("Work", WORK + function))
    assert isinstance(error, Bug)
    assert trace in error.traceback
    assert host.pid is not None


def test_a_request_that_cannot_be_sent_is_a_bug_of_ours(qtbot, host):
    assert isinstance(failure(qtbot, host.submit("Work", WORK + "add", lambda: 1, 2)), Bug)
    assert result(qtbot, host.submit("Next", WORK + "add", 1, 1)) == 2


def test_a_child_over_its_memory_limit_says_so(qtbot, qapp):
    host = WorkerHost("testing", memory_bytes=3 * 2**30)
    error = failure(qtbot, host.submit("Hog", WORK + "hog", 8))
    assert isinstance(error, OutOfMemory)
    assert result(qtbot, host.submit("Next", WORK + "add", 1, 1)) == 2
    host.shutdown()


def test_shutdown_ends_the_child_while_it_works(qtbot, qapp):
    host = WorkerHost("testing")
    job = host.submit("Long", WORK + "stubborn", 100)
    wait_until_running(qtbot, job)
    pid = host.pid
    with qtbot.waitSignal(job.cancelled, timeout=10_000):
        host.shutdown()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_viewer_process_never_imports_torch(qtbot, host):
    modules, _ = result(qtbot, host.submit("", WORK + "modules_and_pid"))
    assert not torch_arrived()
    assert not [name for name in modules if name.startswith("PySide6")]


def test_texts_of_torch_arrive_as_plain_texts(qtbot, host):
    got = result(qtbot, host.submit("", WORK + "version_of_torch"), 60_000)
    assert type(got["torch"]) is str
    assert not torch_arrived()


@pytest.mark.parametrize("function", ["tensor", "unwelcome"])
def test_a_tensor_in_a_result_is_a_bug_and_does_not_bring_torch_along(qtbot, host, function):
    assert isinstance(failure(qtbot, host.submit("", WORK + function), 60_000), Bug)
    assert not torch_arrived()
    assert result(qtbot, host.submit("Next", WORK + "add", 1, 1)) == 2
