"""Dashboard of SHOUTCLOUD from the service's view: retries, breaker, limits, cache."""

from frame import dashboard
from links import discover, of_breaker
from names import (
    ATTEMPT_ENDS,
    ATTEMPTS,
    CACHE_RESULTS,
    PERCENTILES,
    SHOUTS,
    SOURCES,
    increase,
    percentiles,
    quantile,
    rate,
    select,
    total,
)
from panels import heatmap, series, stat, timeline

COUNT = f"{ATTEMPTS}_count"
# Cancelled attempts are no indication of SHOUTCLOUD's health.
NOT_CANCELLED = 'error_type!="cancelled"'
GOOD = 'error_type=""'
RETRIES = "shoutback_upstream_retries_total"
STATE = "shoutback_breaker_state"
CACHE = "shoutback_cache_requests_total"


def state(name):
    matcher = f'state="{name}"'
    return f"max by (instance) ({select(STATE, matcher)})"


def hit_share(rates):
    hits = total(rates(CACHE, 'result="hit"'))
    return f"{hits} / {total(rates(CACHE))}"


NOW = [
    stat(
        "Failed attempts",
        "In the selected time range. Normal: below 1 %; retries hide that. Above 50 % the breaker opens.",
        f"1 - {total(increase(COUNT, NOT_CANCELLED, GOOD))} / {total(increase(COUNT, NOT_CANCELLED))}",
        "percentunit",
        [(0.01, "orange"), (0.5, "red")],
        noValue="no attempts",
        decimals=2,
    ),
    stat(
        "p99 of attempts",
        "Normal: some 100 ms. At SHOUTCLOUD_ATTEMPT_TIMEOUT (2 s): SHOUTCLOUD hangs.",
        quantile("0.99", ATTEMPTS, NOT_CANCELLED),
        "s",
        [(1, "orange"), (2, "red")],
        noValue="no attempts",
    ),
    stat(
        "Replicas with an open breaker",
        "Normal: none. It closes once SHOUTCLOUD responds; meanwhile cached and stale responses are served.",
        total(select(STATE, 'state="open"')),
        "none",
        [(1, "red")],
    ),
    stat(
        "Smallest retry budget",
        "Minimum of all replicas. Normal: 10, which is full. At 0 single failures reach clients.",
        f"min({select('shoutback_retry_budget_remaining')})",
        "none",
        [(None, "red"), (1, "orange"), (5, "green")],
        decimals=1,
    ),
    stat(
        "Cache hit ratio",
        "Of the lookups in the selected time range. Normal: the rate at which clients repeat texts.",
        hit_share(increase),
        "percentunit",
        noValue="no lookups",
        decimals=1,
    ),
    stat(
        "Largest cache",
        "Maximum of all replicas. Normal: up to CACHE_CAPACITY (32 MiB), where it stays once full.",
        f"max({select('shoutback_cache_bytes')})",
        "bytes",
    ),
]

CALLS = [
    series(
        "Attempts by outcome",
        "Normal: green. transient_status and timeout: SHOUTCLOUD fails or hangs; connection: it is unreachable; "
        "not_a_shout, unreadable, too_long, unexpected_status: another server responds instead of SHOUTCLOUD, check "
        "SHOUTCLOUD_URL, DNS and proxies.",
        [
            (total(rate(COUNT, GOOD)), "shout"),
            (total(rate(COUNT, 'error_type!=""'), "error_type"), "{{error_type}}"),
        ],
        "reqps",
        ATTEMPT_ENDS,
        stacked=True,
    ),
    series(
        "Responses of SHOUTCLOUD",
        "Attempts with a response, by status. Normal: 200. 429: it limits us; 5xx: it fails; 3xx and 4xx: the "
        "address is wrong.",
        [(total(rate(COUNT, 'http_response_status_code!=""'), "http_response_status_code"), "{{http_response_status_code}}")],
        "reqps",
        {"200": "green", "429": "yellow", "500": "dark-red", "502": "orange", "503": "red", "504": "dark-orange"},
        stacked=True,
    ),
    series(
        "Duration of attempts",
        "From connecting to the last byte. Normal: flat. Rising: SHOUTCLOUD is slow; more than BREAKER_SLOW_CALL (2 s) "
        "opens the breaker.",
        percentiles(ATTEMPTS, NOT_CANCELLED),
        "s",
        PERCENTILES,
    ),
    heatmap(
        "Durations of attempts",
        "Normal: one band. A second band far above: part of SHOUTCLOUD hangs, or connections are lost.",
        total(increase(f"{ATTEMPTS}_bucket", NOT_CANCELLED, window="$__rate_interval"), "le"),
    ),
]

