"""The picture of a comparison, as SVG: best feasible reward by distinct evaluations, median and quartiles."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from eenn_rl.comparison import Cell, quantiles

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 760, 420, 60, 20, 130, 50
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's palette, told apart by colour-blind readers too."""


class _Axes:
    def __init__(self, most: int, low: float, high: float) -> None:
        self.most, self.low, self.high = most, low, high

    def x(self, evaluations: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * float(np.log10(max(evaluations, 1)) / np.log10(max(self.most, 2)))

    def y(self, reward: float) -> float:
        share = (min(max(reward, self.low), self.high) - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share


def plot(path: Path, cells: Sequence[Cell], best: float | None) -> None:
    """Write the picture; the horizontal axis is logarithmic, the dashed line the best known reward, if there is one."""
    axes = _axes(cells, best)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" '
            f'font-size="12"><rect width="100%" height="100%" fill="white"/>'
        ),
        *_grid(axes),
    ]
    if best is not None:
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{axes.y(best):.1f}" y2="{axes.y(best):.1f}" stroke="#888" '
            'stroke-dasharray="4 3"/>'
        )
    for number, agent in enumerate(dict.fromkeys(cell.agent for cell in cells)):
        colour = COLOURS[number % len(COLOURS)]
        parts += _curve(axes, [cell for cell in cells if cell.agent == agent], colour)
        y = TOP + 18 * number + 10
        parts.append(
            f'<line x1="{WIDTH - RIGHT + 12}" x2="{WIDTH - RIGHT + 34}" y1="{y}" y2="{y}" stroke="{colour}" '
            f'stroke-width="2"/><text x="{WIDTH - RIGHT + 40}" y="{y + 4}">{escape(agent)}</text>'
        )
    path.write_text("\n".join([*parts, "</svg>"]), encoding="utf-8")


def _axes(cells: Sequence[Cell], best: float | None) -> _Axes:
    """From 0, or below the least reward where that is negative, to a little above the best."""
    top = 1.0 if best is None else best
    low = min([0.0, top, *(reward for cell in cells for _, reward in cell.improvements)])
    margin = 0.05 * ((top - low) or abs(top) or 1.0)
    return _Axes(max([1, *(cell.evaluations for cell in cells)]), low - margin if low < 0 else low, top + margin)


def _grid(axes: _Axes) -> list[str]:
    parts = [
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">distinct evaluations</text>',
        (
            f'<text x="16" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 16 {HEIGHT / 2})">best feasible '
            "reward</text>"
        ),
    ]
    for power in range(int(np.log10(axes.most)) + 1):
        x = axes.x(10**power)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{10**power:,}</text>')
    digits = max(2, 1 - int(np.floor(np.log10(axes.high - axes.low))))
    for reward in np.linspace(axes.low, axes.high, 6):
        y = axes.y(float(reward))
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{reward:.{digits}f}</text>')
    return parts


def _curve(axes: _Axes, cells: Sequence[Cell], colour: str) -> list[str]:
    counts = np.unique(np.geomspace(1, axes.most, 200).astype(int))
    rewards = np.array([[cell.reward_at(int(count)) for count in counts] for cell in cells])
    low, median, high = quantiles(rewards, (0.25, 0.5, 0.75))
    shown = np.isfinite(low)
    band = [*zip(counts[shown], high[shown], strict=True), *zip(counts[shown][::-1], low[shown][::-1], strict=True)]
    line = [(count, reward) for count, reward in zip(counts, median, strict=True) if np.isfinite(reward)]
    return [
        f'<polygon points="{_points(axes, band)}" fill="{colour}" opacity="0.15"/>',
        f'<polyline points="{_points(axes, line)}" fill="none" stroke="{colour}" stroke-width="2"/>',
    ]


def _points(axes: _Axes, pairs: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{axes.x(float(count)):.1f},{axes.y(float(reward)):.1f}" for count, reward in pairs)
