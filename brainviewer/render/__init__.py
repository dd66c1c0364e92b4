"""Drawing volumes, heatmaps and masks. The only room that imports vtk.

`triplanar.TriplanarView` is the widget, `offscreen.save_views` the same picture without a screen.
Both show a `scene.TriplanarScene`, whose three `slice_view.SliceView` share one off-screen VTK window (`stage`).

2026-11: VTK renders off-screen and Qt paints the finished pictures with lines and text on top, instead of giving
VTK a native window of its own. That way the views work on every Qt platform (a native VTK window aborts on
"offscreen" and on Wayland), text is as sharp as in the rest of the window, and moving the crosshair redraws no picture.
2026-11: the layers of a slice are blended in numpy before VTK sees them: each textured layer costs about 12 ms at
900x900 pixels without a graphics card, blending a slice of 240x240 about 1 ms.

Importing this door imports numpy only.
"""

from brainviewer.render.window_level import Preset, auto_window, presets

__all__ = ["Preset", "auto_window", "presets"]
