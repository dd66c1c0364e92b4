"""BrainViewer: a radiology viewer that shows what in a brain scan does not belong. Research use only."""

__version__ = "0.1.0"
