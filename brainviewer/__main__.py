"""python -m brainviewer: the command line.

The worker processes import this file again when they start, so the command line is imported only when it is used.
"""

from __future__ import annotations

import runpy
import sys
from multiprocessing import freeze_support


def main() -> None:
    """Run the command line."""
    # In a packaged program the workers start from the same executable; this is where they turn off.
    freeze_support()
    if getattr(sys, "frozen", False) and sys.argv[1:2] == ["-m"]:
        # There a child that is asked for by `python -m NAME` is this program too.
        name = sys.argv[2]
        sys.argv = [name, *sys.argv[3:]]
        runpy.run_module(name, run_name="__main__", alter_sys=True)
        return
    from brainviewer.cli import main as run

    run()


if __name__ == "__main__":
    main()
