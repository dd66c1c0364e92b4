"""Progress and errors in a terminal, for `python -m engines` and the product's command line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from engines.contract import Report, silent


@contextmanager
def progress(shown: bool = True) -> Iterator[Report]:
    """A report that draws a bar with the time left on standard error, so that standard output stays clean."""
    if not shown or not sys.stderr.isatty():
        yield silent
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
