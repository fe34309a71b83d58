"""The goals, as ratios within one run, and the names of what is measured."""

import spread

NAMES = {
    "floor here": "bare hyper, without a call",
    "thin here": "bare axum, without a call",
    "shoutback cached": "Shoutback, cached",
    "floor through": "bare hyper, in and out",
    "thin through": "bare axum + reqwest",
    "shoutback through": "Shoutback, proxied",
    "shoutback untraced": "Shoutback, no collector",
    "haproxy": "HAProxy",
    "envoy": "Envoy",
    "original": "Flask original",
}


def proxies():
    return ("floor through", "thin through", "shoutback through", "haproxy", "envoy")


def table(heads, rows, right=()):
    lines = ["| " + " | ".join(heads) + " |", "|" + "|".join("--:" if at in right else "---" for at in range(len(heads))) + "|"]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines)


def rejections(rounds, success_us):
    """Returns the CPU microseconds of a rejection in each round that had some: what successes do not explain."""
    return [(1e6 * one["cpu_seconds"] - one["all_succeeded"] * success_us) / one["all_rejected"] for one in rounds if one["all_rejected"]]


def verdict(value, bound, is_upper=True):
    """Says whether a goal is met, and whether the rounds agree about it."""
    is_met = value.median <= bound if is_upper else value.median >= bound
    is_clear = not value.low <= bound <= value.high or value.width == 0
    return ("met" if is_met else "**missed**") + ("" if is_clear else ", within the spread")


class Goals:
    def __init__(self):
        self.rows = []

    def at_most(self, path, value, bound, goal, unit="×", digits=2):
        self.rows.append((path, goal, f"{value.text(digits)} {unit}", verdict(value, bound)))

    def ratio(self, path, rounds, numerator, denominator, bound, goal):
        if numerator in rounds and denominator in rounds:
            self.at_most(path, spread.ratio(rounds[numerator], rounds[denominator]), bound, f"≤ {bound} × {goal}")

    def added(self, path, rounds, others, goal, bound):
        """Compares p99 in milliseconds."""
        with_it, without = spread.field(rounds, "p99"), spread.field(others, "p99")
        difference = spread.of(value / 1000 for value in spread.difference(rounds, others, "p99"))
        if spread.is_measurable(with_it, without):
            self.at_most(path, difference, bound, goal, "ms")
        else:
            met = "met" if difference.high < bound else "not decided"
            self.rows.append((path, goal, f"not measurable, {difference.text(2)} ms", met))

    def requests(self, rounds):
        self.ratio("cached", rounds, "shoutback cached", "thin here", 1.5, "bare axum")
        self.ratio("proxied", rounds, "shoutback through", "thin through", 1.05, "bare axum + reqwest")
        self.ratio("proxied", rounds, "shoutback through", "floor through", 1.4, "bare hyper")
        self.ratio("proxied", rounds, "shoutback through", "haproxy", 0.65, "HAProxy")
        self.ratio("proxied", rounds, "shoutback through", "envoy", 0.75, "Envoy")

    def tokens(self, rounds):
        pairs = zip(rounds["cached new"], rounds["cached seen"], rounds["check"], strict=True)
        expected = spread.of(new["cpu_us"] / (seen["cpu_us"] + check["cpu_us"]) for new, seen, check in pairs)
        self.at_most("new token", expected, 1.1, "≤ 1.1 × a repeated one and one RS256 verification")
        value = spread.ratio(rounds["cached bad"], rounds["cached new"])
        self.at_most("rejected token", value, 1, "cheaper than accepting a new one")

    def memory(self, points):
        idle = next(point for point in points if not point["connections"])
        self.at_most("memory, idle", spread.of([idle["kib"] / 1024]), 12, "< 12 MiB", "MiB", 1)

    def start(self, times):
        # The fastest and the slowest of eleven starts are no spread of a median.
        median = spread.of([spread.of(times).median])
        self.at_most("start to ready, local key server", median, 50, "< 50 ms", "ms", 0)

    def latency(self, measured):
        half = measured["shares"]["0.5"]
        for name, path in (("shoutback through", "p99 at half load"), ("shoutback untraced", "p99 at half load, no collector")):
            if name in half:
                self.added(path, half[name], half["floor through"], "< 0.5 ms above bare hyper", 0.5)

    def overload(self, measured):
        rounds = measured["loads"]["4"]
        goodput = spread.field(rounds, "goodput")
        self.rows.append(("4 × overload", "goodput ≥ 0.9 × capacity", f"{goodput.text(2)} ×", verdict(goodput, 0.9, is_upper=False)))
        rejected = [one["rejected_p99"] / 1000 for one in rounds if one["rejected"]]
        if rejected:
            self.at_most("4 × overload", spread.of(rejected), 20, "p99 of rejections < 20 ms", "ms", 1)
        seconds = [one["seconds"] for one in measured["recovery"]]
        if None in seconds:
            self.rows.append(("after 4 × overload", "p99 normal within 5 s", "never", "**missed**"))
        else:
            self.at_most("after 4 × overload", spread.of(seconds), 5, "p99 normal within 5 s", "s")

    def shared(self, rounds):
        self.ratio("cached, shared quota, 10,000/s of one client", rounds["cached"], "shared", "local", 1.1, "the local quota")
        self.added("cached, shared quota, half load", rounds["half"]["shared"], rounds["half"]["local"], "< 0.2 ms of p99 added", 0.2)
        self.ratio("proxied, shared cache missing", rounds["missing"], "shared", "local", 1.25, "the local cache")


def rows(results):
    """Returns rows of path, goal, measured value and verdict, of the parts that were measured."""
    goals = Goals()
    for part in ("requests", "tokens", "memory", "start", "latency", "overload", "shared"):
        if part in results:
            getattr(goals, part)(results[part])
    return goals.rows
