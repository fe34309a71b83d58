"""Main dashboard: effect on clients, cause, and single requests."""

from frame import constant, dashboard, typed
from links import discover, of_problem, trace
from names import (
    ALERTS,
    API,
    ATTEMPTS,
    BUDGET_LEFT,
    COUNTED,
    ENDS,
    FAILED,
    PERCENTILES,
    PROBLEMS,
    REQUESTS,
    SHOUTS,
    SOURCES,
    WAITED,
    ORIGINS,
    burn_rate,
    increase,
    percentiles,
    quantile,
    rate,
    recorded,
    select,
    total,
)
from panels import heatmap, series, stat, text

COUNT = f"{REQUESTS}_count"
SERVED_IN_RANGE = f"1 - {total(increase(COUNT, FAILED))} / {total(increase(COUNT, COUNTED))}"
ABANDONED = f'{API},error_type="cancelled"'


def ended(*matchers):
    return total(rate(COUNT, API, *matchers))


REQUEST_LINE = discover('http.request.id:"${request}"', environment=False)
TRACE_LINES = discover('trace.id:"${trace}"', environment=False)
ONE_REQUEST = f"""
Every response has an `x-request-id`, and every problem has it as its `instance`. Enter it, or a trace id, in the field
**Request** or **Trace** at the top, then:

- [the request's line in Kibana]({REQUEST_LINE}): client, outcome, duration, source of the response, number of
  attempts, and `trace.id`;
- [all log lines of the trace in Kibana]({TRACE_LINES});
- [the trace]({trace("${trace}")}): each attempt to call SHOUTCLOUD with its outcome, and the waits between them. X-Ray writes the id
  `abcdef01…` as `1-abcdef01-…`.

If Kibana finds nothing, widen the dashboard's time range, which the links use.
"""

CLIENTS = [
    stat(
        "Served",
        "Ratio of the authenticated, well-formed requests that got a 2xx and not a 5xx in the selected time range. "
        "Normal: above 99.9 %. Below: see \"Failures by problem\", and the runbook. Those that hung up are the next tile.",
        SERVED_IN_RANGE,
        "percentunit",
        [(None, "red"), (0.999, "green")],
        decimals=3,
    ),
    stat(
        "Hung up",
        "Ratio of the requests that their caller abandoned in the selected time range. Normal: below 1 %. Above: responses take "
        "longer than the callers wait, see \"Duration\"; or one client has a timeout that is too short, see the dashboard of consumers.",
        f"{total(increase(COUNT, ABANDONED))} / {total(increase(COUNT, WAITED))}",
        "percentunit",
        [(0.01, "yellow"), (0.1, "red")],
        decimals=2,
        width=3,
    ),
    stat(
        "Error budget left",
        "The least of all objectives, over 30 days. Normal: above 50 %. At 0 an objective is missed: no "
        "risky deployments until it has recovered. Which one: dashboard of the objectives.",
        f"min({recorded(BUDGET_LEFT)})",
        "percentunit",
        [(None, "red"), (0, "orange"), (0.5, "green")],
        decimals=1,
    ),
    stat(
        "Burn rate, last hour",
        "How many times faster than permitted the budget of failures is spent. Normal: below 1. At 14.4 an alert pages: the "
        "budget of a month would be spent in two days.",
        burn_rate("1h", "availability"),
        "none",
        [(1, "orange"), (14.4, "red")],
        decimals=2,
        width=3,
    ),
    stat(
        "Requests",
        "To the API, of all selected replicas. Normal: as at this hour yesterday. None at all: look at the ingress.",
        ended(),
        "reqps",
        width=3,
    ),
    stat(
        "p99",
        "How long consumers waited for the API, for a response or until they hung up. Normal: as long as SHOUTCLOUD takes. More than a "
        "second: see \"Duration with and without retries\".",
        quantile("0.99", REQUESTS, WAITED),
        "s",
        [(1, "orange"), (5, "red")],
        width=3,
    ),
    stat(
        "Alerts firing",
        "Normal: none. Red marks in the graphs show when; each alert has a runbook.",
        f"count({ALERTS}) or vector(0)",
        "none",
        [(1, "red")],
    ),
]

