"""Plots as SVG, drawn by hand: nothing to load."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from personalization.evaluation.bootstrap import Interval

_WIDTH, _LABELS, _ROW, _PLOT = 860, 250, 26, 540


class Mark(NamedTuple):
    """A value with its interval; ``kind`` names its colour."""

    kind: str
    interval: Interval


class Row(NamedTuple):
    """One line of a plot: a label, and marks at the same height."""

    label: str
    marks: Sequence[Mark]


def bars(rows: Sequence[Row], title: str) -> str:
    """A bar with whiskers for the mark of each row."""
    return _plot(rows, title, bars=True)


def dots(rows: Sequence[Row], title: str) -> str:
    """Dots with whiskers; several in a row."""
    return _plot(rows, title, bars=False)


def _plot(rows: Sequence[Row], title: str, *, bars: bool) -> str:
    ends = [end for row in rows for mark in row.marks for end in mark.interval]
    low, high = min(0.0, *ends), max(*ends, 1e-9)
    step = _step(high - low)

    def x(value: float) -> float:
        return _LABELS + (value - low) / (high - low) * _PLOT

    height = _ROW * len(rows) + 34
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
    ]
    tick = step * int(low / step)
    while tick <= high + step / 1000:
        parts.append(
            f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="4"'
            f' y2="{height - 26}"/><text class="tick" x="{x(tick):.1f}" y="{height - 8}">'
            f"{tick:.3g}</text>"
        )
        tick += step
    for number, row in enumerate(rows):
        middle = 4 + _ROW * number + _ROW / 2
        parts.append(
            f'<text class="label" x="{_LABELS - 10}" y="{middle + 4:.1f}">'
            f"{escape(row.label)}</text>"
        )
        for place, mark in enumerate(row.marks):
            y = middle + (place - (len(row.marks) - 1) / 2) * 6
            value, least, most = mark.interval
            if bars:
                left, right = sorted((x(0.0), x(value)))
                parts.append(
                    f'<rect class="{mark.kind}" x="{left:.1f}" y="{y - 8:.1f}"'
                    f' width="{right - left:.1f}" height="16"/>'
                )
            else:
                parts.append(
                    f'<circle class="{mark.kind}" cx="{x(value):.1f}" cy="{y:.1f}" r="4"/>'
                )
            parts.append(
                f'<line class="whisker {mark.kind}" x1="{x(least):.1f}" x2="{x(most):.1f}"'
                f' y1="{y:.1f}" y2="{y:.1f}"/>'
            )
            if bars:
                parts.append(
                    f'<text class="value" x="{max(x(most), x(0.0)) + 6:.1f}" y="{y + 4:.1f}">'
                    f"{value:.3f}</text>"
                )
    return "".join([*parts, "</svg>"])


def _step(span: float) -> float:
    """A round distance between ticks: about five of them."""
    power = 1.0
    while power * 10 <= span / 5:
        power *= 10
    while power > span / 5:
        power /= 10
    return power * next(factor for factor in (1, 2, 5, 10) if power * factor >= span / 5)
