"""A plot as a file of its own: what the page's style sheet says of it is inside, in the page's light colours.

Colours stand as numbers, not as variables, so that viewers other than browsers draw them too.
"""

from __future__ import annotations

import functools
import re
from importlib.resources import files
from typing import Final

from markupsafe import Markup

from trainer.report.svg import element

_MARGIN: Final = 14.0
_FONT: Final = "svg { font: 13px system-ui, -apple-system, 'Segoe UI', Arial, sans-serif; overflow: visible; }\n"


def picture_file(plot: Markup) -> bytes:
    """An SVG document on a white ground. plot: what `svg.picture` made."""
    size = re.search(r'width="([\d.]+)" height="([\d.]+)"', plot)
    title = re.search(r'aria-label="([^"]*)"', plot)
    assert size is not None, "not a picture"
    assert title is not None, "not a picture"
    width, height = (float(each) + 2 * _MARGIN for each in size.groups())
    document = element(
        "svg",
        element("style", Markup(_style())),  # noqa: S704 - our own files
        element("rect", width=width, height=height, rx=8, fill="#ffffff"),
        element("g", plot, transform=f"translate({_MARGIN:g} {_MARGIN:g})"),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {height:g}",
        width=f"{width:g}",
        height=f"{height:g}",
        role="img",
        aria_label=Markup(title.group(1)),  # noqa: S704 - escaped when it was drawn
    )
    return (document + "\n").encode()


@functools.cache
def _style() -> str:
    page, plots = (files("trainer.report").joinpath(name).read_text(encoding="utf-8") for name in _SHEETS)
    light = dict(re.findall(r"--([\w-]+): ([^;]+);", page[: page.index("}")]))
    return _FONT + re.sub(r"var\(--([\w-]+)\)", lambda found: light[found.group(1)], plots)


_SHEETS: Final = ("report.css", "plots.css")
