"""What the views share and listen to: where the reader looks, how it is shown, which tool is held. QtCore only."""

from brainviewer.state.cursor import Cursor
from brainviewer.state.display import Display
from brainviewer.state.tool import SCHEMES, Scheme, Tool

__all__ = ["SCHEMES", "Cursor", "Display", "Scheme", "Tool"]
