"""python -m brainviewer: the command line."""

from __future__ import annotations

from brainviewer.cli import main

if __name__ == "__main__":
    main()
