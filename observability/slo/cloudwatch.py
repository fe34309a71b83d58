"""The alarms of CloudWatch on burn rates.

CloudWatch keeps histograms whole, so "more than a ratio x took longer than b" is "the quantile 1 - x is above b", with as many
responses as make ten slow ones. A query may look back 24 hours, so the tickets' window of three days is one day.
"""

import math
import re

from objectives import BY_NAME, MIN_BAD_EVENTS, indented, seconds
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
            f"      ${{runbook_base_url}}/runbooks/{name}.md\n"
            f"    EvaluationCriteria:\n      PromQLCriteria:\n        Query: |\n{indented(query, ' ' * 10)}\n"
            f"        PendingPeriod: {seconds(first.pending)}\n        RecoveryPeriod: 300\n"
            f"    EvaluationInterval: {300 if tier == 'Ticket' else 60}\n"
            f"    Tags: [{{Key: severity, Value: {first.severity}}}, {{Key: team, Value: shoutback}}]\n"
        )
    entries.append(replica_differs())
    return HEADER + "# The alarms on burn rates do not notify by themselves: composite.yaml defines the notifications.\nmetric_alarms:\n" + "".join(entries)


def replica_differs():
    """Returns the alarm on one bad replica of many. Errors only: histograms cannot be compared in one query."""
    one = BY_NAME["availability"]

    def by_pod(series, function):
        (metric, matchers), = series
        return f"sum by (pod) (histogram_count({function}({metric}{{{SCOPE},{matchers}}}[10m])))"

    ratio = f"{by_pod(one.bad, 'rate')} / {by_pod(one.total, 'rate')}"
    query = f"(\n  {ratio}\n  > on () group_left\n  0.2 + quantile(0.5, {ratio})\n)\nand on (pod)\n{by_pod(one.total, 'increase')} >= 20"
    return (
        "  # A contributor is a replica. Slow replicas are Prometheus' alert of this name.\n"
        "  - AlarmName: ${name_prefix}ShoutbackReplicaDiffers\n"
        "    AlarmDescription: >-\n      One replica fails far more often than most of the others.\n"
        "      ${runbook_base_url}/runbooks/ShoutbackReplicaDiffers.md\n"
        f"    EvaluationCriteria:\n      PromQLCriteria:\n        Query: |\n{indented(query, ' ' * 10)}\n"
        "        PendingPeriod: 300\n        RecoveryPeriod: 300\n    EvaluationInterval: 60\n"
        '    AlarmActions: ["${ticket_topic_arn}"]\n    OKActions: ["${ticket_topic_arn}"]\n'
        "    Tags: [{Key: severity, Value: ticket}, {Key: team, Value: shoutback}]\n"
    )


def dashboard(text):
    """Replaces the panels about the objectives in the dashboard."""
    availability, latency = BY_NAME["availability"], BY_NAME["latency"]
    panels = "      # Generated from observability/slo/objectives.py by `make slo`.\n"
    panels += f'      - title: "Failed, as a ratio of what counts: the SLO allows {availability.budget:g}"\n        queries:\n'
    for window, name in (("5m", "5 minutes"), ("1h", "1 hour")):
        ratio = f"{number(availability.bad, 'rate', window)}\n/ {number(availability.total, 'rate', window)}"
        panels += f"          {name}: |\n{indented(ratio, ' ' * 12)}\n"
    panels += "      - title: Time until the response, or until the caller hung up, in seconds\n        queries:\n"
    for share in (0.5, 0.95, 0.99):
        panels += f"          p{share * 100:g}: histogram_quantile({share:g}, {summed(latency.total, 'rate', '5m')})\n"
    pattern = r"( +# objectives: begin[^\n]*\n).*?\n(\n)"
    return re.sub(pattern, lambda match: f"{match[1]}{panels}{match[2]}", text, flags=re.DOTALL)
