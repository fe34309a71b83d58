"""Are consumers served, is it us or SHOUTCLOUD, and what happened to this one request?"""

from frame import dashboard, typed
from links import discover, of_problem, trace
from names import (
    ALERTS,
    ANSWERED,
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
    WHOSE,
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
Every answer carries `x-request-id`, and every problem has it as its `instance`. Put it, or a trace's id, into the field
**Request** or **Trace** at the top, then:

- [the request's line in Kibana]({REQUEST_LINE}): who asked, how it ended, how long it took, where the answer came from, how many
  attempts it waited for, and its `trace.id`;
- [everything that was logged under the trace, in Kibana]({TRACE_LINES});
- [the trace]({trace("${trace}")}): each attempt to call SHOUTCLOUD, the waits between them, and what each ended in.

If Kibana finds nothing, widen the time range first: its links take the dashboard's.
"""

CONSUMERS = [
    stat(
        "Served",
        "The share of answers to /v1 in the time shown that were no fault of ours (5xx, but for keys-unavailable). "
        "Normal: above 99.9 %. Below: see which problem it is under \"Failures by problem\", and the runbook's page "
        "on SHOUTCLOUD.",
        SERVED_IN_RANGE,
        "percentunit",
        [(None, "red"), (0.999, "green")],
        decimals=3,
    ),
    stat(
        "Error budget left",
        "Of what may fail in 30 days (0.1 % of all answers). Normal: above 50 %. At 0 the promise is broken: nothing "
        "risky is deployed until it has recovered.",
        BUDGET_LEFT,
        "percentunit",
        [(None, "red"), (0, "orange"), (0.5, "green")],
        decimals=1,
    ),
    stat(
        "Burn rate, last hour",
        "How many times faster than allowed the budget is spent. Normal: below 1. At 14.4 somebody is paged: the "
        "budget of a month would be gone in two days.",
        burn_rate("1h"),
        "none",
        [(1, "orange"), (14.4, "red")],
        decimals=2,
    ),
    stat(
        "Requests",
        "To /v1, of all replicas shown. Normal: what it was at this hour yesterday. None at all: look at the ingress.",
        ended(),
        "reqps",
    ),
    stat(
        "p99",
        "99 % of the answers to /v1 took less. Normal: what SHOUTCLOUD takes. More than a second: see \"Our time and "
        "SHOUTCLOUD's\".",
        quantile("0.99", REQUESTS, ANSWERED),
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
        "Requests by how they ended",
        "Served is 2xx, refused is 4xx (the caller's doing), failed is 5xx (ours or SHOUTCLOUD's), cancelled are "
        "those who hung up before the answer. Normal: nearly all green. Much blue: see \"Refusals by problem\", then "
        "the dashboard of consumers.",
        [
            (ended('http_response_status_code=~"2.."'), "served"),
            (ended('http_response_status_code=~"4.."'), "refused"),
            (ended('http_response_status_code=~"5.."'), "failed"),
            (ended('error_type="cancelled"'), "cancelled"),
        ],
        "reqps",
        ENDS,
        stacked=True,
    ),
    series(
        "Failures by problem",
        "5xx of /v1. Normal: none for minutes on end. upstream-*: SHOUTCLOUD; overloaded: our limits; "
        "keys-unavailable: Cognito's keys cannot be fetched; internal-error: a fault of the program, look at the "
        "logs. Click a line for its requests.",
        [(total(rate(COUNT, 'http_route="/v1",http_response_status_code=~"5.."'), "error_type"), "{{error_type}}")],
        "reqps",
        PROBLEMS,
        stacked=True,
        links=of_problem(),
    ),
    series(
        "Duration",
        "Of everything /v1 answered, refusals included. Normal: p50 is a cache hit or one call. p99 near "
        "SHOUTCLOUD_DEADLINE (5 s): SHOUTCLOUD hangs; the breaker opens by itself if most calls do.",
        percentiles(REQUESTS, ANSWERED),
        "s",
        PERCENTILES,
    ),
    heatmap(
        "Durations",
        "How many answers took how long. Normal: a band at the bottom from the cache, another at what SHOUTCLOUD "
        "takes. A band at the attempt's timeout (2 s) or above: retries after time-outs.",
        total(increase(f"{REQUESTS}_bucket", ANSWERED, window="$__rate_interval"), "le"),
    ),
    series(
        "Refusals by problem",
        "4xx of /v1. Normal: some. unauthenticated and forbidden: tokens, see the dashboard of consumers; "
        "rate-limited: a consumer over its quota; others: a consumer that sends what is no request. Click a line for "
        "its requests.",
        [(total(rate(COUNT, 'http_route="/v1",http_response_status_code=~"4.."'), "error_type"), "{{error_type}}")],
        "reqps",
        stacked=True,
        links=of_problem(),
    ),
    series(
        "Requests beside /v1",
        "By route: the page to try the API on, its description, and what has no route. Normal: little. A flood of "
        "unmatched: somebody scans, or a caller has the wrong path.",
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
        "Of the last 30 days. Normal: rises and falls slowly. A step down is an outage; what it cost is the height of "
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
        "Slower than promised",
        "Of all answers, those that took more than a second. Promised: at most 5 % over 30 days; alerts burn that budget as they "
        "do the other. Normal: below 5 %. Above: see \"Our time and SHOUTCLOUD's\" below.",
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
        "Failures by whose they are",
        "SHOUTCLOUD: it failed, hung or answered nonsense. Ours: a limit or a fault of the program. Cognito: its "
        "keys. Normal: none. Red: go on with the dashboard of the upstream; purple: \"How full is it?\" below, and "
        "the logs.",
        [
            (failures_of("upstream-unavailable", "upstream-timeout", "upstream-invalid"), "SHOUTCLOUD"),
            (failures_of("internal-error", "overloaded"), "ours"),
            (failures_of("keys-unavailable"), "Cognito"),
        ],
        "reqps",
        WHOSE,
        stacked=True,
        width=8,
    ),
    series(
        "Our time and SHOUTCLOUD's",
        "p99 of the shouts that needed a call, beside p99 of the single attempts. Normal: close together. Both high: "
        "SHOUTCLOUD is slow. Ours alone: retries and their waits, the queue, or a machine that is too busy.",
        [
            (quantile("0.99", "shoutback_shout_duration_seconds", 'source="upstream"'), "ours"),
            (quantile("0.99", ATTEMPTS, 'error_type!="cancelled"'), "SHOUTCLOUD"),
        ],
        "s",
        WHOSE,
        width=8,
    ),
    series(
        "Answers by source",
        "Where what was served came from. Normal: upstream and cache. Yellow: SHOUTCLOUD fails and what was kept "
        "helps; orange: capitals of our own.",
        [(total(rate(SHOUTS, 'outcome="success"'), "source"), "{{source}}")],
        "reqps",
        SOURCES,
        stacked=True,
        width=8,
    ),
]

SATURATION = [
    series(
        "Requests being served",
        "Of each replica. Normal: rate times duration. Rises without end: SHOUTCLOUD hangs, or answers are not taken.",
        [(total(select("http_server_active_requests"), "instance"), "{{instance}}")],
        "short",
        width=8,
    ),
    series(
        "Calls to SHOUTCLOUD",
        "Under way, and waiting for one of the SHOUTCLOUD_MAX_CONCURRENCY (256) a replica may have. Normal: nothing "
        "waits.",
        [
            (total(select("shoutback_upstream_in_flight")), "under way"),
            (total(select("shoutback_upstream_queued")), "waiting"),
        ],
        "short",
        {"under way": "green", "waiting": "orange"},
        width=8,
    ),
    series(
        "Overloaded",
        "Requests turned away because as many as may be were under way or waiting. Normal: none. Add replicas if "
        "processors are busy (dashboard of the runtime); raise SHOUTCLOUD_MAX_CONCURRENCY only if SHOUTCLOUD can bear "
        "more.",
        [(total(rate("shoutback_overloaded_total"), "instance"), "{{instance}}")],
        "reqps",
        width=8,
    ),
]

DASHBOARD = dashboard(
    "service",
    "service",
    "Are consumers served? Is it us or SHOUTCLOUD? What happened to this one request?",
    {
        "Are consumers served?": CONSUMERS,
        "Rate, errors, duration": RED,
        "Error budget": SLO,
        "Is it us or SHOUTCLOUD?": BLAME,
        "How full is it?": SATURATION,
        "What happened to this one request?": [text("One request", ONE_REQUEST)],
    },
    variables=[
        typed("request", "Request", "An x-request-id, for the links at the bottom."),
        typed("trace", "Trace", "A trace's id, for the links at the bottom."),
    ],
)
