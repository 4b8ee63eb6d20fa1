"""Scales and axes: from data to pixels, with ticks at round numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from eenn_rl.report.drawing import Drawing, Text


@dataclass(frozen=True)
class Scale:
    """Maps low..high to start..end pixels, evenly or by logarithm."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of `value`."""
        low, high, at = (log10(v) for v in (self.low, self.high, value)) if self.logarithmic else (
            self.low, self.high, value)  # fmt: skip
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def ticks(self, about: int = 6) -> list[float]:
        """Round values within the scale."""
        return _log_ticks(self.low, self.high) if self.logarithmic else _even_ticks(self.low, self.high, about)


def _even_ticks(low: float, high: float, about: int) -> list[float]:
    raw = (high - low) / max(1, about)
    power = 10.0 ** floor(log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    decades = log10(high / low)
    factors = (1, 2, 3, 4, 5, 6, 7, 8) if decades < 0.5 else (1, 2, 5) if decades < 2.5 else (1,)
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    found = [factor * 10.0**power for power in powers for factor in factors]
    inside = [value for value in found if low * 0.9999 <= value <= high * 1.0001]
    return inside if len(inside) >= 2 else _even_ticks(low, high, 4)


def padded(values: Sequence[float], share: float = 0.05, *, logarithmic: bool = False) -> tuple[float, float]:
    """The range of `values` with some room around it; never empty."""
    low, high = min(values), max(values)
    if logarithmic:
        ratio = max(high / low, 1.1) ** share
        return low / ratio, high * ratio
    room = (high - low) * share or abs(high) * share or 1.0
    return low - room, high + room


def number(value: float) -> str:
    """A tick's text: short, never in exponents for everyday sizes."""
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:.6g}"
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")


@dataclass(frozen=True)
class Frame:
    """The plotting area of a figure, and its two scales."""

    left: float
    top: float
    right: float
    bottom: float
    x: Scale
    y: Scale

    def axes(self, drawing: Drawing, x_label: str, y_label: str, x_ticks: int = 8, y_ticks: int = 5) -> None:
        """Draw grid, ticks and labels."""
        for value in self.y.ticks(y_ticks):
            at = self.y(value)
            drawing.line("grid", [(self.left, at), (self.right, at)])
            drawing.add(Text("tick", self.left - 8, at + 4, number(value), "end"))
        for value in self.x.ticks(x_ticks):
            at = self.x(value)
            drawing.line("grid", [(at, self.top), (at, self.bottom)])
            drawing.add(Text("tick", at, self.bottom + 18, number(value), "middle"))
        drawing.line("axis", [(self.left, self.top), (self.left, self.bottom), (self.right, self.bottom)])
        drawing.add(Text("label", (self.left + self.right) / 2, self.bottom + 38, x_label, "middle"))
        drawing.add(Text("label", 14, (self.top + self.bottom) / 2, y_label, "middle", turned=True))


def frame(
    drawing: Drawing, x: tuple[float, float], y: tuple[float, float], *, log_y: bool = False,
    margins: tuple[float, float, float, float] = (62, 14, 14, 46),
) -> Frame:  # fmt: skip
    """A frame that fills `drawing` but for `margins` (left, top, right, bottom)."""
    left, top, right, bottom = margins[0], margins[1], drawing.width - margins[2], drawing.height - margins[3]
    return Frame(left, top, right, bottom, Scale(*x, left, right), Scale(*y, bottom, top, log_y))
