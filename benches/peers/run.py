"""Measures the CPU time of a request on one core, side by side with other programs: see docs/performance.md.

Rounds are interleaved, so that other load on the machine affects all peers alike. Results are medians of the rounds.
"""

import argparse
import contextlib
import json
import os
import statistics
import tempfile
from pathlib import Path

from harness.valkey import Server

import measurements
import peers
import report
from environment import Environment, tampered

PROGRAM = os.environ["THIN_BIN"]
RESULTS = peers.HERE.parents[1] / "target/bench/results.json"
#: Features that can be switched off, to measure their cost.
FEATURES = {
    "nothing": {},
    "traces": {"OTEL_TRACES_SAMPLER": "always_off"},
    # Of requests only: the line with the listener's address is needed.
    "log lines": {"RUST_LOG": "info,shoutback::http::middleware=off"},
    "the quota": {"RATE_LIMIT_PER_CLIENT": "off"},
    "authentication": {"AUTH_MODE": "disabled"},
}
FEATURES["all of them"] = {name: value for variables in FEATURES.values() for name, value in variables.items()}
PARTS = ("requests", "features", "tokens", "latency", "memory", "start", "scaling", "shared")
#: Requests per second of the client whose quota is shared.
SHARED_RATE = 10_000


class Run:
    def __init__(self, arguments, environment, directory, stack):
        self.arguments, self.environment, self.directory, self.stack = arguments, environment, directory, stack
        self.good = environment.file("good", [environment.token])
        self.missing, self.peers = {}, {}

    def start(self, name, make, **variables):
        """Starts a peer. A peer that fails to start is recorded as missing."""
        if name in self.peers:
            return
        try:
            peer = make(self.environment, self.directory / f"{name}.log", **variables)
        except (OSError, AssertionError) as error:
            self.missing[name] = str(error).strip().splitlines()[-1][:200]
            print(f"{name} is unavailable: {error}", flush=True)
            return
        self.stack.enter_context(peer.process)
        self.peers[name] = peer

    def start_services(self):
        self.start("shoutback cached", peers.shoutback)
        self.start("shoutback through", peers.shoutback, CACHE_CAPACITY="0")

    def start_thin(self):
        self.start("thin here", peers.minimal_local)
        self.start("thin through", peers.minimal_proxy)

    def requests(self):
        """Measures the CPU time of a request whose token is in the cache."""
        self.start_services()
        self.start_thin()
        self.start("haproxy", peers.haproxy)
        self.start("envoy", peers.envoy)
        self.start("original", peers.original)
        rounds = {name: [] for name in self.peers}
        for name, peer in self.peers.items():
            measurements.closed_loop(peer, 1, tokens=self.good)
        turns = list(self.peers)
        for _ in range(self.arguments.rounds):
            for name in turns:
                measured = measurements.closed_loop(self.peers[name], self.arguments.seconds, tokens=self.good)
                assert not measured["rejected"], (name, measured)
                rounds[name].append(measured)
                print(f"{name:18} {measured['cpu_us']:8.1f} us {measured['per_second']:8.0f}/s p99 {measured['p99']} us", flush=True)
            turns.append(turns.pop(0))
        return {name: medians(measured) for name, measured in rounds.items()}

    def features(self):
        """Measures the CPU time of the same request with single features switched off."""
        rounds = {}
        for path, variables in (("cached", {}), ("through", {"CACHE_CAPACITY": "0"})):
            with contextlib.ExitStack() as stack:
                services = {}
                for name, off in FEATURES.items():
                    log = self.directory / f"without-{name.replace(' ', '-')}.log"
                    services[name] = peers.shoutback(self.environment, log, **variables, **off)
                    stack.enter_context(services[name].process)
                    measurements.closed_loop(services[name], 1, tokens=self.good)
                for _ in range(self.arguments.rounds):
                    for name, service in services.items():
                        measured = measurements.closed_loop(service, self.arguments.seconds, tokens=self.good)
                        rounds.setdefault(name, {}).setdefault(path, []).append(measured["cpu_us"])
                        print(f"{path:8} without {name:16} {measured['cpu_us']:8.1f} us", flush=True)
        return {name: {path: statistics.median(measured) for path, measured in paths.items()} for name, paths in rounds.items()}

    def tokens(self):
        """Measures the CPU time of a request with a new token and with an invalid one, and of a signature check."""
        count = self.arguments.tokens
        new = self.environment.tokens(count)
        bad = self.environment.file("bad", [tampered(token) for token in new.read_text().splitlines()])
        checks, rounds = [], {"seen": [], "new": [], "bad": []}
        for number in range(self.arguments.rounds):
            checks.append(measurements.verification_us(PROGRAM, self.environment.token, self.environment.keys, 20_000))
            for kind, file in (("seen", self.good), ("new", new), ("bad", bad)):
                # A new process, whose token cache is empty.
                peer = peers.shoutback(self.environment, self.directory / f"{kind}.log")
                with peer.process:
                    measurements.closed_loop(peer, 1, tokens=self.good)
                    measured = measurements.closed_loop(peer, 60 if kind != "seen" else self.arguments.seconds, tokens=file, once=kind != "seen")
                    # Requests in flight when the tokens ran out repeat the last one.
                    assert abs(measured["rejected"] - (measured["requests"] if kind == "bad" else 0)) <= 40, (kind, measured)
                    rounds[kind].append(measured)
                    print(f"{kind:18} {measured['cpu_us']:8.1f} us", flush=True)
        return {"check": statistics.median(checks)} | {kind: medians(measured) for kind, measured in rounds.items()}

    def latency(self):
        """Measures latency at half of the service's capacity."""
        self.start_services()
        self.start_thin()
        service, other = self.peers["shoutback through"], self.peers["thin through"]
        capacity = measurements.closed_loop(service, self.arguments.seconds, tokens=self.good)["per_second"]
        rounds = {"shoutback": [], "thin": []}
        for _ in range(self.arguments.rounds):
            for name, peer in (("shoutback", service), ("thin", other)):
                measured = measurements.open_loop(PROGRAM, peer, capacity / 2, self.arguments.seconds, self.environment.token)
                rounds[name].append(measured)
                print(f"{name:18} p50 {measured['p50']} us, p99 {measured['p99']} us at {capacity / 2:.0f}/s", flush=True)
        return {"rate": capacity / 2} | {name: medians(measured) for name, measured in rounds.items()}

    def shared(self):
        """Measures the service alone, and with quota and cache shared through Valkey: cached requests of one client at a fixed rate and at
        half of the capacity, and requests that are in no cache."""
        valkey = self.stack.enter_context(Server(self.directory / "valkey", through=peers.pinned(peers.OTHER_CORE)))
        rounds = {}
        with contextlib.ExitStack() as stack:
            services = {}
            for name, variables in (("local", {}), ("shared", {"VALKEY_URL": valkey.url, "CACHE_SHARED": "on"})):
                services[name] = peers.shoutback(self.environment, self.directory / f"state-{name}.log", **variables)
                stack.enter_context(services[name].process)
                measurements.closed_loop(services[name], 1, tokens=self.good)
            process = services["shared"].process
            assert process.metric("shoutback_valkey_up") == 1, process.output()
            seconds, token = self.arguments.seconds, self.environment.token
            capacity = measurements.closed_loop(services["local"], seconds, tokens=self.good)["per_second"]
            for _ in range(self.arguments.rounds):
                for name, service in services.items():
                    cached = measurements.open_loop(PROGRAM, service, SHARED_RATE, seconds, token)
                    half = measurements.open_loop(PROGRAM, service, capacity / 2, seconds, token)
                    missing = measurements.closed_loop(service, seconds, tokens=self.good, unique=True)
                    assert not missing["rejected"], missing
                    for kind, measured in (("cached", cached), ("half", half), ("missing", missing)):
                        rounds.setdefault(kind, {}).setdefault(name, []).append(measured)
                        print(f"{kind:8} {name:9} {measured['cpu_us']:8.1f} us p99 {measured['p99']} us", flush=True)
            used = [process.metric("shoutback_valkey_requests_total", operation=one, outcome="success") for one in ("quota_lease", "cache_read")]
            assert min(used) > 0, used
        return {kind: {name: medians(measured) for name, measured in kinds.items()} for kind, kinds in rounds.items()}

    def memory(self):
        """Measures memory after the start, and with 1,000 busy connections."""
        result = {}
        for name, variables in (("cached", {}), ("through", {"CACHE_CAPACITY": "0"})):
            peer = peers.shoutback(self.environment, self.directory / f"memory-{name}.log", **variables)
            with peer.process:
                idle = measurements.memory_mib(peer.pid)
                measurements.closed_loop(peer, self.arguments.seconds, connections=1000, tokens=self.good)
                result[name] = {"idle": idle, "busy": measurements.memory_mib(peer.pid, "VmHWM")}
                print(f"{name:18} {result[name]} MiB", flush=True)
        return result

    def start_up(self):
        """Measures the time to readiness. The key server is on the same machine."""
        admin = peers.free_port()
        variables = {
            "HTTP_ADDR": "127.0.0.1:0",
            "ADMIN_ADDR": f"127.0.0.1:{admin}",
            "SHUTDOWN_GRACE": "0ms",
            "SHOUTCLOUD_URL": self.environment.url,
        } | self.environment.emulators.authentication()
        command = peers.pinned(peers.PEER_CORE, os.environ["SHOUTBACK_BIN"], "serve")
        log = self.directory / "start.log"
        times = [measurements.startup_ms(command, log, variables, admin) for _ in range(11)]
        print(f"ready after        {statistics.median(times):.1f} ms", flush=True)
        return {"median": statistics.median(times), "most": max(times)}

    def scaling(self):
        """Measures the service with more cores, more connections and longer texts."""
        rows, seconds = [], self.arguments.seconds
        cells = [(cores, 32, 13) for cores in ("0", "0,1")]
        cells += [("0", connections, 13) for connections in (10, 100, 1000, 5000)]
        cells += [("0", 32, size) for size in (10, 100, 1_000, 10_000, 60_000)]
        for path, variables in (("cached", {}), ("through", {"CACHE_CAPACITY": "0"})):
            for cores, connections, size in cells:
                log = self.directory / "scaling.log"
                peer = peers.shoutback(self.environment, log, cores=cores, **variables)
                with peer.process:
                    text = ("hello, world! " * (size // 14 + 1))[:size]
                    measurements.closed_loop(peer, 1, connections, self.good, text=text)
                    measured = measurements.closed_loop(peer, seconds, connections, self.good, text=text)
                    memory = measurements.memory_mib(peer.pid, "VmHWM")
                rows.append({"path": path, "cores": len(cores.split(",")), "connections": connections, "size": size} | measured | {"mib": memory})
                print(f"{path:8} {cores:4} {connections:5} {size:6}: {measured['cpu_us']:8.1f} us {measured['per_second']:8.0f}/s {memory:.0f} MiB", flush=True)
        return rows


def medians(measured):
    return {name: statistics.median(one[name] for one in measured) for name in measured[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, prog="make bench", usage='make bench ARGS="…"')
    parser.add_argument("--seconds", type=int, default=3, help="seconds per measurement (3)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per measurement (3)")
    parser.add_argument("--tokens", type=int, default=15_000, help="new tokens per round (15000)")
    parser.add_argument("--only", default=",".join(PARTS), help=f"comma-separated parts: {','.join(PARTS)}")
    parser.add_argument("--no-record", action="store_true", help="do not write docs/performance.md")
    arguments = parser.parse_args()
    parts = arguments.only.split(",")
    results = {}
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        directory = Path(directory)
        run = Run(arguments, Environment(directory, stack), directory, stack)
        # The first ones need an otherwise idle machine.
        for part, measure in (
            ("start", run.start_up),
            ("memory", run.memory),
            ("tokens", run.tokens),
            ("scaling", run.scaling),
            ("features", run.features),
            ("requests", run.requests),
            ("latency", run.latency),
            ("shared", run.shared),
        ):
            if part in parts:
                results[part] = measure()
        results["missing"] = run.missing
    results["machine"] = report.machine()
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1))
    print("\n" + report.markdown(results))
    if set(parts) >= set(PARTS) and not arguments.no_record:
        report.record(results)


main()
