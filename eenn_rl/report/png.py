"""Drawings as PNG files, by matplotlib (optional extra `figures`); and small images as PNG data, by hand."""

import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from eenn_rl.errors import not_installed
from eenn_rl.report.drawing import STYLES, Dot, Drawing, Line, Mark, Rect, Text
from eenn_rl.report.svg import arrow_head, corners

SCALE = 2.0
"""Image pixels per pixel of the drawing."""


def save(drawing: Drawing, path: Path) -> None:
    """Write `drawing` as a PNG file."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise not_installed("PNG figures need the package matplotlib", "figures", ", or use --format svg") from None
    figure = Figure(figsize=(drawing.width / 72, drawing.height / 72), dpi=72 * SCALE, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(0, drawing.width)
    axes.set_ylim(drawing.height, 0)
    for order, mark in enumerate(drawing.marks):
        _draw(axes, mark, order + 1)
    figure.savefig(path)


def _draw(axes: object, mark: Mark, order: int) -> None:
    from typing import Any, cast

    from matplotlib.patches import Circle, FancyBboxPatch, Polygon, Rectangle

    sheet, style = cast("Any", axes), STYLES[mark.kind]
    look: dict[str, Any] = {
        "facecolor": style.fill, "edgecolor": style.stroke, "linewidth": style.width, "alpha": style.opacity,
        "zorder": order,
    }  # fmt: skip
    if isinstance(mark, Text):
        align = {"start": "left", "middle": "center", "end": "right"}[mark.anchor]
        plain = mark.text.replace("$", r"\$")  # matplotlib would read formulas
        turn = 90 if mark.turned else 0
        sheet.text(mark.x, mark.y, plain, fontsize=style.size * 0.94, color=style.fill, ha=align, va="baseline",
                   rotation=turn, rotation_mode="anchor", weight=style.weight, zorder=order)  # fmt: skip
    elif isinstance(mark, Line):
        dash = (0, style.dash) if style.dash else "solid"
        if style.fill != "none":
            sheet.add_patch(Polygon(mark.points, closed=True, **look))
            return
        for points in (mark.points, arrow_head(*mark.points[-2:]) if mark.arrow else ()):
            if points:
                xs, ys = zip(*points, strict=True)
                sheet.plot(xs, ys, color=style.stroke, linewidth=style.width, alpha=style.opacity, linestyle=dash,
                           zorder=order)  # fmt: skip
    elif isinstance(mark, Dot):
        round_ = mark.shape == "circle"
        sheet.add_patch(Circle((mark.x, mark.y), mark.radius, **look) if round_ else Polygon(corners(mark), **look))
    elif isinstance(mark, Rect) and mark.radius:
        box = f"round,pad=0,rounding_size={mark.radius}"
        sheet.add_patch(FancyBboxPatch((mark.x, mark.y), mark.width, mark.height, boxstyle=box, **look))
    else:
        sheet.add_patch(Rectangle((mark.x, mark.y), mark.width, mark.height, **look))


def image_bytes(pixels: npt.NDArray[np.uint8]) -> bytes:
    """A PNG of `pixels` uint8 [C, H, W]; one channel is grey, three are colours, of others the first is shown."""
    channels = pixels if pixels.shape[0] == 3 else pixels[:1]
    rows = np.ascontiguousarray(channels.transpose(1, 2, 0))
    height, width, depth = rows.shape
    raw = np.concatenate([np.zeros((height, 1), np.uint8), rows.reshape(height, width * depth)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if depth == 3 else 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
