"""Quality against size as an SVG picture."""

from collections.abc import Sequence
from typing import NamedTuple

PANEL, GAP, TOP, LEFT = (260, 190), 70, 56, 60
COLOURS = ("#1b6ca8", "#c8553d", "#3a7d44", "#6b4c9a")


class Line(NamedTuple):
    """One contender."""

    name: str
    points: list[tuple[float, float, str]]  # x, y, label


class Panel(NamedTuple):
    """One figure of merit."""

    title: str
    lines: list[Line]
    level: float  # of fp32, dashed


def svg(panels: Sequence[Panel], x_title: str) -> str:
    """The panels side by side."""
    width = LEFT + len(panels) * (PANEL[0] + GAP)
    height = TOP + PANEL[1] + 48
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for index, panel in enumerate(panels):
        parts += _panel(panel, LEFT + index * (PANEL[0] + GAP), x_title)
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, left: int, x_title: str) -> list[str]:
    xs = [x for line in panel.lines for x, _, _ in line.points]
    ys = [y for line in panel.lines for _, y, _ in line.points] + [panel.level]
    to_x, to_y = _axis(xs, left, PANEL[0]), _axis(ys, TOP + PANEL[1], -PANEL[1])
    level = to_y(panel.level)
    parts = [
        f'<text x="{left}" y="16" font-weight="bold">{panel.title}</text>',
        f'<rect x="{left}" y="{TOP}" width="{PANEL[0]}" height="{PANEL[1]}" fill="none" '
        'stroke="#999"/>',
        f'<line x1="{left}" x2="{left + PANEL[0]}" y1="{level:.1f}" y2="{level:.1f}" '
        'stroke="#555" stroke-dasharray="5 4"/>',
        f'<text x="{left + PANEL[0] + 4}" y="{level + 4:.1f}">fp32</text>',
        f'<text x="{left}" y="{TOP + PANEL[1] + 34}">{x_title}</text>',
    ]
    for value in (min(ys), max(ys)):
        parts.append(
            f'<text x="{left - 6}" y="{to_y(value) + 4:.1f}" text-anchor="end">{value:.4g}</text>'
        )
    for value in (min(xs), max(xs)):
        parts.append(
            f'<text x="{to_x(value):.1f}" y="{TOP + PANEL[1] + 16}" text-anchor="middle">'
            f"{value:.2f}</text>"
        )
    for number, (line, colour) in enumerate(zip(panel.lines, COLOURS, strict=False)):
        parts.append(
            f'<text x="{left + 90 * number}" y="34" fill="{colour}">&#9679; {line.name}</text>'
        )
        parts += _line(line, to_x, to_y, colour)
    return parts


def _axis(values: list[float], start: int, length: int):
    """A map of values to pixels, with a margin on both sides."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return lambda value: start + length * (0.06 + 0.88 * (value - low) / span)


def _line(line: Line, to_x, to_y, colour: str) -> list[str]:
    places = [(to_x(x), to_y(y), label) for x, y, label in sorted(line.points)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
    parts = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>']
    for x, y, label in places:
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
        parts.append(f'<text x="{x + 5:.1f}" y="{y - 5:.1f}" fill="{colour}">{label}</text>')
    return parts