RED = [
    series(
        "Requests by outcome",
        "Served is 2xx, rejected is 4xx (caused by the client), failed is 5xx (Shoutback or SHOUTCLOUD), cancelled are "
        "clients that disconnected before the response. Normal: nearly all green. Much blue: see \"Rejections by problem\", then "
        "the dashboard of clients.",
        [
            (ended('http_response_status_code=~"2.."'), "served"),
            (ended('http_response_status_code=~"4.."'), "rejected"),
            (ended('http_response_status_code=~"5.."'), "failed"),
            (ended('error_type="cancelled"'), "cancelled"),
        ],
        "reqps",
        ENDS,
        stacked=True,
    ),
    series(
        "Failures by problem",
        "5xx of the API. Normal: none for minutes. upstream-*: SHOUTCLOUD; overloaded: our limits; "
        "keys-unavailable: Cognito's keys cannot be fetched; internal-error: a bug, look at the "
        "logs. Click a line for its requests.",
        [(total(rate(COUNT, API, 'http_response_status_code=~"5.."'), "error_type"), "{{error_type}}")],
        "reqps",
        PROBLEMS,
        stacked=True,
        links=of_problem(),
    ),
    series(
        "Duration",
        "Of all requests to the API but the rejected, those that were abandoned included. Normal: p50 is a cache hit or one call. p99 near "
        "SHOUTCLOUD_DEADLINE (5 s): SHOUTCLOUD hangs; the breaker opens if most calls do.",
        percentiles(REQUESTS, WAITED),
        "s",
        PERCENTILES,
    ),
    heatmap(
        "Durations",
        "Responses by duration. Normal: a band at the bottom from the cache, another at the duration of SHOUTCLOUD's "
        "calls. A band at the attempt timeout (2 s) or above: retries after timeouts.",
        total(increase(f"{REQUESTS}_bucket", WAITED, window="$__rate_interval"), "le"),
    ),
    series(
        "Rejections by problem",
        "4xx of the API. Normal: some. unauthenticated and forbidden: tokens, see the dashboard of clients; "
        "rate-limited: a client over its quota; others: a client with malformed requests. Click a line for "
        "its requests.",
        [(total(rate(COUNT, API, 'http_response_status_code=~"4.."'), "error_type"), "{{error_type}}")],
        "reqps",
        stacked=True,
        links=of_problem(),
    ),
    series(
        "Requests on other routes",
        "By route: documentation, OpenAPI document, and unmatched paths. Normal: few. A flood of "
        "unmatched: a scanner, or a client with a wrong path.",
        [(total(rate(COUNT, API.replace("=~", "!~")), "http_route"), "{{http_route}}")],
        "reqps",
    ),
]

SLO = [
    series(
        "Burn rate",
        "Of each objective. 1 spends the budget in exactly 30 days. Normal: below 1. Which rates page, and over which windows: "
        "docs/slo.md.",
        [(burn_rate("5m"), "{{slo}}")],
        "none",
        thresholds=[(1, "yellow"), (6, "orange"), (14.4, "red")],
    ),
    series(
        "Error budget over time",
        "Of the last 30 days, by objective. Normal: rises and falls slowly. A step down is an outage; its cost is the height of "
        "the step.",
        [(recorded(BUDGET_LEFT), "{{slo}}")],
        "percentunit",
        thresholds=[(None, "red"), (0, "green")],
        min=None,
        max=1,
    ),
]
BUILD = "shoutback_build_info"


def by_version(of):
    """Returns rates by replica, summed by the version that the replica runs."""
    return f"sum by (version, commit) ({of} * on (job, environment, instance) group_left (version, commit) {select(BUILD)})"


def of_versions(*matchers):
    return by_version(total(rate(COUNT, *matchers), "job, environment, instance"))


VERSIONS = [
    series(
        "Requests by version",
        "Normal: one version. Two: a rollout in progress.",
        [(of_versions(WAITED), "{{version}} {{commit}}")],
        "reqps",
        stacked=True,
        width=8,
    ),
    series(
        "Failures by version",
        "Ratio of 5xx of each version. Normal: 0, and equal for all versions. Only the new one fails: roll back.",
        [(f"{of_versions(FAILED)} / {of_versions(COUNTED)}", "{{version}} {{commit}}")],
        "percentunit",
        width=8,
        max=1,
    ),
    series(
        "Rejected tokens by version",
        "Ratio of the tokens that each version rejects. Normal: equal for all versions. Only the new one rejects: its configuration "
        "does not match the clients; roll back.",
        [
            (
                " / ".join(
                    by_version(total(rate("shoutback_auth_total", *which), "job, environment, instance"))
                    for which in (['outcome!~"accepted|missing"'], ['outcome!="missing"'])
                ),
                "{{version}} {{commit}}",
            )
        ],
        "percentunit",
        width=8,
        max=1,
    ),
]


def failures_of(*problems):
    either = "|".join(problems)
    return ended(f'error_type=~"{either}"')


