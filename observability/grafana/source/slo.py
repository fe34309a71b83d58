"""Dashboard of the objectives: all budgets, and the view from outside."""

from frame import dashboard
from names import BAD, BUDGET_LEFT, EDGE_CODES, burn_rate, recorded
from panels import series, stat, table

PROBE = 'job="shoutback-probe",environment="$environment"'
LEFT = [(None, "red"), (0, "orange"), (0.5, "green")]
BURNING = [(None, "green"), (1, "orange"), (14.4, "red")]

BUDGETS = [
    table(
        "Objectives",
        "Over 30 days. Normal: more than half of each budget is left, and none burns faster than 1. Objectives and policy: docs/slo.md.",
        ["slo"],
        [
            ("budget left", recorded(BUDGET_LEFT), "percentunit", LEFT),
            ("burn rate, 5 m", burn_rate("5m"), "none", BURNING),
            ("burn rate, 6 h", burn_rate("6h"), "none", BURNING),
            ("bad, 5 m", recorded(f"{BAD}5m"), "percentunit", []),
        ],
    ),
    series(
        "Budgets over time",
        "Normal: rise and fall slowly. A step down is an outage; its height is what it cost.",
        [(recorded(BUDGET_LEFT), "{{slo}}")],
        "percentunit",
        thresholds=[(None, "red"), (0, "green")],
        min=None,
        max=1,
    ),
    series(
        "Bad requests",
        "Ratio by objective, over five minutes. Normal: 0 for most of the time.",
        [(recorded(f"{BAD}5m"), "{{slo}}")],
        "percentunit",
        max=1,
    ),
]

OUTSIDE = [
    stat(
        "Probe",
        "Whether the last request of the probe got a shout through the public host. Normal: 1. 0: see ShoutbackProbeFails in the runbook.",
        f"min(probe_success{{{PROBE}}})",
        "none",
        [(None, "red"), (1, "green")],
        noValue="no probe",
    ),
    stat(
        "Certificate",
        "Until the first certificate of the host's chain expires. Normal: more than 30 days. Below: cert-manager has not renewed it.",
        f"min(probe_ssl_earliest_cert_expiry{{{PROBE}}}) - time()",
        "s",
        [(None, "red"), (259_200, "orange"), (1_209_600, "green")],
        noValue="no probe",
    ),
    series(
        "Duration of the probe, by phase",
        "Normal: processing is most of it. resolve: DNS; connect: the load balancer; tls: the ingress.",
        [(f"sum by (phase) (probe_http_duration_seconds{{{PROBE}}})", "{{phase}}")],
        "s",
        stacked=True,
    ),
    series(
        "Responses, as NGINX sees them",
        "By status. Normal: as many as the replicas count. 502 and 504 are NGINX's own: a replica was gone, or did not respond.",
        [(EDGE_CODES, "{{code}}")],
        "reqps",
        stacked=True,
    ),
]

DASHBOARD = dashboard(
    "slo",
    "objectives",
    "Are the objectives met? What do consumers meet outside of the replicas?",
    {"Budgets": BUDGETS, "From outside": OUTSIDE},
    by_replica=False,
)
