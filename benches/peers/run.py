"""Measures the service side by side with other programs: see docs/performance.md.

Rounds are interleaved, so that other load on the machine affects all peers alike. Every round is stored in results.json; report.py makes
medians with their spread of them. Nothing is recorded from a machine that does other work.
"""

import argparse
import contextlib
import json
import os
import resource
import statistics
import sys
import tempfile
from pathlib import Path

from harness.valkey import Server

import features
import idle
import measurements
import memory
import overload
import peers
import report
from environment import Environment, tampered

PROGRAM = os.environ["THIN_BIN"]
PRINTED = peers.HERE.parents[1] / "target/bench/results.json"
#: Requests per second of the client whose quota is shared.
SHARED_RATE = 10_000
#: Shares of the slowest peer's capacity at which latency is measured, and for how many times the seconds of a measurement: the 99.99th
#: percentile needs 10,000 requests.
SHARES = {0.25: 2, 0.5: 1.5, 0.75: 1, 0.9: 1}
#: Descriptors for the connections of `overload` and `memory`.
DESCRIPTORS = 16_000


class Run:
    def __init__(self, arguments, environment, directory, stack):
        self.arguments, self.environment, self.directory, self.stack = arguments, environment, directory, stack
        self.good = environment.file("good", [environment.token])
        self.missing, self.peers = {}, {}

    def start(self, name, make, **options):
        """Starts a peer. A peer that fails to start is recorded as missing."""
        if name in self.peers or name in self.missing:
            return
        try:
            peer = make(self.environment, self.directory / f"{name}.log", **options)
        except (OSError, AssertionError) as error:
            self.missing[name] = str(error).strip().splitlines()[-1][:200]
            print(f"{name} is unavailable: {error}", flush=True)
            return
        self.stack.enter_context(peer.process)
        self.peers[name] = peer

    def start_proxies(self):
        self.start("floor through", peers.floor_proxy)
        self.start("thin through", peers.minimal_proxy)
        self.start("shoutback through", peers.shoutback, CACHE_CAPACITY="0")
        self.start("haproxy", peers.haproxy)
        self.start("envoy", peers.envoy)

    def in_turns(self, chosen, measure):
        """Calls `measure(name, peer)` for the peers in each round, each time in another order. Returns the rounds by name."""
        rounds, turns = {name: [] for name in chosen}, list(chosen)
        for _ in range(self.arguments.rounds):
            for name in turns:
                rounds[name].append(measure(name, chosen[name]))
            turns.append(turns.pop(0))
        return rounds

    def requests(self):
        """Measures the CPU time of a request whose token is in the cache."""
        self.start("floor here", peers.floor_local)
        self.start("thin here", peers.minimal_local)
        self.start("shoutback cached", peers.shoutback)
        self.start_proxies()
        self.start("original", peers.original)
        for peer in self.peers.values():
            measurements.closed_loop(peer, 1, tokens=self.good)

        def measure(name, peer):
            measured = measurements.closed_loop(peer, self.arguments.seconds, tokens=self.good)
            assert not measured["rejected"], (name, measured)
            print(f"{name:18} {measured['cpu_us']:8.1f} us {measured['per_second']:8.0f}/s p99 {measured['p99']} us", flush=True)
            return measured

        return self.in_turns(self.peers, measure)

    def features(self):
        """Measures instructions and CPU time of the same request with single features switched off."""
        result = {"instructions": features.instructions()}
        for path, variables in features.PATHS.items():
            with contextlib.ExitStack() as stack:
                services = {}
                for name, off in features.WITHOUT.items():
                    log = self.directory / f"without-{name.replace(' ', '-')}.log"
                    services[name] = peers.shoutback(self.environment, log, **variables, **off)
                    stack.enter_context(services[name].process)
                    measurements.closed_loop(services[name], 1, tokens=self.good)

                def measure(name, service, path=path):
                    measured = measurements.closed_loop(service, self.arguments.seconds, tokens=self.good)
                    print(f"{path:8} without {name:30} {measured['cpu_us']:8.1f} us", flush=True)
                    return measured

                result[path] = self.in_turns(services, measure)
        return result

    def tokens(self):
        """Measures the CPU time of a request without a token, with a repeated and with a new one, and with an invalid one, and of a
        signature check."""
        new = self.environment.tokens(self.arguments.tokens)
        bad = self.environment.file("bad", [tampered(token) for token in new.read_text().splitlines()])
        proxied = {"CACHE_CAPACITY": "0"}
        kinds = {
            "cached seen": (peers.shoutback, {}, self.good),
            "cached new": (peers.shoutback, {}, new),
            "cached bad": (peers.shoutback, {}, bad),
            "shoutback none": (peers.shoutback, proxied | {"AUTH_MODE": "disabled"}, None),
            "shoutback seen": (peers.shoutback, proxied, self.good),
            "shoutback new": (peers.shoutback, proxied, new),
            "haproxy none": (peers.haproxy, {"verifies": False}, None),
            "haproxy seen": (peers.haproxy, {}, self.good),
            "haproxy new": (peers.haproxy, {}, new),
            "envoy none": (peers.envoy, {"verifies": False}, None),
            "envoy seen": (peers.envoy, {}, self.good),
            "envoy new": (peers.envoy, {}, new),
        }
        checks = []

        def measure(name, kind):
            make, options, tokens = kind
            if name == "cached seen":
                checks.append(measurements.verification_us(PROGRAM, self.environment.token, self.environment.keys, 20_000))
            is_once = tokens in (new, bad)
            # A new process, whose cache of tokens is empty.
            peer = make(self.environment, self.directory / f"{name.replace(' ', '-')}.log", **options)
            with peer.process:
                measurements.closed_loop(peer, 1, tokens=tokens and self.good)
                # wrk takes the whole time, even after the last token.
                measured = measurements.closed_loop(peer, self.arguments.seconds, tokens=tokens, once=is_once)
            # Requests in flight when the tokens ran out repeat the last one.
            assert abs(measured["rejected"] - (measured["requests"] if tokens == bad else 0)) <= 40, (name, measured)
            print(f"{name:18} {measured['cpu_us']:8.1f} us", flush=True)
            return measured

        available = {name: kind for name, kind in kinds.items() if self.is_available(name, kind)}
        rounds = self.in_turns(available, measure)
        return {"check": [{"cpu_us": us} for us in checks]} | rounds

    def is_available(self, name, kind):
        """Returns whether a peer starts; if not, it is recorded as missing."""
        make, options, _ = kind
        try:
            with make(self.environment, self.directory / "probe.log", **options).process:
                return True
        except (OSError, AssertionError) as error:
            self.missing[name.split()[0]] = str(error).strip().splitlines()[-1][:200]
            return False

    def latency(self):
        """Measures latency by an open loop at shares of the slowest peer's capacity."""
        self.start_proxies()
        if peers.COLLECTOR_CORE == peers.OTHER_CORE:
            # The collector delays the generator.
            self.start("shoutback untraced", peers.shoutback, CACHE_CAPACITY="0", OTEL_TRACES_EXPORTER="none")
        names = ("floor through", "thin through", "shoutback through", "shoutback untraced", "haproxy", "envoy")
        chosen = {name: self.peers[name] for name in names if name in self.peers}
        seconds = self.arguments.seconds
        capacities = {name: measurements.closed_loop(peer, seconds, tokens=self.good)["per_second"] for name, peer in chosen.items()}
        capacity = min(capacities.values())
        result = {"capacity": capacity, "shares": {}}
        for share, times in SHARES.items():

            def measure(name, peer, share=share, times=times):
                measured = measurements.at_rate(PROGRAM, peer, share * capacity, times * seconds, self.environment.token)
                measured.pop("windows")
                print(f"{name:18} {share:.0%} p50 {measured['p50']} us, p99 {measured['p99']} us, p99.99 {measured['p9999']} us", flush=True)
                return measured

            result["shares"][str(share)] = self.in_turns(chosen, measure)
        return result

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
                    cached = measurements.at_rate(PROGRAM, service, SHARED_RATE, seconds, token)
                    half = measurements.at_rate(PROGRAM, service, capacity / 2, seconds, token)
                    missing = measurements.closed_loop(service, seconds, tokens=self.good, unique=True)
                    assert not missing["rejected"], missing
                    for kind, measured in (("cached", cached), ("half", half), ("missing", missing)):
                        rounds.setdefault(kind, {}).setdefault(name, []).append(measured)
                        print(f"{kind:8} {name:9} {measured['cpu_us']:8.1f} us p99 {measured['p99']} us", flush=True)
            used = [process.metric("shoutback_valkey_requests_total", operation=one, outcome="success") for one in ("quota_lease", "cache_read")]
            assert min(used) > 0, used
        return rounds

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
        return times

    def memory(self):
        return memory.measure(self.environment, self.directory)

    def overload(self):
        return overload.measure(PROGRAM, self.environment, self.directory, self.arguments)

    def scaling(self):
        """Measures the service with more connections and longer texts, on one core; and with more cores only where the generator has
        another half of the machine."""
        rows, seconds = [], self.arguments.seconds
        cells = [("0", connections, 13) for connections in (10, 32, 100, 1000, 5000)]
        cells += [("0", 32, size) for size in (1_000, 10_000, 60_000)]
        for path, variables in features.PATHS.items():
            for cores, connections, size in cells:
                peer = peers.shoutback(self.environment, self.directory / "scaling.log", cores=cores, **variables)
                with peer.process:
                    text = ("hello, world! " * (size // 14 + 1))[:size]
                    measurements.closed_loop(peer, 1, connections, self.good, text=text)
                    measured = measurements.closed_loop(peer, seconds, connections, self.good, text=text)
                    peak = measurements.memory_mib(peer.pid, "VmHWM")
                rows.append({"path": path, "connections": connections, "size": size} | measured | {"mib": peak})
                print(f"{path:8} {connections:5} {size:6}: {measured['cpu_us']:8.1f} us {measured['per_second']:8.0f}/s {peak:.0f} MiB", flush=True)
        return rows


#: In this order.
PARTS = ("start", "memory", "tokens", "scaling", "features", "overload", "shared", "requests", "latency")


def check_load(records, when):
    """Exits if results would be recorded and the machine does other work; warns if they are printed only."""
    problem = idle.complaint(idle.other_load())
    if problem and records:
        sys.exit(
            f"error: {when}, {problem}\nNothing is recorded. End these processes, or use another machine; "
            f'`make bench ARGS="--only {",".join(PARTS[:2])}"` prints parts without recording them'
        )
    if problem:
        print(f"warning: {when}, {problem}\n    times and latencies do not hold", file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, prog="make bench", usage='make bench ARGS="…"')
    parser.add_argument("--seconds", type=int, default=3, help="seconds per measurement (3)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per measurement (3)")
    parser.add_argument("--tokens", type=int, default=12_000, help="new tokens (12000)")
    parser.add_argument("--only", default="", help=f"comma-separated parts, printed and not recorded: {','.join(PARTS)}")
    arguments = parser.parse_args()
    parts = arguments.only.split(",") if arguments.only else PARTS
    if unknown := set(parts) - set(PARTS):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}")
    records = not arguments.only
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    check_load(records, "before the start")
    results = {"machine": report.machine(), "rounds": arguments.rounds, "seconds": arguments.seconds}
    for part in PARTS:
        if part in parts:
            with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
                directory = Path(directory)
                run = Run(arguments, Environment(directory, stack), directory, stack)
                print(f"# {part}", flush=True)
                results[part] = getattr(run, {"start": "start_up"}.get(part, part))()
                results.setdefault("missing", {}).update(run.missing)
            # Stored before the check, which may end the run.
            PRINTED.parent.mkdir(parents=True, exist_ok=True)
            PRINTED.write_text(json.dumps(results, indent=1) + "\n")
            check_load(records, f"after the part {part}")
    print("\n" + report.tables(results))
    if records:
        report.record(results)


main()
