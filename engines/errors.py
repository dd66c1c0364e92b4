"""Known trouble: the environment's or the input's fault, told to the user as it is.

    KnownError
    ├── Cancelled            the user stopped the work
    ├── BadInput             a file, cohort or setting that cannot be used
    │   ├── BadVolume        voxels or geometry an engine cannot work on
    │   ├── BadCohort        a cohort file with wrong columns, paths or splits
    │   └── BadModel         a model package that is damaged, altered or of another engine
    └── OutOfMemory          not enough memory on the device, after the smallest chunk failed

Anything that is not a KnownError is a bug and goes to the crash report.
"""

from __future__ import annotations


class KnownError(Exception):
    """Trouble we can name, with what the user can do about it."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        """One sentence for a log or a terminal."""
        return f"{self.message} {self.remedy}".strip()

    def __reduce__(self) -> tuple[type[KnownError], tuple[str, str]]:
        """Errors cross a process border, so they must survive pickling with both sentences."""
        return type(self), (self.message, self.remedy)


class Cancelled(KnownError):  # noqa: N818 - reads as what happened
    """The user stopped the work."""

    def __init__(self, message: str = "Stopped.", remedy: str = "") -> None:
        super().__init__(message, remedy)


class BadInput(KnownError):  # noqa: N818
    """Something the user gave us cannot be used."""


class BadVolume(BadInput):
    """Voxels or geometry an engine cannot work on."""


class BadCohort(BadInput):
    """A cohort file with wrong columns, missing paths or a subject in two splits."""


class BadModel(BadInput):
    """A model package that is damaged, altered, or made for another engine."""


class OutOfMemory(KnownError):  # noqa: N818
    """The device has not enough memory even for the smallest chunk."""
