"""python3 -m installer run | test | bundle: set up what is missing, then open the demo, run all tests, or build."""

from __future__ import annotations

import sys

OLDEST = (3, 11)


def main() -> int:
    """Check the Python, then hand over to the command line."""
    if sys.version_info < OLDEST:
        found = ".".join(str(part) for part in sys.version_info[:2])
        sys.stderr.write(
            "BrainViewer needs Python 3.11 or newer; this is Python " + found + ". "
            "Start it with a newer one, for example: python3.11 -m installer run\n"
        )
        return 1
    from installer.command_line import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
