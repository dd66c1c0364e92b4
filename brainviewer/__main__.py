"""python -m brainviewer: the command line.

The worker processes import this file again when they start, so the command line is imported only when it is used.
"""

from __future__ import annotations

from multiprocessing import freeze_support


def main() -> None:
    """Run the command line."""
    # In a packaged program the workers start from the same executable; this is where they turn off.
    freeze_support()
    from brainviewer.cli import main as run

    run()


if __name__ == "__main__":
    main()
