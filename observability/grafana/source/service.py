"""Main dashboard: effect on clients, cause, and single requests."""

from frame import dashboard, typed
from links import discover, of_problem, trace
from names import (
    ALERTS,
    NOT_CANCELLED,
    ATTEMPTS,
    BUDGET,
    COUNTED,
    ENDS,
    FAILED,
    PERCENTILES,
    PROBLEMS,
    REQUESTS,
    SECOND,
    SHOUTS,
    SOURCES,
    TIMED,
    ORIGINS,
    burn_rate,
    failed_share,
    increase,
    percentiles,
    quantile,
    rate,
    select,
    total,
)
from panels import heatmap, series, stat, text

COUNT = f"{REQUESTS}_count"
SERVED_IN_RANGE = f"1 - {total(increase(COUNT, FAILED))} / {total(increase(COUNT, COUNTED))}"
BUDGET_LEFT = f"1 - {failed_share('30d')} / {BUDGET}"


def ended(*matchers):
    return total(rate(COUNT, 'http_route="/v1"', *matchers))


REQUEST_LINE = discover('http.request.id:"${request}"', environment=False)
TRACE_LINES = discover('trace.id:"${trace}"', environment=False)
ONE_REQUEST = f"""
Every response has an `x-request-id`, and every problem has it as its `instance`. Enter it, or a trace id, in the field
**Request** or **Trace** at the top, then:

- [the request's line in Kibana]({REQUEST_LINE}): client, outcome, duration, source of the response, number of
  attempts, and `trace.id`;
- [all log lines of the trace in Kibana]({TRACE_LINES});
- [the trace]({trace("${trace}")}): each attempt to call SHOUTCLOUD with its outcome, and the waits between them.

If Kibana finds nothing, widen the dashboard's time range, which the links use.
"""

CLIENTS = [
    stat(
        "Served",
        "Ratio of responses on /v1 in the selected time range without 5xx errors (except keys-unavailable). "
        "Normal: above 99.9 %. Below: see the problem in \"Failures by problem\", and the runbook's section "
        "on SHOUTCLOUD.",
        SERVED_IN_RANGE,
        "percentunit",
        [(None, "red"), (0.999, "green")],
        decimals=3,
    ),
    stat(
        "Error budget left",
        "Of the permitted failures in 30 days (0.1 % of all responses). Normal: above 50 %. At 0 the objective is missed: no "
        "risky deployments until it has recovered.",
        BUDGET_LEFT,
        "percentunit",
        [(None, "red"), (0, "orange"), (0.5, "green")],
        decimals=1,
    ),
    stat(
        "Burn rate, last hour",
        "How many times faster than permitted the budget is spent. Normal: below 1. At 14.4 an alert pages: the "
        "budget of a month would be spent in two days.",
        burn_rate("1h"),
        "none",
        [(1, "orange"), (14.4, "red")],
        decimals=2,
    ),
    stat(
        "Requests",
        "To /v1, of all selected replicas. Normal: as at this hour yesterday. None at all: look at the ingress.",
        ended(),
        "reqps",
    ),
    stat(
        "p99",
        "Duration of responses on /v1. Normal: that of SHOUTCLOUD. More than a second: see \"Duration with and without "
        "retries\".",
        quantile("0.99", REQUESTS, NOT_CANCELLED),
        "s",
        [(1, "orange"), (5, "red")],
    ),
    stat(
        "Alerts firing",
        "Normal: none. Red marks in the graphs show when; each alert has a section in the runbook.",
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
        "5xx of /v1. Normal: none for minutes. upstream-*: SHOUTCLOUD; overloaded: our limits; "
        "keys-unavailable: Cognito's keys cannot be fetched; internal-error: a bug, look at the "
        "logs. Click a line for its requests.",
        [(total(rate(COUNT, 'http_route="/v1",http_response_status_code=~"5.."'), "error_type"), "{{error_type}}")],
        "reqps",
        PROBLEMS,
        stacked=True,
        links=of_problem(),
    ),
    series(
        "Duration",
        "Of all responses on /v1, including rejections. Normal: p50 is a cache hit or one call. p99 near "
        "SHOUTCLOUD_DEADLINE (5 s): SHOUTCLOUD hangs; the breaker opens if most calls do.",
        percentiles(REQUESTS, NOT_CANCELLED),
        "s",
        PERCENTILES,
    ),
    heatmap(
        "Durations",
        "Responses by duration. Normal: a band at the bottom from the cache, another at the duration of SHOUTCLOUD's "
        "calls. A band at the attempt timeout (2 s) or above: retries after timeouts.",
        total(increase(f"{REQUESTS}_bucket", NOT_CANCELLED, window="$__rate_interval"), "le"),
    ),
    series(
        "Rejections by problem",
        "4xx of /v1. Normal: some. unauthenticated and forbidden: tokens, see the dashboard of clients; "
        "rate-limited: a client over its quota; others: a client with malformed requests. Click a line for "
        "its requests.",
        [(total(rate(COUNT, 'http_route="/v1",http_response_status_code=~"4.."'), "error_type"), "{{error_type}}")],
        "reqps",
        stacked=True,
        links=of_problem(),
    ),
    series(
        "Requests on other routes",
        "By route: documentation, OpenAPI document, and unmatched paths. Normal: few. A flood of "
        "unmatched: a scanner, or a client with a wrong path.",
        [(total(rate(COUNT, 'http_route!="/v1"'), "http_route"), "{{http_route}}")],
        "reqps",
    ),
]

SLO = [
    series(
        "Burn rate",
        "1 spends the budget in exactly 30 days. Pages: above 14.4 over 1 h and 5 m, or above 6 over 6 h and 30 m. A "
        "ticket: above 1 over 3 d and 6 h. Normal: below 1.",
        [(burn_rate(window), window) for window in ("5m", "30m", "1h", "6h", "3d")],
        "none",
        width=8,
        thresholds=[(1, "yellow"), (6, "orange"), (14.4, "red")],
    ),
    series(
        "Error budget over time",
        "Of the last 30 days. Normal: rises and falls slowly. A step down is an outage; its cost is the height of "
        "the step.",
        [(BUDGET_LEFT, "left")],
        "percentunit",
        {"left": "green"},
        thresholds=[(None, "red"), (0, "green")],
        width=8,
        min=None,
        max=1,
    ),
    series(
        "Slower than the objective",
        "Ratio of responses that took more than a second. Objective: at most 5 % over 30 days, with burn rate alerts like "
        "availability. Normal: below 5 %. Above: see \"Duration with and without retries\" below.",
        [(f"1 - {total(rate(f'{REQUESTS}_bucket', TIMED, SECOND))} / {total(rate(COUNT, TIMED))}", "over 1 s")],
        "percentunit",
        {"over 1 s": "red"},
        thresholds=[(0.05, "red")],
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
        "Shoutback or SHOUTCLOUD": BLAME,
        "Saturation": SATURATION,
        "Single request": [text("One request", ONE_REQUEST)],
    },
    variables=[
        typed("request", "Request", "An x-request-id, for the links at the bottom."),
        typed("trace", "Trace", "A trace id, for the links at the bottom."),
    ],
)