RETRYING = [
    series(
        "Retries by reason",
        "By the outcome of the previous attempt. Normal: a few. Many: see the budget.",
        [(total(rate(RETRIES), "reason"), "{{reason}}")],
        "reqps",
        ATTEMPT_ENDS,
        stacked=True,
        width=8,
    ),
    series(
        "Connections",
        "Normal: almost all reused. Many opened: SHOUTCLOUD closes connections early, or calls time out. Stale: it closed a "
        "connection while idle; the request was repeated at once and cost no retry.",
        [(total(rate("shoutback_upstream_connections_total"), "event"), "{{event}}")],
        "reqps",
        {"reused": "green", "opened": "blue", "stale": "orange"},
        stacked=True,
        width=8,
    ),
    series(
        "Retry budget",
        "Remaining retries of each replica: every call deposits a fifth, every retry withdraws one. Normal: 10. At 0: "
        "no retries; wait, or set SHOUTCLOUD_FALLBACK=local if local conversion suffices.",
        [(total(select("shoutback_retry_budget_remaining"), "instance"), "{{instance}}")],
        "short",
        thresholds=[(1, "red")],
        width=8,
    ),
    series(
        "Attempts per call",
        "Load on SHOUTCLOUD per call. Normal: 1. The budget limits it to 1.2 on average.",
        [(f"{total(rate(COUNT))} / ({total(rate(COUNT))} - {total(rate(RETRIES))})", "attempts")],
        "none",
        {"attempts": "green"},
        thresholds=[(1.2, "orange")],
        width=8,
    ),
]

BREAKER = [
    timeline(
        "Breaker",
        "Per replica. Normal: closed. Open: no calls for BREAKER_OPEN_FOR (10 s), then a few probes "
        "decide. Only one replica: look at that replica's network.",
        f"{state('half_open')} + 2 * {state('open')}",
        "{{instance}}",
        {0: ("closed", "green"), 1: ("half open", "yellow"), 2: ("open", "red")},
        links=of_breaker(),
    ),
    series(
        "Changes of the breaker",
        "Per minute, by transition. Normal: none. Alternating open and half open: SHOUTCLOUD is still down.",
        [(total(increase("shoutback_breaker_transitions_total", window="1m"), "from, to"), "{{from}} to {{to}}")],
        "short",
        {
            "closed to open": "red",
            "half_open to open": "dark-red",
            "open to half_open": "yellow",
            "half_open to closed": "green",
        },
        links=of_breaker(),
    ),
]

BULKHEAD = [
    series(
        "Calls in flight",
        "Per replica, including waits between attempts. Normal: rate times duration. At "
        "SHOUTCLOUD_MAX_CONCURRENCY (256): further calls wait.",
        [(total(select("shoutback_upstream_in_flight"), "instance"), "{{instance}}")],
        "short",
    ),
    series(
        "Waiting calls",
        "Queued for a permit. Normal: none. At SHOUTCLOUD_MAX_QUEUE (1024) requests are rejected as overloaded. "
        "SHOUTCLOUD is slow: raise the limit only if it can handle more.",
        [(total(select("shoutback_upstream_queued"), "instance"), "{{instance}}")],
        "short",
    ),
]

CACHE = [
    series(
        "Cache lookups",
        "Hit: no call needed; stale: expired, and used only if SHOUTCLOUD fails; bypass: by request of the client. "
        "Normal: constant ratios. All misses: it is off, or just started.",
        [(total(rate(CACHE), "result"), "{{result}}")],
        "reqps",
        CACHE_RESULTS,
        stacked=True,
    ),
    series(
        "Cache hit ratio over time",
        "Normal: constant. A temporary drop after a deployment is an empty cache.",
        [(hit_share(rate), "hit")],
        "percentunit",
        CACHE_RESULTS,
        max=1,
    ),
    series(
        "Size of the cache",
        "Per replica. Normal: grows to CACHE_CAPACITY and stays there.",
        [(total(select("shoutback_cache_bytes"), "instance"), "{{instance}}")],
        "bytes",
    ),
    series(
        "Duration of shouts by source",
        "p90. Normal: cache below a millisecond, coalesced no more than upstream. Cache slow: the machine is busy.",
        [(quantile("0.9", "shoutback_shout_duration_seconds", by="source"), "{{source}}")],
        "s",
        SOURCES,
    ),
    series(
        "Shouts by source and outcome",
        "All shouts. Normal: success from upstream or cache. Failures of coalesced: concurrent requests "
        "for the same text while it failed.",
        [(total(rate(SHOUTS), "source, outcome"), "{{outcome}} from {{source}}")],
        "reqps",
        stacked=True,
        width=24,
        links=[("Requests by source, in Kibana", discover('event.action:"request" and shoutback.source:"${__field.labels.source}"'))],
    ),
]

VALKEY = [
    stat(
        "Replicas that use Valkey",
        "Normal: all. Fewer: the others enforce their share of the quotas, and skip the shared cache.",
        f"sum({select('shoutback_valkey_up')})",
        "short",
        [(None, "red"), (1, "green")],
        noValue="no VALKEY_URL",
    ),
    series(
        "Replicas that share the quotas",
        "As each replica last saw it. Normal: all see the same number.",
        [(total(select("shoutback_valkey_replicas"), "instance"), "{{instance}}")],
        "short",
        width=8,
    ),
    series(
        "Commands of Valkey",
        "Normal: success. timeout: it is slow, or VALKEY_TIMEOUT too short. skipped: it is failing, and costs no request time.",
        [(total(rate("shoutback_valkey_requests_total"), "operation, outcome"), "{{operation}}: {{outcome}}")],
        "reqps",
        stacked=True,
        width=12,
    ),
]

DASHBOARD = dashboard(
    "upstream",
    "SHOUTCLOUD, breaker and cache",
    "Health of SHOUTCLOUD, and the service's protection against its failures.",
    {
        "Now": NOW,
        "Calls": CALLS,
        "Retries": RETRYING,
        "Circuit breaker": BREAKER,
        "Limits": BULKHEAD,
        "Cache": CACHE,
        "Valkey": VALKEY,
    },
)
