"""Overload of what ends first in production: calls to SHOUTCLOUD, 256 at a time of 100 ms. An overload of the CPU would need a generator
with more cores than the service."""

import contextlib

import measurements
import peers
from overload_recovery import recovery_seconds

LATENCY_MS = 100
#: The default of SHOUTCLOUD_MAX_CONCURRENCY.
CONCURRENCY = 256
LOADS = (0.5, 1, 2, 4, 10)
#: More than can wait, in calls (256) and in the queue (1,024), so that a rejection finds a connection.
CONNECTIONS = 2_000


@contextlib.contextmanager
def service(environment, directory):
    with peers.thin(["upstream", "127.0.0.1:0", str(LATENCY_MS)], directory / "slow.log", peers.UPSTREAM_CORE) as upstream:
        url = f"http://{upstream.address}/V1/SHOUT"
        peer = peers.shoutback(environment, directory / "overload.log", CACHE_CAPACITY="0", SHOUTCLOUD_URL=url)
        with peer.process:
            yield peer


def measure(program, environment, directory, arguments):
    """Returns the capacity, a list of rounds for each load, and the rounds of the recovery."""
    seconds, token = arguments.seconds, environment.token
    result = {"loads": {str(load): [] for load in LOADS}, "recovery": []}
    with service(environment, directory) as peer:
        # What it does with more than it can do: at twice the load the queue is full before the warm-up ends.
        [full] = measurements.open_loop(program, peer, [(2 * CONCURRENCY * 1000 / LATENCY_MS, max(3, seconds))], token, CONNECTIONS)
        capacity = full["succeeded"] / full["seconds"]
        result["capacity"] = capacity
        for _ in range(arguments.rounds):
            for load in LOADS:
                [measured] = measurements.open_loop(program, peer, [(load * capacity, seconds)], token, CONNECTIONS)
                measured["goodput"] = measured["succeeded"] / measured["seconds"] / capacity
                measured.pop("windows")
                result["loads"][str(load)].append(measured)
                print(f"{load:4} × {measured['goodput']:.2f} of the capacity, p99 {measured['p99']} us", flush=True)
            schedule = [(capacity / 2, seconds), (4 * capacity, seconds), (capacity / 2, max(6, seconds))]
            before, _, after = measurements.open_loop(program, peer, schedule, token, CONNECTIONS)
            recovered = recovery_seconds(before["p99"], after["windows"])
            result["recovery"].append({"before": before["p99"], "windows": after["windows"], "seconds": recovered})
            print(f"normal after {recovered} s", flush=True)
    return result
