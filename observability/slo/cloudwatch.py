"""The alarms of CloudWatch on burn rates.

CloudWatch keeps histograms whole, so "more than a ratio x took longer than b" is "the quantile 1 - x is above b", with as many
responses as make ten slow ones. A query may look back 24 hours, so the tickets' window of three days is one day.
"""

import math

from objectives import MIN_BAD_EVENTS, indented, seconds
from prometheus import HEADER, by_alert

LONGEST = {"3d": "1d"}
SCOPE = 'environment="${environment}"'


def summed(series, function, window):
    """Returns a native histogram."""
    return " + ".join(f"sum({function}({metric}{{{SCOPE},{matchers}}}[{window}]))" for metric, matchers in series)


def number(series, function, window):
    return f"histogram_count({summed(series, function, window)})"


def condition(objective, tier):
    share = tier.factor * objective.budget
    windows = [LONGEST.get(window, window) for window in (tier.long, tier.short)]
    if objective.bad:
        ratios = [f"{number(objective.bad, 'rate', window)}\n  / {number(objective.total, 'rate', window)} > {share:g}" for window in windows]
        enough = f"{number(objective.bad, 'increase', windows[0])} >= {MIN_BAD_EVENTS}"
    else:
        bound = f"> {objective.threshold:g}"
        ratios = [f"histogram_quantile({1 - share:g}, {summed(objective.total, 'rate', window)}) {bound}" for window in windows]
        enough = f"{number(objective.total, 'increase', windows[0])} >= {math.ceil(MIN_BAD_EVENTS / share)}"
    together = "\nand ".join([*ratios, enough])
    return f'label_replace(\n{indented(together)},\n  "slo", "{objective.name}", "", ""\n)'


DESCRIPTIONS = {
    "BurnFast": "over the fast windows of the SLO, with ten bad ones at least: a month's error budget lasts two days at most.",
    "BurnSlow": "over the last six hours and the last half hour: a month's error budget lasts five days at most.",
    "Ticket": "over the last day and the last six hours: the month will miss an objective.",
}


def alarms():
    entries = []
    for (name, kind, tier), members in by_alert():
        ours = [(objective, tier) for objective, tier in members if objective.ours]
        query = "\nor ".join(condition(*member) for member in ours)
        first = ours[0][1]
        what = "Failed requests" if kind == "Availability" else "Late or abandoned requests"
        entries.append(
            f"  - AlarmName: ${{name_prefix}}{name}\n"
            f"    AlarmDescription: >-\n      {what} {DESCRIPTIONS[tier]}\n"
            f"      ${{runbook_base_url}}/runbook.md#{name.lower()}\n"
            f"    EvaluationCriteria:\n      PromQLCriteria:\n        Query: |\n{indented(query, ' ' * 10)}\n"
            f"        PendingPeriod: {seconds(first.pending)}\n        RecoveryPeriod: 300\n"
            f"    EvaluationInterval: {300 if tier == 'Ticket' else 60}\n"
            f"    Tags: [{{Key: severity, Value: {first.severity}}}, {{Key: team, Value: shoutback}}]\n"
        )
    return HEADER + "# These alarms do not notify by themselves: composite.yaml defines the notifications.\nmetric_alarms:\n" + "".join(entries)
