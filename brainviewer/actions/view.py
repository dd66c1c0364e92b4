"""View: what the images look like and how to move through them."""

from __future__ import annotations

from brainviewer.actions.action import Action, Menu
from brainviewer.actions.context import Context
from brainviewer.panels.layers import TAIL_STEPS, to_percentile, to_steps
from brainviewer.panels.theme import ThemeName

THEMES: tuple[tuple[ThemeName, str], ...] = (
    ("system", "Like the system"),
    ("light", "Light"),
    ("dark", "Dark"),
)
# One key press moves the threshold by a tenth of the way from 90 to 99.
THRESHOLD_STEP = TAIL_STEPS / 10


def menu(at: Context) -> Menu:
    """The View menu."""
    return Menu(
        "&View",
        (
            Action(
                "view.reset",
                "Reset views",
                "Fit all views, automatic window",
                at.viewport.reset,
                ("R",),
                at.has_volume,
            ),
            Action(
                "view.maximise",
                "Maximise view",
                "Fill the window with the view under the pointer, or show all again (double click)",
                at.viewport.toggle_maximised,
                ("F",),
                at.has_volume,
                checked=at.viewport.is_maximised,
            ),
            _switch(at, "invert", "Invert black and white", "White for black", "I"),
            _switch(at, "interpolate", "Smooth between voxels", "Off: see every voxel as it was measured", "Shift+N"),
            _switch(at, "crosshair", "Crosshair", "Show the linked lines", "X"),
            _switch(at, "annotations", "Text on the images", "Letters, slice numbers and scale bar", "A"),
            _switch(
                at,
                "radiological",
                "Radiological convention",
                "On: patient's left on the right of the screen. Off: neurological",
                "Shift+L",
            ),
            None,
            Menu("Heatmap", _heatmap(at)),
            Menu("Window preset", _presets(at)),
            Menu("Go to", _moves(at)),
            None,
            Menu("Mouse", _schemes(at)),
            Menu("Theme", _themes(at)),
            Menu("Panels", _panels(at)),
            Action(
                "view.images_only",
                "Images only",
                "Hide all panels, or bring them back where they were",
                at.window.toggle_images_only,
                ("F11",),
                checked=at.window.images_only,
            ),
            # Keys that lists, buttons and text fields need themselves.
            Action(
                "view.reset_space",
                "Reset views",
                "Fit all views, automatic window",
                at.viewport.reset,
                ("Space",),
                at.has_volume,
                scope="images",
                in_menu=False,
            ),
        ),
    )


def _switch(at: Context, name: str, text: str, tip: str, key: str) -> Action:
    def toggle() -> None:
        setattr(at.display, name, not getattr(at.display, name))

    return Action(f"view.{name}", text, tip, toggle, (key,), checked=lambda: bool(getattr(at.display, name)))


def _heatmap(at: Context) -> tuple[Action, ...]:
    def move(steps: float) -> None:
        at.display.threshold = to_percentile(to_steps(at.display.threshold) + steps)

    return (
        _switch(at, "heatmap_visible", "Show heatmap", "Show or hide the heatmap of the run in view", "H"),
        _switch(at, "contour", "Contour only", "Draw the outline at the threshold instead of colours", "C"),
        Action(
            "view.threshold_up",
            "Raise threshold",
            "Draw only what is still rarer in healthy scans",
            lambda: move(THRESHOLD_STEP),
            ("T",),
        ),
        Action(
            "view.threshold_down",
            "Lower threshold",
            "Draw more of the heatmap",
            lambda: move(-THRESHOLD_STEP),
            ("Shift+T",),
        ),
    )


def _presets(at: Context) -> tuple[Action, ...]:
    def preset(number: int) -> Action:
        return Action(
            f"view.preset_{number}",
            f"Preset {number}",
            "Window preset of this kind of image, by its number in the Layers panel",
            lambda: at.viewport.use_preset(number - 1),
            (str(number),),
            lambda: at.viewport.has_preset(number - 1),
        )

    return tuple(preset(number) for number in range(1, 10))


def _moves(at: Context) -> tuple[Action, ...]:
    def slices(name: str, text: str, count: int, *keys: str) -> Action:
        return Action(
            f"view.{name}",
            text,
            "In the view under the pointer",
            lambda: at.viewport.step(count),
            keys,
            at.has_volume,
            scope="images",
        )

    def series(name: str, text: str, step: int, key: str) -> Action:
        return Action(
            f"view.{name}",
            text,
            "In the list of open series",
            lambda: at.session.step_series(step),
            (key,),
            at.has_volume,
            scope="images",
        )

    far = 1_000_000
    return (
        slices("next_slice", "Next slice", 1, "Down", "Right"),
        slices("previous_slice", "Previous slice", -1, "Up", "Left"),
        slices("first_slice", "First slice", -far, "Home"),
        slices("last_slice", "Last slice", far, "End"),
        series("next_series", "Next series", 1, "PgDown"),
        series("previous_series", "Previous series", -1, "PgUp"),
    )


def _schemes(at: Context) -> tuple[Action, ...]:
    def use(scheme: str) -> None:
        at.tool.scheme = "neuro" if scheme == "neuro" else "radiology"

    return (
        Action(
            "view.mouse_radiology",
            "Radiology: left button changes the window",
            "As in OHIF, Weasis and Horos",
            lambda: use("radiology"),
            checked=lambda: at.tool.scheme == "radiology",
        ),
        Action(
            "view.mouse_neuro",
            "Neuro: left button moves the crosshair",
            "As in ITK-SNAP and MITK",
            lambda: use("neuro"),
            checked=lambda: at.tool.scheme == "neuro",
        ),
    )


def _themes(at: Context) -> tuple[Action, ...]:
    def theme(name: ThemeName, text: str) -> Action:
        return Action(
            f"view.theme_{name}",
            text,
            f"Colours of the window: {text.lower()}",
            lambda: at.theme.choose(name),
            checked=lambda: at.theme.name == name,
        )

    return tuple(theme(name, text) for name, text in THEMES)


def _panels(at: Context) -> tuple[Action, ...]:
    def panel(name: str) -> Action:
        return Action(
            f"view.panel_{name.lower().replace(' ', '_')}",
            name,
            f"Show or hide the panel {name}",
            lambda: at.window.toggle_panel(name),
            checked=lambda: at.window.panel_shown(name),
        )

    reset = Action(
        "view.reset_layout", "Panels as at first", "Put all panels back where they were", at.window.reset_layout
    )
    return (*(panel(name) for name in at.window.panel_names()), reset)
