"""Drawing: a figure as plain marks, which `svg` and `png` render. Sizes in pixels, the origin at the top left.

A mark's look is its `kind`, a name in `STYLES`: one table serves the page's style sheet and single figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Point = tuple[float, float]


@dataclass(frozen=True)
class Style:
    """How a kind of mark looks; `dash` are lengths of strokes and gaps; `size` is of text, in pixels."""

    fill: str = "none"
    stroke: str = "none"
    width: float = 1.0
    opacity: float = 1.0
    dash: tuple[float, ...] = ()
    size: float = 12.0
    weight: Literal["normal", "bold"] = "normal"


INK, MUTED, PAPER, GRID, BOUND = "#1b1f24", "#5b6570", "#ffffff", "#e8ebee", "#00785a"
ON_DARK = {INK: "#e8ebee", MUTED: "#a6b0bb", PAPER: "#14181d", GRID: "#2b323a", BOUND: "#4fc4a0"}
"""What these become where the reader asks for a dark page; the palette serves both."""
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7f7f7f")
"""Okabe and Ito's colours, which those who do not see red or green can tell apart (Color Universal Design, 2008)."""


def text_on(colour: int) -> str:
    """The kind of text that is read best on a colour of the palette."""
    return "insidelight" if colour == 0 else "inside"


STYLES: dict[str, Style] = {
    "axis": Style(stroke=MUTED),
    "grid": Style(stroke=GRID),
    "tick": Style(fill=MUTED, size=12),
    "label": Style(fill=INK, size=13),
    "heading": Style(fill=INK, size=13, weight="bold"),
    "small": Style(fill=MUTED, size=11),
    "inside": Style(fill="#14171a", size=11),
    "insidelight": Style(fill="#ffffff", size=11, weight="bold"),
    "feasible": Style(fill="#56b4e9", opacity=0.75),
    "infeasible": Style(fill=PAPER, stroke="#8b95a1", width=0.9, opacity=0.6),
    "front": Style(stroke="#0072b2", width=2),
    "frontpoint": Style(fill="#0072b2", stroke=PAPER, width=1),
    "predicted": Style(fill=PAPER, stroke="#d55e00", width=2),
    "measured": Style(fill="#d55e00", stroke=PAPER, width=1.2),
    "arrow": Style(stroke="#d55e00", width=1.8),
    "interval": Style(stroke="#d55e00", width=1.2, opacity=0.6),
    "static": Style(fill=INK, stroke=PAPER, width=1),
    "staticmeasured": Style(fill=PAPER, stroke=INK, width=2),
    "baseline": Style(stroke=INK, width=1, dash=(5, 4), opacity=0.7),
    "bound": Style(stroke="#009e73", width=1.5, dash=(2, 3)),
    "boundtext": Style(fill=BOUND, size=11),
    "curve": Style(stroke="#0072b2", width=2),
    "curve2": Style(stroke="#e69f00", width=2),
    "wire": Style(stroke=MUTED, width=1.5),
    **{f"c{i}": Style(fill=colour) for i, colour in enumerate(PALETTE)},
    **{f"s{i}": Style(stroke=colour, width=2) for i, colour in enumerate(PALETTE)},
}


@dataclass(frozen=True)
class Rect:
    """A rectangle; `tip` is what hovering says, `key` a name for scripts."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    tip: str = ""
    radius: float = 0.0


@dataclass(frozen=True)
class Line:
    """A line through `points`, closed to an area where its style fills it; `arrow` at its end."""

    kind: str
    points: tuple[Point, ...]
    arrow: bool = False
    tip: str = ""


@dataclass(frozen=True)
class Dot:
    """A circle, square or diamond of `radius`; `row` is its row in the page's data, `focus` whether keys reach it."""

    kind: str
    x: float
    y: float
    radius: float
    tip: str = ""
    row: int = -1
    focus: bool = False
    shape: Literal["circle", "square", "diamond"] = "circle"


@dataclass(frozen=True)
class Text:
    """Text whose baseline is at (x, y)."""

    kind: str
    x: float
    y: float
    text: str
    anchor: Literal["start", "middle", "end"] = "start"
    turned: bool = False


Mark = Rect | Line | Dot | Text


@dataclass
class Drawing:
    """Marks on a sheet of `width` x `height`, later ones on top; `title` and `description` say what is shown."""

    width: float
    height: float
    title: str
    description: str = ""
    marks: list[Mark] = field(default_factory=list)

    def add(self, *marks: Mark) -> None:
        """Put marks on top."""
        self.marks.extend(marks)

    def line(self, kind: str, points: Sequence[Point], *, arrow: bool = False, tip: str = "") -> None:
        """Put a line on top."""
        self.marks.append(Line(kind, tuple(points), arrow, tip))
