"""Draws a bar chart with the spread of each bar."""

from html import escape

WIDTH, LABELS, BAR, GAP, TOP = 820, 300, 22, 10, 44


def bars(title, values):
    """Returns an SVG with one bar per item of `values`, pairs of a label and a `Spread`, from zero."""
    most = max(value.high for _, value in values)
    plot_width = WIDTH - LABELS - 80
    height = TOP + len(values) * (BAR + GAP) + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="16" y="26" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]

    def x(value):
        return LABELS + plot_width * value / most

    for index, (label, value) in enumerate(values):
        y = TOP + index * (BAR + GAP)
        middle = y + BAR * 0.7
        color = "#2b6cb0" if label.startswith("Shoutback") else "#a0aec0"
        lines.append(f'<text x="{LABELS - 8}" y="{middle:.1f}" text-anchor="end">{escape(label)}</text>')
        lines.append(f'<rect x="{LABELS}" y="{y}" width="{x(value.median) - LABELS:.1f}" height="{BAR}" fill="{color}"/>')
        lines.append(f'<line x1="{x(value.low):.1f}" y1="{y + BAR / 2}" x2="{x(value.high):.1f}" y2="{y + BAR / 2}" stroke="#1a202c" stroke-width="2"/>')
        lines.append(f'<text x="{x(value.high) + 6:.1f}" y="{middle:.1f}">{value.median:.1f}</text>')
    lines.append("</svg>")
    return "\n".join(lines) + "\n"
