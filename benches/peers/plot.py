"""Draws a bar chart."""

import math
from html import escape

WIDTH, LABELS, BAR, GAP, TOP = 820, 300, 22, 10, 44


def bars(title, values):
    """Returns an SVG with one bar per item of `values`, pairs of a label and a number, on a logarithmic scale."""
    low = 10 ** math.floor(math.log10(min(value for _, value in values)))
    high = 10 ** math.ceil(math.log10(max(value for _, value in values)))
    plot_width = WIDTH - LABELS - 80

    def scale(value):
        return plot_width * math.log10(value / low) / math.log10(high / low)

    height = TOP + len(values) * (BAR + GAP) + 30
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="16" y="26" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]
    tick = low
    while tick <= high:
        x = LABELS + scale(tick)
        lines.append(f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{height - 26}" stroke="#ddd"/>')
        lines.append(f'<text x="{x:.1f}" y="{height - 10}" text-anchor="middle" fill="#666">{tick:g}</text>')
        tick *= 10
    for index, (label, value) in enumerate(values):
        y = TOP + index * (BAR + GAP)
        middle = y + BAR * 0.7
        color = "#2b6cb0" if label.startswith("Shoutback") else "#a0aec0"
        width = max(1, scale(value))
        lines.append(f'<text x="{LABELS - 8}" y="{middle:.1f}" text-anchor="end">{escape(label)}</text>')
        lines.append(f'<rect x="{LABELS}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{color}"/>')
        lines.append(f'<text x="{LABELS + width + 6:.1f}" y="{middle:.1f}">{value:.1f}</text>')
    lines.append("</svg>")
    return "\n".join(lines) + "\n"
