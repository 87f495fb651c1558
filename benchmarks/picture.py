"""Bars side by side, as an SVG that is small and the same each time. Not for: plots of what users measure."""

from __future__ import annotations

from html import escape

from benchmarks.measuring import short

WIDTH, LABEL, ROW = 760, 290, 24


def bars(title: str, sides: dict[str, float]) -> str:
    """One bar for each side, goque's in another colour, the figure at its end."""
    most = max(sides.values(), default=1.0)
    height = 44 + ROW * len(sides)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="10" y="22" font-size="14" font-weight="bold">{escape(title)}</text>',
    ]
    for row, (name, value) in enumerate(sides.items()):
        top = 36 + ROW * row
        length = max(1.0, (WIDTH - LABEL - 90) * value / most)
        colour = "#1f77b4" if name.startswith(("goque", "until")) else "#b5b5b5"
        lines += [
            f'<text x="{LABEL - 8}" y="{top + 13}" font-size="12" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LABEL}" y="{top}" width="{length:.0f}" height="{ROW - 7}" fill="{colour}"/>',
            f'<text x="{LABEL + length + 6:.0f}" y="{top + 13}" font-size="12">{short(value)}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
