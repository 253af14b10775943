"""Charts as static SVG: a file of its own or a part of an HTML page, without scripts or network.

`matplotlib` draws them. What it writes is changed in four ways: it has the page's fonts and follows
the reader's dark mode, parts of the chart have a class and a text that the pointer shows, names
that would occur twice in a page are left out, and the same numbers always give the same bytes.
"""

from __future__ import annotations

import io
import logging
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, Self

from support.printing import printable

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The colours of the report's style.css. A chart is transparent.
INK, SOFT, LINE = "#1d2226", "#5c666e", "#dde1e3"
GOOD, BAD, OPEN = "#1a7f4b", "#b3261e", "#8b979f"
SERIES = ("#1f6fb2", "#c2571a", "#6b4fb5", "#2b8577")
IN_DARK_MODE = {
    INK: "#e6eaec",
    SOFT: "#9aa5ad",
    LINE: "#323b41",
    GOOD: "#5fcf93",
    BAD: "#ff8a80",
    OPEN: "#77838b",
    **dict(zip(SERIES, ("#6db3f2", "#f29a63", "#b39df3", "#62c9b8"), strict=True)),
}
FONTS = "system-ui, 'Noto Sans', 'Noto Sans CJK SC', sans-serif"
LabelPower = Callable[[int], str]
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MAX_POWERS = 6
"""The most steps of a logarithmic axis that have a tick."""
NOT_IN_XML = str.maketrans({"\ufffe": "\ufffd", "\uffff": "\ufffd"})
"""Printable, but not allowed in XML 1.0."""
SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
STYLE = {
    # A point of matplotlib is then a pixel of the SVG.
    "figure.dpi": 72,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": 600,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "text.color": INK,
    "legend.frameon": False,
    # Matplotlib has this font with it, so that every machine measures the same widths.
    "font.family": ["DejaVu Sans"],
    "font.size": 11,
    # Texts from outside are no formulas: `$` is a dollar.
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "bert-bridge",
}


class Chart:
    """A figure of matplotlib in the style of our pages; drawn within a `with` block.

    ```
    with Chart(400, 200, "Loss of each step") as chart:
        axes = chart.figure.subplots()
        chart.mark(axes.plot(losses, color=SERIES[0])[0], "loss")
        text = chart.svg()
    ```
    """

    figure: Figure

    def __init__(self, width: int, height: int, title: str) -> None:
        """Prepares a chart; `title` is read out to who cannot see it. Sizes are in pixels."""
        self.width, self.height, self.title = width, height, title
        self._marks: dict[str, tuple[str, Sequence[str]]] = {}

    def __enter__(self) -> Self:
        """Makes the figure, and sets the style until the block ends."""
        # Not at the top: it takes half a second, and most commands draw nothing. Its messages are
        # about its cache of fonts, which it may be unable to save.
        logging.getLogger("matplotlib").setLevel(logging.ERROR)
        from matplotlib import rc_context
        from matplotlib.figure import Figure

        self._style = rc_context(STYLE)  # type: ignore[arg-type]
        self._style.__enter__()
        self.figure = Figure(figsize=(self.width / 72, self.height / 72))
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the style."""
        self._style.__exit__(None, None, None)

    def mark(self, artist: Artist, name: str, tooltips: Sequence[str] = ()) -> None:
        """Gives what an artist draws a class, and texts that the pointer shows.

        Args:
            artist: for example a bar, a line or the points of a `scatter`.
            name: the class.
            tooltips: none, or one for each shape that it draws.
        """
        key = f"mark-{len(self._marks)}"
        self._marks[key] = name, tooltips
        artist.set_gid(key)

    def svg(self) -> str:
        """Returns the chart as an `svg` element, without what a file of its own begins with."""
        from matplotlib.text import Text

        for text in self.figure.findobj(Text):
            assert isinstance(text, Text)
            text.set_text("\n".join(map(_clean, text.get_text().split("\n"))))
        output = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        with warnings.catch_warnings():
            # DejaVu has no Chinese characters; the reader's fonts have.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            self.figure.savefig(output, format="svg", metadata=nothing)
        # The namespace would be a prefix before each name.
        root = ET.fromstring(output.getvalue().replace(f' xmlns="{SVG}"', "", 1))
        for element in root.iter():
            self._change_element(element)
        head = [ET.Element("title"), ET.Element("style")]
        head[0].text, head[1].text = _clean(self.title), _style_sheet(output.getvalue())
        # The first definition is a rule for every line of the page; the root has it instead.
        root[:1] = head
        root.attrib = {
            "xmlns": SVG,
            "class": "chart",
            "role": "img",
            "viewBox": f"0 0 {self.width} {self.height}",
            "width": str(self.width),
            "height": str(self.height),
            "font-family": FONTS,
            "stroke-linejoin": "round",
        }
        ET.register_namespace("xlink", XLINK)
        ET.indent(root, "")
        return ET.tostring(root, encoding="unicode") + "\n"

    def _change_element(self, element: ET.Element) -> None:
        """Takes out what is named by a count, and puts in classes and tooltips."""
        if element.tag == "g":
            name, tooltips = self._marks.get(element.attrib.pop("id", ""), ("", ()))
            if name:
                element.set("class", name)
            shapes = [e for e in _outside_definitions(element) if e.tag in ("path", "use")]
            if tooltips:
                for shape, tooltip in zip(shapes, tooltips, strict=True):
                    ET.SubElement(shape, "title").text = _clean(tooltip)
        elif element.tag == "text":
            # The root has the font. Only the measured widths are DejaVu's.
            styles = element.attrib["style"].split("; ")
            element.set("style", "; ".join(s for s in styles if not s.startswith("font-family")))
            if element.get("transform", "").startswith("rotate(-0 "):
                del element.attrib["transform"]


def format_power(power: int) -> str:
    """Formats a power of ten.

    >>> format_power(-12)
    '10⁻¹²'
    """
    return f"10{str(power).translate(SUPERSCRIPTS)}"


def set_log_axis(
    axes: Axes, which: Literal["x", "y"], low: int, high: int, label: LabelPower = format_power
) -> None:
    """Makes an axis logarithmic, with a tick at powers of ten.

    Matplotlib's own labels of such an axis are formulas, which STYLE turns off.

    Args:
        axes: the plot.
        which: the axis.
        low: the power of ten at which it begins.
        high: the power of ten at which it ends.
        label: formats a power for its tick.
    """
    axes.set(**{f"{which}scale": "log", f"{which}lim": (10.0**low, 10.0**high)})
    powers = range(low, high + 1, max(1, -(-(high - low) // MAX_POWERS)))
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks([10.0**power for power in powers], [label(power) for power in powers])
    axis.set_ticks([], minor=True)


def _clean(text: str) -> str:
    """Returns a text from outside without what may not be in a line of an XML file."""
    return printable(text).translate(NOT_IN_XML)


def _outside_definitions(element: ET.Element) -> list[ET.Element]:
    """Returns the elements in an element, without those that are only defined there."""
    return [
        inner
        for child in element
        if child.tag != "defs"
        for inner in (child, *_outside_definitions(child))
    ]


def _style_sheet(svg: str) -> str:
    """Returns the rules that exchange the colours of a chart in dark mode.

    The light colours stay in the elements, for programs that read no rules.
    """
    rules = [
        f'.chart [style*="{what}: {light}"] {{ {what}: {dark} !important; }}'
        for light, dark in IN_DARK_MODE.items()
        for what in ("fill", "stroke")
        if f"{what}: {light}" in svg
    ]
    return "\n".join(["@media (prefers-color-scheme: dark) {", *rules, "}"])
