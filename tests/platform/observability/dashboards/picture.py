"""Draws a dashboard as SVG: panels in Grafana's layout, with the colours of the dashboard's JSON and data from Prometheus. This is not
Grafana's own rendering."""

import math
import re
from html import escape

COLUMN, ROW, GAP = 40, 26, 8
TEXT = "#ccccdc"
# The named colours of Grafana's dark theme (@grafana/data, createVisualizationColors.ts), from super-light to dark.
SHADES = ["super-light-", "light-", "", "semi-dark-", "dark-"]
HUES = {
    "red": ["#ffa6b0", "#ff7383", "#f2495c", "#e02f44", "#c4162a"],
    "orange": ["#ffcb7d", "#ffb357", "#ff9830", "#ff780a", "#fa6400"],
    "yellow": ["#fff899", "#ffee52", "#fade2a", "#f2cc0c", "#e0b400"],
    "green": ["#c8f2c2", "#96d98d", "#73bf69", "#56a64b", "#37872d"],
    "blue": ["#c0d8ff", "#8ab8ff", "#5794f2", "#3274d9", "#1f60c4"],
    "purple": ["#deb6f2", "#ca95e5", "#b877d9", "#a352cc", "#8f3bb8"],
}
COLOURS = {"text": TEXT} | {shade + hue: colour for hue, colours in HUES.items() for shade, colour in zip(SHADES, colours, strict=True)}
# For series to which the JSON gives no colour. Grafana chooses it by a hash of the name.
OTHERS = [COLOURS[name] for name in ("green", "yellow", "blue", "orange", "red", "purple", "dark-green", "dark-yellow", "dark-blue", "dark-orange", "dark-red", "dark-purple")]
SCALES = {"percentunit": (100, " %"), "s": (1000, " ms"), "reqps": (1, "/s")}


def formatted(value, unit):
    factor, suffix = (1, " s") if unit == "s" and abs(value) >= 1 else SCALES.get(unit, (1, ""))
    value *= factor
    return f"{value:.3g}{suffix}" if abs(value) < 1000 else f"{value:,.0f}{suffix}"


def fixed_colours(panel):
    """Returns the colours that a panel gives to series, by their names."""
    return {
        override["matcher"]["options"]: COLOURS[found["value"]["fixedColor"]]
        for override in panel["fieldConfig"]["overrides"]
        if override["matcher"]["id"] == "byName"
        for found in override["properties"]
        if found["id"] == "color"
    }


def threshold_colour(panel, value):
    """Returns the colour of the highest threshold that a value reaches."""
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    return COLOURS[[step["color"] for step in steps if step["value"] is None or step["value"] <= value][-1]]


