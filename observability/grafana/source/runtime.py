"""Dashboard of the replicas: builds, processes, runtime, keys, and lost telemetry."""

from frame import dashboard
from names import rate, select, total
from panels import series, stat, table

BUILD = "shoutback_build_info"
FETCHED = "shoutback_jwks_last_success_timestamp_seconds"
# 0 means that nothing was fetched yet.
AGE = f"time() - ({select(FETCHED)} > 0)"


def each(metric, *matchers):
    """Returns the metric per replica."""
    return [(total(select(metric, *matchers), "instance"), "{{instance}}")]


BUSY = rate("tokio_worker_busy_seconds_total")
PARKS = rate("tokio_worker_parks_total")


REPLICAS = [
    stat(
        "Replicas up",
        "Successful scrapes. Normal: the replicas of the deployment. Fewer: kubectl get pods; see the alert "
        "ShoutbackReplicaDown.",
        total(select("up")),
        "none",
        [(None, "red"), (2, "green")],
    ),
    stat(
        "Running versions",
        "Normal: 1, and 2 during a deployment. Longer: the deployment hangs.",
        f"count(count by (commit) ({select(BUILD)}))",
        "none",
        [(2, "orange")],
    ),
    stat(
        "Youngest replica",
        "Time since its start. Normal: since the last deployment. Minutes without one: it restarts; look at its log "
        "and at its memory.",
        f"min(time() - {select('process_start_time_seconds')})",
        "s",
        [(None, "orange"), (600, "green")],
    ),
    stat(
        "Oldest key set",
        "Time since the last fetch of Cognito's keys, maximum of all replicas and pools. Normal: below COGNITO_JWKS_REFRESH (10 "
        "min). After COGNITO_JWKS_MAX_STALE (24 h) all tokens are rejected.",
        f"max({AGE})",
        "s",
        [(1800, "orange"), (43200, "red")],
        noValue="none fetched",
    ),
    stat(
        "Spans dropped",
        "In the selected time range. Normal: none. Clients are not affected, but traces have gaps: the collector is slow or "
        "down.",
        f"sum(increase({select('shoutback_otlp_spans_dropped_total')}[$__range]))",
        "short",
        [(1, "orange")],
    ),
    stat(
        "Log lines dropped",
        "In the selected time range. Normal: none. They are missing in Kibana: the disk is full or slow.",
        f"sum(increase({select('shoutback_log_lines_dropped_total')}[$__range]))",
        "short",
        [(1, "orange")],
    ),
    table(
        "Builds",
        "Version and uptime of each replica. Normal: one version and commit.",
        ["instance", "version", "commit", "rustc"],
        [
            (
                "uptime",
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
        "CPU",
        "Cores in use. Normal: below the pod's request. At all cores of the node: durations rise everywhere; add replicas.",
        [(total(rate("process_cpu_seconds_total"), "instance"), "{{instance}}")],
        "none",
    ),
    series(
        "Memory",
        "Resident memory. Normal: tens of MiB and the cache; increases with many waiting requests, and does not decrease. "
        "Steady growth for hours: a leak.",
        each("process_resident_memory_bytes"),
        "bytes",
    ),
    series(
        "Descriptors in use",
        "Ratio of the limit; each connection needs one. Normal: below 50 %. Near 1: no new connections; raise the "
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
        "Reserved virtual memory, not used memory. Normal: flat. A limit is drawn, too, if there is one; "
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
        "Worker utilisation",
        "Busy ratio of the runtime's threads. Normal: below 70 %. Near 1: requests wait for a thread; add "
        "replicas or cores.",
        [
            (
                f"{total(BUSY, 'instance')} / {total(select('tokio_workers'), 'instance')}",
                "{{instance}}",
            )
        ],
        "percentunit",
        thresholds=[(0.7, "orange")],
    ),
    series(
        "Busiest and idlest worker",
        "Busy time of one thread, and of all, in cores. Normal: busiest and idlest close together. Only busiest at 1: "
        "something blocks a worker.",
        [(f"max({BUSY})", "busiest"), (f"min({BUSY})", "idlest"), (f"max({total(BUSY, 'instance')})", "all of a replica")],
        "none",
        {"busiest": "orange", "idlest": "green", "all of a replica": "text"},
    ),
    series(
        "Tasks",
        "Normal: follows connections and requests. Growth while requests stay level: tasks that never end.",
        each("tokio_live_tasks"),
        "short",
        width=8,
    ),
    series(
        "Tasks that wait for a worker",
        "Normal: near 0. Steady: the workers are too busy, or blocked.",
        each("tokio_global_queue_tasks"),
        "short",
        width=8,
    ),
    series(
        "Worker parks",
        "How often workers became idle per second: all, and those with the most and least. Normal: many. None: no worker ever "
        "rests.",
        [
            (f"max({total(PARKS, 'instance')})", "all"),
            (f"max({PARKS})", "idlest"),
            (f"min({PARKS})", "busiest"),
        ],
        "short",
        {"busiest": "orange", "idlest": "green", "all": "text"},
        width=8,
    ),
]

KEYS = [
    series(
        "Age of the keys",
        "Time since the last fetch by replica and pool. Normal: a sawtooth below COGNITO_JWKS_REFRESH (10 min). A straight "
        "rise: Cognito is unreachable; cached keys are valid for COGNITO_JWKS_MAX_STALE (24 h).",
        [(f"max by (instance, pool) ({AGE})", "{{instance}}: {{pool}}")],
        "s",
        width=8,
    ),
    series(
        "Fetches of keys",
        "By outcome. Normal: success, once in ten minutes per replica and pool. Failures: see the log for the "
        "reason; unknown keys cause more fetches.",
        [(total(rate("shoutback_jwks_refresh_total"), "pool, outcome"), "{{pool}}: {{outcome}}")],
        "ops",
        width=8,
    ),
    series(
        "Keys of each pool",
        "Minimum of all replicas. Normal: 2 with Cognito. 0: all tokens of that pool are rejected.",
        [(f"min by (pool) ({select('shoutback_jwks_keys')})", "{{pool}}")],
        "short",
        width=8,
    ),
]

TELEMETRY = [
    series(
        "Spans dropped, by reason",
        "Normal: none. queue_full: more than the exporter can send; export_failed: the collector rejected spans or was not "
        "there.",
        [(total(rate("shoutback_otlp_spans_dropped_total"), "reason"), "{{reason}}")],
        "cps",
    ),
    series(
        "Log lines dropped, by replica",
        "Normal: none. stdout is read too slowly, or the disk is full.",
        [(total(rate("shoutback_log_lines_dropped_total"), "instance"), "{{instance}}")],
        "cps",
    ),
]

DASHBOARD = dashboard(
    "runtime",
    "runtime",
    "Replicas: builds, processes, runtime, keys, and lost telemetry.",
    {
        "Replicas": REPLICAS,
        "Process": PROCESS,
        "Runtime": TOKIO,
        "Keys": KEYS,
        "Lost telemetry": TELEMETRY,
    },
)
