"""What a request costs, in CPU time on one core, beside what it costs others: see docs/performance.md.

Rounds are interleaved, so that whatever else this machine does falls on all of them; what is printed is their median.
"""

import argparse
import contextlib
import json
import os
import statistics
import tempfile
from pathlib import Path

import measuring
import peers
import report
from setting import Setting, spoilt

PROGRAM = os.environ["THIN_BIN"]
RESULTS = peers.HERE.parents[1] / "target/bench/results.json"
#: What can be switched off, to see what it costs.
ARMOUR = {
    "nothing": {},
    "traces": {"OTEL_TRACES_SAMPLER": "always_off"},
    # Of requests: it still says where it listens.
    "log lines": {"RUST_LOG": "info,shoutback::http::middleware=off"},
    "the quota": {"RATE_LIMIT_PER_CLIENT": "off"},
    "authentication": {"AUTH_MODE": "disabled"},
}
ARMOUR["all of them"] = {name: value for variables in ARMOUR.values() for name, value in variables.items()}
PARTS = ("requests", "armour", "tokens", "latency", "memory", "start", "scaling")


class Run:
    def __init__(self, arguments, setting, directory, stack):
        self.arguments, self.setting, self.directory, self.stack = arguments, setting, directory, stack
        self.good = setting.file("good", [setting.token])
        self.missing, self.peers = {}, {}

    def start(self, name, make, **variables):
        """A peer, unless it cannot be had."""
        if name in self.peers:
            return
        try:
            peer = make(self.setting, self.directory / f"{name}.log", **variables)
        except (OSError, AssertionError) as error:
            self.missing[name] = str(error).strip().splitlines()[-1][:200]
            print(f"{name} is missing: {error}", flush=True)
            return
        self.stack.enter_context(peer.process)
        self.peers[name] = peer

    def start_services(self):
        self.start("shoutback cached", peers.shoutback)
        self.start("shoutback through", peers.shoutback, CACHE_CAPACITY="0")

    def start_thin(self):
        self.start("thin here", peers.thin_here)
        self.start("thin through", peers.thin_through)

    def requests(self):
        """CPU time of a request whose token was seen before."""
        self.start_services()
        self.start_thin()
        self.start("haproxy", peers.haproxy)
        self.start("envoy", peers.envoy)
        self.start("original", peers.original)
        rounds = {name: [] for name in self.peers}
        for name, peer in self.peers.items():
            measuring.burst(peer, 1, tokens=self.good)
        turns = list(self.peers)
        for _ in range(self.arguments.rounds):
            for name in turns:
                said = measuring.burst(self.peers[name], self.arguments.seconds, tokens=self.good)
                assert not said["refused"], (name, said)
                rounds[name].append(said)
                print(f"{name:18} {said['cpu_us']:8.1f} us {said['a_second']:8.0f}/s p99 {said['p99']} us", flush=True)
            turns.append(turns.pop(0))
        return {name: medians(said) for name, said in rounds.items()}

    def armour(self):
        """CPU time of the same request without this or that."""
        rounds = {}
        for path, variables in (("cached", {}), ("through", {"CACHE_CAPACITY": "0"})):
            with contextlib.ExitStack() as stack:
                services = {}
                for name, off in ARMOUR.items():
                    log = self.directory / f"without-{name.replace(' ', '-')}.log"
                    services[name] = peers.shoutback(self.setting, log, **variables, **off)
                    stack.enter_context(services[name].process)
                    measuring.burst(services[name], 1, tokens=self.good)
                for _ in range(self.arguments.rounds):
                    for name, service in services.items():
                        said = measuring.burst(service, self.arguments.seconds, tokens=self.good)
                        rounds.setdefault(name, {}).setdefault(path, []).append(said["cpu_us"])
                        print(f"{path:8} without {name:16} {said['cpu_us']:8.1f} us", flush=True)
        return {name: {path: statistics.median(said) for path, said in paths.items()} for name, paths in rounds.items()}

    def tokens(self):
        """CPU time of a request whose token is new, or bad, beside that of a signature check."""
        count = self.arguments.tokens
        new = self.setting.tokens(count)
        bad = self.setting.file("bad", [spoilt(token) for token in new.read_text().splitlines()])
        checks, rounds = [], {"seen": [], "new": [], "bad": []}
        for number in range(self.arguments.rounds):
            checks.append(measuring.verification_us(PROGRAM, self.setting.token, self.setting.keys, 20_000))
            for kind, file in (("seen", self.good), ("new", new), ("bad", bad)):
                # A process of its own, which has seen none of them.
                peer = peers.shoutback(self.setting, self.directory / f"{kind}.log")
                with peer.process:
                    measuring.burst(peer, 1, tokens=self.good)
                    said = measuring.burst(peer, 60 if kind != "seen" else self.arguments.seconds, tokens=file, once=kind != "seen")
                    # Those that were on their way when the last token was used up repeat it.
                    assert abs(said["refused"] - (said["requests"] if kind == "bad" else 0)) <= 40, (kind, said)
                    rounds[kind].append(said)
                    print(f"{kind:18} {said['cpu_us']:8.1f} us", flush=True)
        return {"check": statistics.median(checks)} | {kind: medians(said) for kind, said in rounds.items()}

    def latency(self):
        """At half of what the service can do."""
        self.start_services()
        self.start_thin()
        service, other = self.peers["shoutback through"], self.peers["thin through"]
        capacity = measuring.burst(service, self.arguments.seconds, tokens=self.good)["a_second"]
        rounds = {"shoutback": [], "thin": []}
        for _ in range(self.arguments.rounds):
            for name, peer in (("shoutback", service), ("thin", other)):
                said = measuring.steady(PROGRAM, peer, capacity / 2, self.arguments.seconds, self.setting.token)
                rounds[name].append(said)
                print(f"{name:18} p50 {said['p50']} us, p99 {said['p99']} us at {capacity / 2:.0f}/s", flush=True)
        return {"rate": capacity / 2} | {name: medians(said) for name, said in rounds.items()}

    def memory(self):
        """After the start, and with 1,000 connections that are busy."""
        result = {}
        for name, variables in (("cached", {}), ("through", {"CACHE_CAPACITY": "0"})):
            peer = peers.shoutback(self.setting, self.directory / f"memory-{name}.log", **variables)
            with peer.process:
                idle = measuring.memory_mib(peer.pid)
                measuring.burst(peer, self.arguments.seconds, connections=1000, tokens=self.good)
                result[name] = {"idle": idle, "busy": measuring.memory_mib(peer.pid, "VmHWM")}
                print(f"{name:18} {result[name]} MiB", flush=True)
        return result

    def start_up(self):
        """The key server is on the same machine."""
        admin = peers.free_port()
        variables = {
            "HTTP_ADDR": "127.0.0.1:0",
            "ADMIN_ADDR": f"127.0.0.1:{admin}",
            "SHUTDOWN_GRACE": "0ms",
            "SHOUTCLOUD_URL": self.setting.url,
        } | self.setting.emulators.authentication()
        command = peers.on(peers.PEERS, os.environ["SHOUTBACK_BIN"], "serve")
        log = self.directory / "start.log"
        times = [measuring.until_ready_ms(command, log, variables, admin) for _ in range(11)]
        print(f"ready after        {statistics.median(times):.1f} ms", flush=True)
        return {"median": statistics.median(times), "most": max(times)}

    def scaling(self):
        """The service alone: more cores, more connections, longer texts."""
        rows, seconds = [], self.arguments.seconds
        cells = [(cores, 32, 13) for cores in ("0", "0,1")]
        cells += [("0", connections, 13) for connections in (10, 100, 1000, 5000)]
        cells += [("0", 32, size) for size in (10, 100, 1_000, 10_000, 60_000)]
        for path, variables in (("cached", {}), ("through", {"CACHE_CAPACITY": "0"})):
            for cores, connections, size in cells:
                log = self.directory / "scaling.log"
                peer = peers.shoutback(self.setting, log, cores=cores, **variables)
                with peer.process:
                    text = ("hello, world! " * (size // 14 + 1))[:size]
                    measuring.burst(peer, 1, connections, self.good, text=text)
                    said = measuring.burst(peer, seconds, connections, self.good, text=text)
                    memory = measuring.memory_mib(peer.pid, "VmHWM")
                rows.append({"path": path, "cores": len(cores.split(",")), "connections": connections, "size": size} | said | {"mib": memory})
                print(f"{path:8} {cores:4} {connections:5} {size:6}: {said['cpu_us']:8.1f} us {said['a_second']:8.0f}/s {memory:.0f} MiB", flush=True)
        return rows


def medians(said):
    return {name: statistics.median(one[name] for one in said) for name in said[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, prog="make bench", usage='make bench ARGS="…"')
    parser.add_argument("--seconds", type=int, default=3, help="how long one measurement takes (3)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is made (3)")
    parser.add_argument("--tokens", type=int, default=15_000, help="how many new tokens a round takes (15000)")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts: {','.join(PARTS)}")
    parser.add_argument("--no-record", action="store_true", help="leave docs/performance.md as it is")
    arguments = parser.parse_args()
    parts = arguments.only.split(",")
    results = {}
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        directory = Path(directory)
        run = Run(arguments, Setting(directory, stack), directory, stack)
        # First those that want the machine to themselves.
        for part, measure in (
            ("start", run.start_up),
            ("memory", run.memory),
            ("tokens", run.tokens),
            ("scaling", run.scaling),
            ("armour", run.armour),
            ("requests", run.requests),
            ("latency", run.latency),
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
