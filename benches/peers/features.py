"""What each feature costs: the same request with one of them switched off, in instructions and in CPU time."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "parts"))
import count

#: Variables that switch a feature off.
OFF = {
    "authentication": {"AUTH_MODE": "disabled"},
    "quota": {"RATE_LIMIT_PER_CLIENT": "off"},
    # Of requests only: the line with the listener's address is needed.
    "log line": {"RUST_LOG": "info,shoutback::http::middleware=off"},
    "traces": {"OTEL_TRACES_SAMPLER": "always_off"},
    "propagation of trace context": {"OTEL_PROPAGATORS": "none"},
    "retries": {"SHOUTCLOUD_MAX_RETRIES": "0"},
}
#: Combinations to measure.
WITHOUT = {"nothing": {}} | OFF | {"all of these": {name: value for variables in OFF.values() for name, value in variables.items()}}
#: As in production.
SAMPLED = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}
PATHS = {"cached": {}, "proxied": {"CACHE_CAPACITY": "0"}}
#: Operations per count: enough that the start-up cost, which varies, hardly shows.
CALLS = 3_000
#: Counts of the same: telemetry works once per second, too, and a slower machine counts more of that.
COUNTS = 2


def instructions():
    """Returns the instructions of a request, counted COUNTS times, per path and feature that is off, and those of recording a metric, which
    is never off. They hardly depend on other load, so two are counted at a time."""

    def one(path, off):
        variables = [f"{name}={value}" for name, value in (SAMPLED | off).items()]
        return count.cost(f"request-{path}", CALLS, variables)

    with ThreadPoolExecutor(2) as pool:
        counts = {
            (path, name): [pool.submit(one, path, off) for _ in range(COUNTS)] for path in PATHS for name, off in WITHOUT.items()
        }
        metric = pool.submit(count.cost, "metric-recorded", 10 * CALLS)
        result = {path: {name: [count.result() for count in counts[path, name]] for name in WITHOUT} for path in PATHS}
        return result | {"metric": metric.result()}
