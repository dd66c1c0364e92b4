"""The report as one HTML file that needs nothing beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from brainviewer.report.contents import Contents
from brainviewer.report.pictures import PLOT, as_svg, figures
from brainviewer.report.words import values

TEMPLATES = Path(__file__).parents[2] / "resources" / "templates"
PAGE = "report.html"


def render(contents: Contents) -> str:
    """The page for a browser, with its figures inside."""
    drawn = figures(contents)
    # Our own SVG; every text in it went through Qt's XML writer.
    key_images = [
        {"caption": figure.caption, "svg": Markup(as_svg(figure)), "key": key}  # noqa: S704
        for key, figure in drawn.items()
        if key != PLOT
    ]
    return page(contents, print=False, key_images=key_images, plot=Markup(as_svg(drawn[PLOT])))  # noqa: S704


def page(contents: Contents, **figures_of_the_page: Any) -> str:
    """The template filled in; what comes from files is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template(PAGE).render(**values(contents), **figures_of_the_page)
