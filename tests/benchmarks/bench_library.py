"""How long a search among 1,000 studies takes: `python -m tests.benchmarks.bench_library`.

Milliseconds of the library alone, best and worst of twenty searches for each text; the window may not stop for 50 ms.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from brainviewer.storage import database
from brainviewer.storage.library import Library
from tests.storage.test_library import a_study

STUDIES, SEARCHES = 1000, 20


def main() -> None:
    """Print one line a search."""
    with tempfile.TemporaryDirectory() as folder:
        shelf = Library(database.connect(Path(folder) / "library.sqlite"))
        for number in range(STUDIES):
            shelf.remember(a_study(f"1.{number}", f"Patient {number} {'glioma' if number % 7 == 0 else 'healthy'}"))
        for text in ("", "glioma flair", "Patient 77", "nobody"):
            taken = []
            for _ in range(SEARCHES):
                started = time.perf_counter()
                found = shelf.studies(text, most=STUDIES)
                taken.append(1000 * (time.perf_counter() - started))
            print(f"{text!r:16} {len(found):5} studies  best {min(taken):5.1f} ms  worst {max(taken):5.1f} ms")
        shelf.close()


if __name__ == "__main__":
    main()
