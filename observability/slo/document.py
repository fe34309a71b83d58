"""The generated tables of docs/slo.md."""

import re

from objectives import OBJECTIVES


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def objectives():
    return table(
        ["SLO", "objective", "counts", "bad"],
        [[f"`{one.name}`", one.target, one.what, one.bad_is] for one in OBJECTIVES],
    )


def tiers():
    """Returns a row per tier; objectives with the same one share its row."""
    rows = {}
    for one in OBJECTIVES:
        for tier in one.tiers:
            row = (f"`Shoutback{one.alert}{tier.alert}`", tier.severity, f"{tier.factor:g}", f"{100 * tier.factor * one.budget:g} %", f"{tier.long} and {tier.short}", tier.pending)
            rows.setdefault(row, []).append(f"`{one.name}`")
    return table(["alert", "severity", "burn rate", "bad requests", "over", "for", "SLO"], [[*row, ", ".join(names)] for row, names in rows.items()])


def replaced(text, name, content):
    """Replaces what is between the markers of `name`."""
    pattern = rf"(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)"
    new, count = re.subn(pattern, lambda match: f"{match[1]}\n{content}\n\n{match[2]}", text, flags=re.DOTALL)
    assert count == 1, f"docs/slo.md lacks the markers of {name}"
    return new


def filled(text):
    return replaced(replaced(text, "objectives", objectives()), "burn rates", tiers())
