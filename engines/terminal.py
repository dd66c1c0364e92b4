"""Progress and errors in a terminal, for `python -m engines` and the product's command line."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from engines.contract import Report, silent

LINE_EVERY_S = 30.0


@contextmanager
def progress(shown: bool = True) -> Iterator[Report]:
    """A report that draws a bar with the time left on standard error, so that standard output stays clean."""
    if not shown:
        yield silent
        return
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task("", total=None)
        ended = 0

        def report(done: int, total: int, text: str) -> None:
            nonlocal ended
            if done < ended:  # the next stage of the work starts at 0 again, and so does its estimate
                bars.reset(task, total=total)
            ended = done
            bars.update(task, completed=done, total=total, description=text)

        yield report


def _lines() -> Report:
    """For a log file: one line now and then."""
    last = time.monotonic()

    def report(done: int, total: int, text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_EVERY_S:
            last = time.monotonic()
            sys.stderr.write(f"{done}/{total} {text}\n")

    return report
