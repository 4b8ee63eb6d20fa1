"""Drawings as SVG, and the style sheet that goes with them. Every text is escaped: names in a run are not trusted."""

import re
from html import escape

from eenn_rl.report.drawing import ON_DARK, STYLES, Dot, Drawing, Line, Mark, Rect, Style, Text

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escaped(text: str) -> str:
    """`text` for use between tags and in attributes; characters that no XML may hold are replaced."""
    return escape(_FORBIDDEN.sub("\ufffd", text), quote=True)


def number(value: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    text = f"{value:.1f}"
    return text.removesuffix(".0")


def style_rules(scope: str = "svg") -> str:
    """CSS for every kind of mark below `scope`."""
    rules = [f"{scope} .{kind}{{{_declarations(style)}}}" for kind, style in STYLES.items()]
    return f"{scope} text{{font-family:{FONT};stroke:none;pointer-events:none}}\n" + "\n".join(rules)


def dark_rules(scope: str = "svg") -> str:
    """CSS for the kinds of marks that look otherwise on a dark page."""
    rules = []
    for kind, style in STYLES.items():
        found = [(name, getattr(style, name)) for name in ("fill", "stroke") if getattr(style, name) in ON_DARK]
        if found:
            rules.append(f"{scope} .{kind}{{{';'.join(f'{name}:{ON_DARK[colour]}' for name, colour in found)}}}")
    return "\n".join(rules)


def _declarations(style: Style) -> str:
    parts = [f"fill:{style.fill}", f"stroke:{style.stroke}", f"stroke-width:{style.width:g}"]
    parts += [f"font-size:{style.size:g}px", f"font-weight:{style.weight}"]
    if style.opacity != 1:
        parts.append(f"opacity:{style.opacity:g}")
    if style.dash:
        parts.append("stroke-dasharray:" + " ".join(f"{d:g}" for d in style.dash))
    return ";".join(parts)


def render(drawing: Drawing, name: str, *, standalone: bool = False) -> str:
    """The `<svg>` element; `name` is its id. `standalone`: a file of its own, with the style inside."""
    size = f'viewBox="0 0 {number(drawing.width)} {number(drawing.height)}"'
    head = f'<svg id="{escaped(name)}" {size} role="group" aria-label="{escaped(drawing.title)}"'
    if standalone:
        head += f' xmlns="http://www.w3.org/2000/svg" width="{number(drawing.width)}" height="{number(drawing.height)}"'
    described = f"<desc>{escaped(drawing.description)}</desc>" if drawing.description else ""
    style = f"<style>{style_rules()}</style>" if standalone else ""
    ground = '<rect width="100%" height="100%" fill="#ffffff"/>' if standalone else ""
    parts = [head, ">", style, described, ground, *(_mark(mark) for mark in drawing.marks), "</svg>"]
    return "".join(parts)


def _common(kind: str, tip: str) -> str:
    return f'class="{escaped(kind)}"' + (f' data-tip="{escaped(tip)}"' if tip else "")


def _mark(mark: Mark) -> str:
    if isinstance(mark, Rect):
        radius = f' rx="{number(mark.radius)}"' if mark.radius else ""
        box = f'x="{number(mark.x)}" y="{number(mark.y)}" width="{number(mark.width)}" height="{number(mark.height)}"'
        return f"<rect {_common(mark.kind, mark.tip)} {box}{radius}/>"
    if isinstance(mark, Line):
        return _line(mark)
    if isinstance(mark, Dot):
        return _dot(mark)
    return _text(mark)


def _path(points: tuple[tuple[float, float], ...]) -> str:
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)


def _line(mark: Line) -> str:
    path = f'<path {_common(mark.kind, mark.tip)} d="{_path(mark.points)}"/>'
    if not mark.arrow or len(mark.points) < 2:
        return path
    head = arrow_head(mark.points[-2], mark.points[-1])
    return path + (f'<path class="{escaped(mark.kind)}" d="{_path(head)}"/>' if head else "")


def arrow_head(start: tuple[float, float], end: tuple[float, float]) -> tuple[tuple[float, float], ...]:
    """The two strokes of an arrow's head at `end`; none where the arrow is too short."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = (dx * dx + dy * dy) ** 0.5
    if length < 4:
        return ()
    ux, uy = dx / length * 7, dy / length * 7
    left, right = (end[0] - ux - uy / 2, end[1] - uy + ux / 2), (end[0] - ux + uy / 2, end[1] - uy - ux / 2)
    return (left, end, right)


def _dot(mark: Dot) -> str:
    common = _common(mark.kind, mark.tip)
    if mark.row >= 0:
        common += f' data-i="{mark.row}"'
    if mark.focus:
        common += f' tabindex="0" role="img" aria-label="{escaped(mark.tip)}"'
    if mark.shape == "circle":
        return f'<circle {common} cx="{number(mark.x)}" cy="{number(mark.y)}" r="{number(mark.radius)}"/>'
    return f'<path {common} d="{_path(corners(mark))}Z"/>'


def corners(mark: Dot) -> tuple[tuple[float, float], ...]:
    """The outline of a square or a diamond."""
    x, y, r = mark.x, mark.y, mark.radius
    if mark.shape == "square":
        return ((x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r))
    r *= 1.3
    return ((x, y - r), (x + r, y), (x, y + r), (x - r, y))


def _text(mark: Text) -> str:
    anchor = "" if mark.anchor == "start" else f' text-anchor="{mark.anchor}"'
    turn = f' transform="rotate(-90 {number(mark.x)} {number(mark.y)})"' if mark.turned else ""
    place = f'x="{number(mark.x)}" y="{number(mark.y)}"'
    return f'<text class="{escaped(mark.kind)}" {place}{anchor}{turn}>{escaped(mark.text)}</text>'
