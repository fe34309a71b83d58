"""The rules of Prometheus: recorded ratios and budgets, and the alerts on burn rates."""

from objectives import BY_NAME, MIN_BAD_EVENTS, OBJECTIVES, indented, seconds

HEADER = "# Generated from observability/slo/objectives.py by `make slo`. Do not edit.\n"
BAD = "job_environment_slo:shoutback_bad"
TOTAL = "job_environment_slo:shoutback_total"
INSTANCE_BAD, INSTANCE_TOTAL = "job_environment_instance_slo:shoutback_bad", "job_environment_instance_slo:shoutback_total"
BUDGET = "job_environment_slo:shoutback_budget_left:ratio30d"

LASTS = {
    "BurnFast": "a month's error budget lasts two days at most",
    "BurnSlow": "a month's error budget lasts five days at most",
}
PERIODS = {"10m": "ten minutes", "1h": "hour", "6h": "six hours", "3d": "three days"}


def rule(record, expression, labels):
    pairs = "".join(f"          {name}: {value}\n" for name, value in labels.items())
    return f"      - record: {record}\n        labels:\n{pairs}        expr: |\n{indented(expression, ' ' * 10)}\n"


def recording():
    groups = []
    for window in sorted({window for objective in OBJECTIVES for window in objective.windows()}, key=seconds):
        rules = []
        for objective in OBJECTIVES:
            if window in objective.windows():
                rules.append(rule(f"{BAD}:ratio_rate{window}", objective.bad_ratio(window), objective.labels))
            if window in {tier.long for tier in objective.tiers}:
                rules.append(rule(f"{BAD}:increase{window}", objective.bad_events(window), objective.labels))
        groups.append(f"  - name: shoutback-slo-{window}\n    rules:\n{''.join(rules)}")
    rates = []
    for objective in OBJECTIVES:
        rates.append(rule(f"{BAD}:rate5m", objective.bad_events("5m", "rate"), objective.labels))
        rates.append(rule(f"{TOTAL}:rate5m", objective.counted("5m"), objective.labels))
    # A query over 30 days of raw counters takes seconds for each refresh of a dashboard.
    for objective in OBJECTIVES:
        slo = f'{{slo="{objective.name}"}}'
        spent = f"sum_over_time({BAD}:rate5m{slo}[30d])\n/\nsum_over_time({TOTAL}:rate5m{slo}[30d])\n/ {objective.budget:g}"
        rates.append(rule(BUDGET, f"1 -\n{spent}", {"slo": objective.name}))
    # One bad replica of many.
    instances = []
    for name in ("availability", "latency"):
        objective, by = BY_NAME[name], "job, environment, instance"
        instances.append(rule(f"{INSTANCE_BAD}:ratio_rate10m", objective.bad_ratio("10m", by=by), objective.labels))
        instances.append(rule(f"{INSTANCE_TOTAL}:increase10m", objective.counted("10m", "increase", by=by), objective.labels))
    groups.append(f"  - name: shoutback-slo-instances\n    rules:\n{''.join(instances)}")
    groups.append(f"  - name: shoutback-slo-30d\n    rules:\n{''.join(rates)}")
    return HEADER + "groups:\n" + "".join(groups)


def condition(objective, tier):
    slo = f'{{slo="{objective.name}"}}'
    bound = f"{tier.factor:g} * {objective.budget:g}"
    return "\n".join([
        f"{BAD}:ratio_rate{tier.long}{slo} > {bound}",
        f"and {BAD}:ratio_rate{tier.short}{slo} > {bound}",
        f"and {BAD}:increase{tier.long}{slo} >= {MIN_BAD_EVENTS}",
    ])


def by_alert():
    """Yields each alert's name, with its pairs of objective and tier."""
    found = {}
    for objective in OBJECTIVES:
        for tier in objective.tiers:
            found.setdefault((f"Shoutback{objective.alert}{tier.alert}", objective.alert, tier.alert), []).append((objective, tier))
    return sorted(found.items())


def texts(kind, tier):
    """Returns summary and description."""
    failing = "fails" if kind == "Availability" else "is slow"
    start = "Shoutback in {{ $labels.environment }}"
    if tier == "Ticket":
        summary = f"{start} will miss an objective this month ({{{{ $labels.slo }}}})"
    else:
        summary = f"{start} {failing} ({{{{ $labels.slo }}}}): {LASTS[tier]}"
    what = "failed" if kind == "Availability" else "took too long, or were abandoned by their caller after too long,"
    look = "error_type of http_server_request_duration_seconds" if kind == "Availability" else "the duration of SHOUTCLOUD's attempts"
    description = (
        f"{{{{ $value | humanizePercentage }}}} of the requests {what} in the long window of the alert, and it continues. "
        f"Look first at {look}."
    )
    return summary, description


def alerts():
    rules = []
    for (name, kind, tier), members in by_alert():
        conditions = [condition(*member) for member in members]
        # `or` binds weaker than `and`.
        expression = "\nor\n".join(conditions)
        first = members[0][1]
        summary, description = texts(kind, tier)
        rules.append(
            f"      - alert: {name}\n"
            f"        expr: |\n{indented(expression, ' ' * 10)}\n"
            + (f"        for: {first.pending}\n" if seconds(first.pending) else "")
            + f"        labels:\n          severity: {first.severity}\n          team: shoutback\n"
            f"        annotations:\n"
            f'          summary: "{summary}"\n'
            f'          description: "{description}"\n'
            f"          runbook_url: RUNBOOK_BASE_URL/runbooks/{name}.md\n"
            f"          dashboard_url: GRAFANA_BASE_URL/d/shoutback-slo?var-environment={{{{ $labels.environment }}}}\n"
        )
    return HEADER + "groups:\n  - name: shoutback-slo-alerts\n    rules:\n" + "\n".join(rules)
