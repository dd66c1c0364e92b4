"""Curves beside the images. The only room that imports pyqtgraph."""
