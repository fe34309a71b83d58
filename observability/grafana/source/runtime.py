"""The replicas themselves: builds, processes, their runtime, keys, and what they could not tell."""

from frame import dashboard
from names import rate, select, total
from panels import series, stat, table

BUILD = "shoutback_build_info"
FETCHED = "shoutback_jwks_last_success_timestamp_seconds"
# Nothing was fetched yet where it is 0.
AGE = f"time() - ({select(FETCHED)} > 0)"


def each(metric, *matchers):
    """Of each replica."""
    return [(total(select(metric, *matchers), "instance"), "{{instance}}")]


def busy(which):
    """A worker's share of its time; the counter is in microseconds."""
    counter = f"tokio_{which}_busy_duration"
    return f"max({rate(counter)}) / 1e6"


REPLICAS = [
    stat(
        "Replicas that answer",
        "The scrapes that succeed. Normal: as many as the deployment wants. Fewer: kubectl get pods; see the alert "
        "ShoutbackReplicaDown.",
        total(select("up")),
        "none",
        [(None, "red"), (2, "green")],
    ),
    stat(
        "Versions at once",
        "Normal: 1, and 2 while a deployment is under way. Longer: it hangs.",
        f"count(count by (commit) ({select(BUILD)}))",
        "none",
        [(2, "orange")],
    ),
    stat(
        "Youngest replica",
        "Since it started. Normal: since the last deployment. Minutes without one: it is restarted; look at its log "
        "and at its memory.",
        f"min(time() - {select('process_start_time_seconds')})",
        "s",
        [(None, "orange"), (600, "green")],
    ),
    stat(
        "Oldest key set",
        "Since Cognito's keys were last fetched, of any replica and pool. Normal: below COGNITO_JWKS_REFRESH (10 "
        "min). After COGNITO_JWKS_MAX_STALE (24 h) nobody is let in.",
        f"max({AGE})",
        "s",
        [(1800, "orange"), (43200, "red")],
        noValue="none fetched",
    ),
    stat(
        "Spans dropped",
        "In the time shown. Normal: none. Consumers do not notice, but traces have gaps: the collector is slow or "
        "down.",
        f"sum(increase({select('shoutback_otlp_spans_dropped_total')}[$__range]))",
        "short",
        [(1, "orange")],
    ),
    stat(
        "Log lines dropped",
        "In the time shown. Normal: none. Kibana misses them: the disk is full or slow.",
        f"sum(increase({select('shoutback_log_lines_dropped_total')}[$__range]))",
        "short",
        [(1, "orange")],
    ),
    table(
        "Builds",
        "What each replica runs, and for how long. Normal: one version and commit.",
        ["instance", "version", "commit", "rustc"],
        [
            (
                "up for",
                f"max by (instance, version, commit, rustc) ((time() - {select('process_start_time_seconds')}) "
                f"* on (instance) group_right () {select(BUILD)})",
                "s",
                [],
            )
        ],
        height=6,
    ),
]

PROCESS = [
    series(
        "Processor",
        "Cores in use. Normal: below what the pod asks for. At its limit: durations rise everywhere; add replicas.",
        [(total(rate("process_cpu_seconds_total"), "instance"), "{{instance}}")],
        "none",
    ),
    series(
        "Memory",
        "Resident. Normal: tens of MiB and the cache; steps up with crowds of waiting requests, and stays there. "
        "Steady growth for hours: a leak.",
        each("process_resident_memory_bytes"),
        "bytes",
    ),
    series(
        "Descriptors in use",
        "Share of the limit: a connection in or out is one. Normal: below 50 %. Near 1: no new connections; raise the "
        "limit or add replicas.",
        [
            (
                f"{total(select('process_open_fds'), 'instance')} / {total(select('process_max_fds'), 'instance')}",
                "{{instance}}",
            )
        ],
        "percentunit",
        max=1,
        thresholds=[(0.8, "red")],
        width=8,
    ),
    series(
        "Threads",
        "Normal: the runtime's workers and a few more. Growth: something blocks.",
        each("process_threads"),
        "short",
        width=8,
    ),
    series(
        "Address space",
        "Reserved, not used: memory that counts is beside. Normal: flat. Where a limit is set, it is drawn too; "
        "reaching it ends the process.",
        [
            *each("process_virtual_memory_bytes"),
            (f"max({select('process_virtual_memory_max_bytes')})", "limit (0: none)"),
        ],
        "bytes",
        width=8,
    ),
]

