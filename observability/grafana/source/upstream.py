"""SHOUTCLOUD as the service sees it, and what stands between: retries, breaker, limits, cache."""

from frame import dashboard
from links import discover, of_breaker, traces
from names import (
    ATTEMPT_ENDS,
    ATTEMPTS,
    LOOK_UPS,
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
# Whoever hung up says nothing about SHOUTCLOUD.
JUDGED = 'error_type!="cancelled"'
GOOD = 'error_type=""'
RETRIES = "shoutback_upstream_retries_total"
STATE = "shoutback_breaker_state"
LOOK = "shoutback_cache_requests_total"


def state(name):
    wanted = f'state="{name}"'
    return f"max by (instance) ({select(STATE, wanted)})"


def hit_share(rates):
    hits = total(rates(LOOK, 'result="hit"'))
    return f"{hits} / {total(rates(LOOK))}"


NOW = [
    stat(
        "Attempts that failed",
        "In the time shown. Normal: below 1 %; retries hide that. Above 50 % the breaker opens.",
        f"1 - {total(increase(COUNT, JUDGED, GOOD))} / {total(increase(COUNT, JUDGED))}",
        "percentunit",
        [(0.01, "orange"), (0.5, "red")],
        noValue="no attempts",
        decimals=2,
    ),
    stat(
        "p99 of an attempt",
        "Normal: what SHOUTCLOUD takes, some 100 ms. At SHOUTCLOUD_ATTEMPT_TIMEOUT (2 s): it hangs.",
        quantile("0.99", ATTEMPTS, JUDGED),
        "s",
        [(1, "orange"), (2, "red")],
        noValue="no attempts",
    ),
    stat(
        "Replicas with an open breaker",
        "Normal: none. It closes by itself once SHOUTCLOUD answers; meanwhile the cache and stale answers serve.",
        total(select(STATE, 'state="open"')),
        "none",
        [(1, "red")],
    ),
    stat(
        "Least retry budget",
        "Of any replica. Normal: 10, which is full. At 0 single failures reach consumers.",
        f"min({select('shoutback_retry_budget_remaining')})",
        "none",
        [(None, "red"), (1, "orange"), (5, "green")],
        decimals=1,
    ),
    stat(
        "Found in the cache",
        "Share of the look-ups in the time shown. Normal: as often as consumers repeat themselves.",
        hit_share(increase),
        "percentunit",
        noValue="no look-ups",
        decimals=1,
    ),
    stat(
        "Largest cache",
        "Of any replica. Normal: up to CACHE_CAPACITY (32 MiB), where it stays once full.",
        f"max({select('shoutback_cache_bytes')})",
        "bytes",
    ),
]

ENDED = "${__field.labels.error_type}"
CALLS = [
    series(
        "Attempts by how they ended",
        "Normal: green. transient_status and timeout: SHOUTCLOUD fails or hangs; connection: it cannot be reached; "
        "not_a_shout, unreadable, too_long, unexpected_status: somebody answers who is not SHOUTCLOUD, check "
        "SHOUTCLOUD_URL, DNS and proxies.",
        [
            (total(rate(COUNT, GOOD)), "shout"),
            (total(rate(COUNT, 'error_type!=""'), "error_type"), "{{error_type}}"),
        ],
        "reqps",
        ATTEMPT_ENDS,
        stacked=True,
        links=[("Traces with such attempts", traces(error__type=ENDED))],
    ),
    series(
        "What SHOUTCLOUD answered",
        "Attempts by status, where there was one. Normal: 200. 429: it limits us; 5xx: it fails; 3xx and 4xx: the "
        "address is wrong.",
        [(total(rate(COUNT, 'http_response_status_code!=""'), "http_response_status_code"), "{{http_response_status_code}}")],
        "reqps",
        {"200": "green", "429": "yellow", "500": "dark-red", "502": "orange", "503": "red", "504": "dark-orange"},
        stacked=True,
    ),
    series(
        "Duration of an attempt",
        "From connecting to the last byte. Normal: flat. Rising: SHOUTCLOUD is slow; past BREAKER_SLOW_CALL (2 s) "
        "that opens the breaker.",
        percentiles(ATTEMPTS, JUDGED),
        "s",
        PERCENTILES,
    ),
    heatmap(
        "Durations of attempts",
        "Normal: one band. A second band far above: part of SHOUTCLOUD hangs, or connections are lost.",
        total(increase(f"{ATTEMPTS}_bucket", JUDGED, window="$__rate_interval"), "le"),
    ),
]

RETRYING = [
    series(
        "Retries by reason",
        "Attempts made because the one before ended so. Normal: a few. Many: see the budget beside.",
        [(total(rate(RETRIES), "reason"), "{{reason}}")],
        "reqps",
        ATTEMPT_ENDS,
        stacked=True,
        width=8,
    ),
    series(
        "Retry budget",
        "Retries that each replica can still pay: every call adds a fifth, every retry takes one. Normal: 10. At 0: "
        "no retries; wait, or set SHOUTCLOUD_FALLBACK=local if capitals of our own will do.",
        [(total(select("shoutback_retry_budget_remaining"), "instance"), "{{instance}}")],
        "short",
        thresholds=[(1, "red")],
        width=8,
    ),
    series(
        "Attempts a call",
        "What SHOUTCLOUD bears for each call of ours. Normal: 1. The budget keeps it below 1.2 in the long run.",
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
        "Of each replica. Normal: closed. Open: nobody is called for BREAKER_OPEN_FOR (10 s), then a few probes "
        "decide. One replica alone: look at that replica's network.",
        f"{state('half_open')} + 2 * {state('open')}",
        "{{instance}}",
        {0: ("closed", "green"), 1: ("half open", "yellow"), 2: ("open", "red")},
        links=of_breaker(),
    ),
    series(
        "Changes of the breaker",
        "In each minute, by from and to. Normal: none. Open and half open in turns: SHOUTCLOUD is still down.",
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
        "Calls under way",
        "Of each replica, their waits between attempts included. Normal: rate times duration. At "
        "SHOUTCLOUD_MAX_CONCURRENCY (256): others wait.",
        [(total(select("shoutback_upstream_in_flight"), "instance"), "{{instance}}")],
        "short",
    ),
    series(
        "Calls that wait",
        "For one under way to end. Normal: none. At SHOUTCLOUD_MAX_QUEUE (1024) requests are refused as overloaded. "
        "SHOUTCLOUD is slow: raise the limit only if it can bear more.",
        [(total(select("shoutback_upstream_queued"), "instance"), "{{instance}}")],
        "short",
    ),
]

CACHE = [
    series(
        "Look-ups in the cache",
        "Hit: no call needed; stale: too old, and used only if SHOUTCLOUD fails; bypass: the caller did not want it. "
        "Normal: steady shares. All misses: it is off, or just started.",
        [(total(rate(LOOK), "result"), "{{result}}")],
        "reqps",
        LOOK_UPS,
        stacked=True,
    ),
    series(
        "Share found in the cache",
        "Normal: steady. A fall after a deployment is an empty cache, and passes.",
        [(hit_share(rate), "hit")],
        "percentunit",
        LOOK_UPS,
        max=1,
    ),
    series(
        "Size of the cache",
        "Of each replica. Normal: grows to CACHE_CAPACITY and stays there.",
        [(total(select("shoutback_cache_bytes"), "instance"), "{{instance}}")],
        "bytes",
    ),
    series(
        "Time for a shout, by source",
        "p90. Normal: cache below a millisecond, coalesced no more than upstream. Cache slow: the machine is busy.",
        [(quantile("0.9", "shoutback_shout_duration_seconds", by="source"), "{{source}}")],
        "s",
        SOURCES,
    ),
    series(
        "Shouts by source and outcome",
        "Everything the domain was asked. Normal: success from upstream or cache. Failures of coalesced: many asked "
        "for the same while it failed.",
        [(total(rate(SHOUTS), "source, outcome"), "{{outcome}} from {{source}}")],
        "reqps",
        stacked=True,
        width=24,
        links=[("Requests by source, in Kibana", discover('event.action:"request" and shoutback.source:"${__field.labels.source}"'))],
    ),
]

DASHBOARD = dashboard(
    "upstream",
    "SHOUTCLOUD, breaker and cache",
    "How SHOUTCLOUD does, and what the service does about it.",
    {
        "Now": NOW,
        "How SHOUTCLOUD answers": CALLS,
        "Retries": RETRYING,
        "Circuit breaker": BREAKER,
        "Limits": BULKHEAD,
        "Cache": CACHE,
    },
)