BLAME = [
    series(
        "Failures by origin",
        "SHOUTCLOUD: it failed, timed out or responded wrongly. Shoutback: a limit or a bug. Cognito: unavailable "
        "keys. Normal: none. Red: see the dashboard of the upstream; purple: \"Saturation\" below, and "
        "the logs.",
        [
            (failures_of("upstream-unavailable", "upstream-timeout", "upstream-invalid"), "SHOUTCLOUD"),
            (failures_of("internal-error", "overloaded"), "Shoutback"),
            (failures_of("keys-unavailable"), "Cognito"),
        ],
        "reqps",
        ORIGINS,
        stacked=True,
        width=8,
    ),
    series(
        "Duration with and without retries",
        "p99 of shouts that needed a call (Shoutback), and of single attempts (SHOUTCLOUD). Normal: close together. Both high: "
        "SHOUTCLOUD is slow. Only Shoutback: retries and their waits, the queue, or an overloaded machine.",
        [
            (quantile("0.99", "shoutback_shout_duration_seconds", 'source="upstream"'), "Shoutback"),
            (quantile("0.99", ATTEMPTS, 'error_type!="cancelled"'), "SHOUTCLOUD"),
        ],
        "s",
        ORIGINS,
        width=8,
    ),
    series(
        "Responses by source",
        "Sources of successful responses. Normal: upstream and cache. Yellow: SHOUTCLOUD fails and stale responses "
        "are served; orange: the local fallback.",
        [(total(rate(SHOUTS, 'outcome="success"'), "source"), "{{source}}")],
        "reqps",
        SOURCES,
        stacked=True,
        width=8,
    ),
]

LIMIT = "shoutback_limit"
# What a replica uses of each limit.
LIMITED = [
    ("shoutback_connections", "connections"),
    ("http_server_active_requests", "requests_in_flight"),
    ("shoutback_upstream_in_flight", "upstream_concurrency"),
    ("shoutback_upstream_queued", "upstream_queue"),
    ("shoutback_cache_bytes", "cache_bytes"),
]


def limit(name):
    return f'limit="{name}"'


SATURATION = [
    series(
        "Requests in flight",
        "Per replica. Normal: rate times duration. Steady growth: SHOUTCLOUD hangs, or clients do not read responses.",
        [(total(select("http_server_active_requests"), "instance"), "{{instance}}")],
        "short",
        width=8,
    ),
    series(
        "Calls to SHOUTCLOUD",
        "In flight, and waiting for one of SHOUTCLOUD_MAX_CONCURRENCY (256) permits per replica. Normal: none "
        "waits.",
        [
            (total(select("shoutback_upstream_in_flight")), "in flight"),
            (total(select("shoutback_upstream_queued")), "waiting"),
        ],
        "short",
        {"in flight": "green", "waiting": "orange"},
        width=8,
    ),
    series(
        "Overloaded",
        "Requests rejected because concurrency limit and queue were full. Normal: none. Add replicas if "
        "CPUs are busy (dashboard of the runtime); raise SHOUTCLOUD_MAX_CONCURRENCY only if SHOUTCLOUD can handle "
        "more.",
        [(total(rate("shoutback_overloaded_total"), "instance"), "{{instance}}")],
        "reqps",
        width=8,
    ),
    series(
        "Utilisation of limits",
        "Of the replica closest to its limit. Normal: below 70 %. At 1 the next connection waits in the backlog, or the next request "
        "is rejected as overloaded.",
        [
            (f"max({total(select(used), 'instance')} / {total(select(LIMIT, limit(name)), 'instance')})", name)
            for used, name in LIMITED
        ],
        "percentunit",
        thresholds=[(0.7, "orange"), (1, "red")],
        width=8,
    ),
    series(
        "Rejected connections",
        "Connections without a complete request, and those that had to wait. Normal: few. header_timeout: clients that send nothing; "
        "parser: not HTTP, or too large; limit_wait: MAX_CONNECTIONS are open.",
        [(total(rate("shoutback_connections_rejected_total"), "reason"), "{{reason}}")],
        "cps",
        width=8,
    ),
    series(
        "Wait for a permit",
        "How long calls to SHOUTCLOUD wait for one of SHOUTCLOUD_MAX_CONCURRENCY permits. Normal: p99 near 0. Seconds: SHOUTCLOUD is "
        "slow, or the limit is too low.",
        percentiles("shoutback_upstream_queue_duration_seconds"),
        "s",
        PERCENTILES,
        width=8,
    ),
]

DASHBOARD = dashboard(
    "service",
    "service",
    "Are clients served? Is it Shoutback or SHOUTCLOUD? What happened to a request?",
    {
        "Overview": CLIENTS,
        "Rate, errors, duration": RED,
        "Error budget": SLO,
        "Versions": VERSIONS,
        "Shoutback or SHOUTCLOUD": BLAME,
        "Saturation": SATURATION,
        "Single request": [text("One request", ONE_REQUEST)],
    },
    variables=[
        typed("request", "Request", "An x-request-id, for the links at the bottom."),
        typed("trace", "Trace", "A trace id, for the links at the bottom."),
        constant("traces", "URL of a trace without its id, and without a trailing slash.", "TRACES_BASE_URL"),
    ],
)