def draw(dashboard, until, series):
    """Returns an SVG of the panels above the row `until`. `series` maps (panel title, refId) to series."""
    lines, height = [], 0
    for panel in dashboard["panels"]:
        if panel["type"] == "row" and panel["title"] == until:
            break
        grid = panel["gridPos"]
        x, y = grid["x"] * COLUMN + GAP, grid["y"] * ROW + 40
        width, tall = grid["w"] * COLUMN - GAP, grid["h"] * ROW - GAP
        height = max(height, y + tall + GAP)
        if panel["type"] == "row":
            lines.append(f'<text x="{x}" y="{y + 17}" class="row">{escape(panel["title"])}</text>')
            continue
        lines.append(f'<rect x="{x}" y="{y}" width="{width}" height="{tall}" rx="3" fill="#181b1f" stroke="#2c3235"/>')
        # A title that is too long is condensed.
        fit = f' textLength="{width - 20}" lengthAdjust="spacingAndGlyphs"' if len(panel["title"]) * 7 > width - 20 else ""
        lines.append(f'<text x="{x + 10}" y="{y + 18}"{fit} class="title">{escape(panel["title"])}</text>')
        found = [
            (re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), query["legendFormat"]), samples)
            for query in panel.get("targets", [])
            for labels, samples in series[panel["title"], query["refId"]]
        ]
        found = [(legend, [(at, value) for at, value in samples if math.isfinite(value)]) for legend, samples in found]
        found = [(legend, samples) for legend, samples in found if samples]
        unit = panel["fieldConfig"]["defaults"].get("unit")
        if panel["type"] == "stat":
            last = found[0][1][-1][1] if found else None
            text, colour = ("no data", TEXT) if last is None else (formatted(last, unit), threshold_colour(panel, last))
            lines.append(f'<text x="{x + width / 2}" y="{y + tall / 2 + 20}" class="stat" style="fill:{colour}">{escape(text)}</text>')
        elif panel["type"] == "heatmap":
            lines += heatmap(found, COLOURS[panel["options"]["color"]["fill"]], x + 10, y + 28, width - 20, tall - 38)
        else:
            lines += curves(found, fixed_colours(panel), unit, x + 10, y + 28, width - 20, tall - 38)
    style = f"text{{font:12px sans-serif;fill:{TEXT}}}"
    style += ".row{font-size:14px;font-weight:bold}.title{font-weight:bold}.stat{font-size:26px;text-anchor:middle}.small{font-size:10px;fill:#9a9aa8}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {24 * COLUMN + GAP} {height}">',
            f"<style>{style}</style>",
            '<rect width="100%" height="100%" fill="#111217"/>',
            f'<text x="{GAP}" y="26" style="font-size:17px">{escape(dashboard["title"])}</text>',
            *lines,
            "</svg>\n",
        ]
    )


def curves(found, colours, unit, x, y, width, height):
    moments = [at for _, samples in found for at, _ in samples]
    if not moments:
        return [f'<text x="{x}" y="{y + 20}" class="small">no data</text>']
    begin, span = min(moments), max(max(moments) - min(moments), 1)
    most = max([value for _, samples in found for _, value in samples] + [1e-9])
    least = min([value for _, samples in found for _, value in samples] + [0])
    legend = 14 * ((len(found) + 2) // 3)
    height -= legend
    lines = [
        f'<text x="{x}" y="{y + 8}" class="small">{escape(formatted(most, unit))}</text>',
        f'<text x="{x + width}" y="{y + 8}" class="small" text-anchor="end">{span:.0f} s</text>',
        f'<line x1="{x}" y1="{y + height}" x2="{x + width}" y2="{y + height}" stroke="#2c3235"/>',
    ]
    for index, (name, samples) in enumerate(found):
        colour = colours.get(name) or OTHERS[index % len(OTHERS)]
        points = " ".join(
            f"{x + width * (at - begin) / span:.1f},{y + height - (height - 12) * (value - least) / (most - least):.1f}" for at, value in samples
        )
        lines.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        left, top = x + (index % 3) * width / 3, y + height + 14 * (index // 3 + 1)
        lines.append(f'<rect x="{left}" y="{top - 7}" width="8" height="3" fill="{colour}"/>')
        lines.append(f'<text x="{left + 12}" y="{top}" class="small">{escape(name[: int(width / 18)])}</text>')
    return lines


def heatmap(found, colour, x, y, width, height):
    """Returns the increase of each bucket between two samples, the lowest bucket first."""

    def bound(name):
        return math.inf if name == "+Inf" else float(re.search(r"[\d.e+-]+", name)[0])

    # Prometheus' buckets are cumulative.
    found = sorted(found, key=lambda one: bound(one[0]))
    below, alone = {}, []
    for name, samples in found:
        alone.append((name, [(at, value - below.get(at, 0)) for at, value in samples]))
        below = dict(samples)
    found = alone
    moments = sorted({at for _, samples in found for at, _ in samples})
    most = max([value for _, samples in found for _, value in samples] + [1e-9])
    lines = []
    for row, (_, samples) in enumerate(found):
        for at, value in samples:
            if value <= 0:
                continue
            left = x + width * moments.index(at) / len(moments)
            top = y + height - height * (row + 1) / len(found)
            lines.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{width / len(moments):.1f}" height="{height / len(found):.1f}" fill="{colour}" fill-opacity="{max(0.08, value / most):.2f}"/>'
            )
    return lines
