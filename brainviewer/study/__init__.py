"""What is being looked at, in plain Python: studies and their series. No Qt, no VTK, no torch."""

from brainviewer.study.study import Series, Study

__all__ = ["Series", "Study"]
