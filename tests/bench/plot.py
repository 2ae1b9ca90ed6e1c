"""The curves as a drawing in SVG: a panel for each kind, both axes logarithmic."""

import math
from collections.abc import Sequence
from html import escape

from tests.bench.growth import Curve

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, KEY = 760, 300, 64, 36, 44, 190
# Colours that people who see no red or green tell apart (Okabe and Ito), and dashes for those who see none.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES = ("", "6 3", "2 3", "8 3 2 3", "1 2", "12 4")
TITLES = {
    "size": "Seconds over size (MiB), file to file",
    "drops": "Seconds over the number of drops",
    "sources": "Seconds over sources at once",
}


def draw(curves: Sequence[Curve]) -> str:
    """An SVG document."""
    panels = list(dict.fromkeys(curve.panel for curve in curves))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT * len(panels)}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for number, panel in enumerate(panels):
        parts.append(f'<g transform="translate(0 {number * HEIGHT})">')
        parts += draw_panel(panel, [curve for curve in curves if curve.panel == panel])
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def draw_panel(panel: str, curves: Sequence[Curve]) -> list[str]:
    """One panel: its title, its axes with a line for each power of ten, a curve and a word for each."""
    xs = [x for curve in curves for x, _ in curve.points]
    ys = [y for curve in curves for _, y in curve.points]
    across = scale(min(xs), max(xs), LEFT, WIDTH - KEY)
    up = scale(
        10 ** math.floor(math.log10(min(ys))), 10 ** math.ceil(math.log10(max(ys))), HEIGHT - BOTTOM, TOP
    )
    parts = [f'<text x="{LEFT}" y="20" font-weight="bold">{escape(TITLES[panel])}</text>']
    for x in sorted(set(xs)):
        parts.append(
            f'<text x="{across(x):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x:,}</text>'
        )
    for power in range(math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys))) + 1):
        y = up(10**power)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - KEY}" stroke="#ccc"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10**power:g}</text>')
    for number, curve in enumerate(curves):
        style = f'stroke="{COLOURS[number]}" stroke-dasharray="{DASHES[number]}"'
        points = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in curve.points)
        key = TOP + 8 + 18 * number
        parts.append(f'<polyline points="{points}" fill="none" stroke-width="2" {style}/>')
        parts.append(f'<path d="M{WIDTH - KEY + 16} {key}h24" stroke-width="2" {style}/>')
        parts.append(f'<text x="{WIDTH - KEY + 46}" y="{key + 4}">{escape(curve.name)}</text>')
    return parts


def scale(least: float, most: float, start: float, end: float):
    """Where a number lies between two places, by its logarithm."""
    width = math.log(most / least) or 1
    return lambda value: start + (end - start) * math.log(value / least) / width