TOKIO = [
    series(
        "How busy the workers are",
        "Share of the runtime's threads that work. Normal: below 70 %. Near 1: requests wait for a thread; add "
        "replicas or cores.",
        [
            (
                f"{total(select('tokio_busy_ratio'), 'instance')} / {total(select('tokio_workers_count'), 'instance')}",
                "{{instance}}",
            )
        ],
        "percentunit",
        thresholds=[(0.7, "orange")],
    ),
    series(
        "Busiest and idlest worker",
        "Cores' worth of work of one thread, and of all. Normal: busiest and idlest close together. Busiest at 1 "
        "alone: something blocks a worker.",
        [(busy("max"), "busiest"), (busy("min"), "idlest"), (busy("total"), "all of a replica")],
        "none",
        {"busiest": "orange", "idlest": "green", "all of a replica": "text"},
    ),
    series(
        "Tasks",
        "Normal: follows connections and requests. Growth while requests stay level: tasks that never end.",
        each("tokio_live_tasks_count"),
        "short",
        width=8,
    ),
    series(
        "Tasks that wait for a worker",
        "Normal: 0, or near. Steady: the workers are too busy, or blocked.",
        each("tokio_global_queue_depth"),
        "short",
        width=8,
    ),
    series(
        "Times a worker had nothing to do",
        "In the last 5 s, of all workers and of the one with the most and least. Normal: many. None: no worker ever "
        "rests.",
        [
            (f"max({select('tokio_total_park_count')})", "all"),
            (f"max({select('tokio_max_park_count')})", "idlest"),
            (f"max({select('tokio_min_park_count')})", "busiest"),
        ],
        "short",
        {"busiest": "orange", "idlest": "green", "all": "text"},
        width=8,
    ),
]

KEYS = [
    series(
        "Age of the keys",
        "Since each replica last fetched each pool's. Normal: a saw below COGNITO_JWKS_REFRESH (10 min). A straight "
        "rise: Cognito cannot be reached; known keys go on for COGNITO_JWKS_MAX_STALE (24 h).",
        [(f"max by (instance, pool) ({AGE})", "{{instance}}: {{pool}}")],
        "s",
        width=8,
    ),
    series(
        "Fetches of keys",
        "By outcome. Normal: success, one in ten minutes for each replica and pool. Failures: see the log for the "
        "reason; unknown keys cause more fetches.",
        [(total(rate("shoutback_jwks_refresh_total"), "pool, outcome"), "{{pool}}: {{outcome}}")],
        "ops",
        width=8,
    ),
    series(
        "Keys of each pool",
        "On the replica that has fewest. Normal: 2 with Cognito. 0: nobody of that pool is let in.",
        [(f"min by (pool) ({select('shoutback_jwks_keys')})", "{{pool}}")],
        "short",
        width=8,
    ),
]

TELEMETRY = [
    series(
        "Spans dropped, by reason",
        "Normal: none. queue_full: more than the exporter can send; export_failed: the collector refused or was not "
        "there.",
        [(total(rate("shoutback_otlp_spans_dropped_total"), "reason"), "{{reason}}")],
        "cps",
    ),
    series(
        "Log lines dropped, by replica",
        "Normal: none. Whoever reads the log is too slow, or the disk is full.",
        [(total(rate("shoutback_log_lines_dropped_total"), "instance"), "{{instance}}")],
        "cps",
    ),
]

DASHBOARD = dashboard(
    "runtime",
    "runtime",
    "The replicas themselves: builds, processes, their runtime, keys, and what they could not tell.",
    {
        "Replicas": REPLICAS,
        "Process": PROCESS,
        "Runtime": TOKIO,
        "Keys": KEYS,
        "What could not be told": TELEMETRY,
    },
)
