"""The service level objectives: the only place that states what a good request is, for every reader of the metrics.

`python3 observability/slo` writes the rules of Prometheus, the alarms of CloudWatch and the tables of
docs/slo.md from it; the dashboards import it.
"""

from dataclasses import dataclass

REQUESTS = "http_server_request_duration_seconds"
SHOUTS = "shoutback_shout_duration_seconds"
# Observed by NGINX; `code` is the status that it got from a replica, or its own 502 and 504 if it got none.
EDGE = "nginx_ingress_controller_upstream_server_response_latency_ms"

OURS = 'job="shoutback"'
# The routes of the API: an operation counts in the objectives because its path begins like this. src/http/routes.rs tests that these are
# the routes with authentication.
API = 'http_route=~"/v[0-9].*"'
# Rejections of the caller's own making are 4xx, so they are not in here. A cancelled request has no status.
ANSWERED = f'{API},http_response_status_code=~"2..|5.."'
ABANDONED = f'{API},http_response_status_code=""'
ANSWERED_OR_ABANDONED = f'{API},http_response_status_code=~"2..|5..|"'
FAILED = f'{API},http_response_status_code=~"5.."'
# Responses that wait for neither SHOUTCLOUD nor a body.
REJECTED_AT_ONCE = f'{API},http_response_status_code=~"401|403|405|406|415|429"'
AT_EDGE = 'resource_namespace="shoutback"'

MIN_BAD_EVENTS = 10


@dataclass(frozen=True)
class Tier:
    """Fires if the budget is spent `factor` times too fast over both windows."""

    alert: str
    severity: str
    factor: float
    long: str
    short: str
    pending: str


# The short window makes it current: to wait in addition would only delay the page.
FAST = Tier("BurnFast", "page", 14.4, "1h", "5m", "0s")
# Half of all requests. A factor of 14.4 would be 72 % of a budget of 5 %, and an hour's window takes most of an hour to reach that.
HALF = Tier("BurnFast", "page", 10, "10m", "5m", "0s")
SLOW = Tier("BurnSlow", "page", 6, "6h", "30m", "5m")
TICKET = Tier("Ticket", "ticket", 1, "3d", "6h", "15m")


@dataclass(frozen=True)
class Objective:
    """`total` lists the series that count, as pairs of histogram and matchers; `bad` those of them that are bad, or `good` those
    that are good up to a duration in seconds. `threshold` is that duration of a response."""

    name: str
    alert: str
    budget: float
    tiers: tuple
    what: str
    bad_is: str
    total: tuple
    bad: tuple = ()
    good: tuple = ()
    threshold: float | None = None
    by: str = "job, environment"
    ours: bool = True

    @property
    def target(self):
        return f"{100 - 100 * self.budget:g} %"

    @property
    def labels(self):
        # NGINX's series belong to another job.
        return {"slo": self.name} | ({} if self.ours else {"job": "shoutback"})

    def summed(self, series, window, function="rate", scope=None, by=None):
        """Returns the sum of the rates of several selectors of PromQL. `scope` replaces the matcher of the job, `by` the labels."""
        scope = (OURS if self.ours else "") if scope is None else scope
        rates = []
        for metric, *matchers in series:
            selector = ",".join(part for part in (scope, *matchers) if part)
            rates.append(f"{function}({metric}{{{selector}}}[{window}])")
        # Their labels differ, so `or` keeps all of them, and one without series is no problem.
        together = rates[0] if len(rates) == 1 else "\n" + indented("\nor\n".join(rates)) + "\n"
        return f"sum by ({by or self.by}) ({together})"

    def counted(self, window, function="rate", **named):
        return self.summed([(f"{metric}_count", matchers) for metric, matchers in self.total], window, function, **named)

    def failed(self, window, function="rate", **named):
        text = self.summed([(f"{metric}_count", matchers) for metric, matchers in self.bad], window, function, **named)
        # The service registers every series at 0; NGINX has none for a status until it has seen it.
        return text if self.ours else f"(\n{indented(text)}\n  or\n  0 * {self.counted(window, function, **named)}\n)"

    def in_time(self, window, function="rate", **named):
        return self.summed([(f"{metric}_bucket", matchers, le(bound)) for metric, matchers, bound in self.good], window, function, **named)

    def bad_ratio(self, window, **named):
        if self.bad:
            return f"{self.failed(window, **named)}\n/\n{self.counted(window, **named)}"
        return f"1 -\n{self.in_time(window, **named)}\n/\n{self.counted(window, **named)}"

    def bad_events(self, window, function="increase"):
        if self.bad:
            return self.failed(window, function)
        return f"{self.counted(window, function)}\n-\n{self.in_time(window, function)}"

    def windows(self):
        return sorted({window for tier in self.tiers for window in (tier.long, tier.short)} | {"5m"}, key=seconds)


def le(bound):
    """Returns the matcher of a bucket. Prometheus 3 writes whole numbers with a decimal point."""
    return f'le=~"{bound:g}|{bound:g}[.]0"' if float(bound).is_integer() else f'le="{bound:g}"'


def indented(text, by="  "):
    return "\n".join(by + line for line in text.splitlines())


def seconds(duration):
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[duration[-1]]


OBJECTIVES = (
    Objective(
        name="availability",
        alert="Availability",
        budget=0.001,
        tiers=(FAST, SLOW, TICKET),
        what="responses of API routes to authenticated, well-formed requests",
        bad_is="5xx, `keys-unavailable` and `overloaded` included",
        total=((REQUESTS, ANSWERED),),
        bad=((REQUESTS, FAILED),),
    ),
    Objective(
        name="availability-edge",
        alert="Availability",
        budget=0.001,
        tiers=(FAST, SLOW, TICKET),
        what="the same requests, as NGINX sees their responses",
        bad_is="5xx, those of NGINX included",
        total=((EDGE, f'{AT_EDGE},code=~"2..|5.."'),),
        bad=((EDGE, f'{AT_EDGE},code=~"5.."'),),
        by="environment",
        ours=False,
    ),
    Objective(
        name="latency",
        alert="Latency",
        budget=0.05,
        tiers=(HALF, SLOW, TICKET),
        what="those of `availability`, and abandoned requests",
        bad_is="takes more than 1 s, or abandoned after more than 0.75 s",
        total=((REQUESTS, ANSWERED_OR_ABANDONED),),
        # A caller's clock starts before ours: of a request with a timeout of 1 s we see some milliseconds less.
        good=((REQUESTS, ANSWERED, 1), (REQUESTS, ABANDONED, 0.75)),
        threshold=1,
    ),
    Objective(
        name="latency-tail",
        alert="Latency",
        budget=0.01,
        tiers=(FAST, SLOW, TICKET),
        what="the same",
        bad_is="takes more than 2.5 s, or abandoned after more than 2 s",
        total=((REQUESTS, ANSWERED_OR_ABANDONED),),
        good=((REQUESTS, ANSWERED, 2.5), (REQUESTS, ABANDONED, 2)),
        threshold=2.5,
    ),
    Objective(
        name="latency-local",
        alert="Latency",
        budget=0.05,
        tiers=(TICKET,),
        what="shouts from the cache and of the empty text; rejections with 401, 403, 405, 406, 415, 429",
        bad_is="takes more than 25 ms",
        total=((SHOUTS, 'source=~"cache|none"'), (REQUESTS, REJECTED_AT_ONCE)),
        good=((SHOUTS, 'source=~"cache|none"', 0.025), (REQUESTS, REJECTED_AT_ONCE, 0.025)),
        threshold=0.025,
    ),
)
BY_NAME = {objective.name: objective for objective in OBJECTIVES}
