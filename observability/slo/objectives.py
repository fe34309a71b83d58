"""The service level objectives: the only place that states what a good request is, for every reader of the metrics.

`python3 observability/slo` writes the rules of Prometheus, the alarms of CloudWatch, the queries for a canary and the tables of
docs/slo.md from it; the dashboards import it.
"""

from dataclasses import dataclass

REQUESTS = "http_server_request_duration_seconds"
SHOUTS = "shoutback_shout_duration_seconds"
# Observed by NGINX; `code` is the status that it got from a replica, or its own 502 and 504 if it got none.
EDGE = "nginx_ingress_controller_upstream_server_response_latency_ms"

OURS = 'job="shoutback"'
# Rejections of the caller's own making are 4xx, so they are not in here. A cancelled request has no status.
ANSWERED = 'http_route="/v1",http_response_status_code=~"2..|5.."'
ANSWERED_OR_ABANDONED = 'http_route="/v1",http_response_status_code=~"2..|5..|"'
FAILED = 'http_route="/v1",http_response_status_code=~"5.."'
# Responses that wait for neither SHOUTCLOUD nor a body.
REJECTED_AT_ONCE = 'http_route="/v1",http_response_status_code=~"401|403|405|406|415|429"'
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
    """`total` lists the series that count, as pairs of histogram and matchers; `bad` those of them that are bad, or `threshold`
    is the duration in seconds above which they are bad."""

    name: str
    alert: str
    budget: float
    tiers: tuple
    what: str
    bad_is: str
    total: tuple
    bad: tuple = ()
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

    @property
    def le(self):
        """Returns the matcher of the bucket. Prometheus 3 writes whole numbers with a decimal point."""
        bound = f"{self.threshold:g}"
        return f'le=~"{bound}|{bound}[.]0"' if float(self.threshold).is_integer() else f'le="{bound}"'

    def rate(self, series, window, function="rate", kind="count", extra="", scope=None):
        """Returns the summed rates of several histograms. `scope` replaces the matcher of the job."""
        scope = (OURS if self.ours else "") if scope is None else scope
        parts = []
        for metric, matchers in series:
            selector = ",".join(part for part in (scope, matchers, extra) if part)
            parts.append(f"sum by ({self.by}) ({function}({metric}_{kind}{{{selector}}}[{window}]))")
        return "\n+\n".join(parts)

    def grouped(self, series, *arguments, **named):
        text = self.rate(series, *arguments, **named)
        return f"(\n{indented(text)}\n)" if len(series) > 1 else text

    def bad_ratio(self, window, **named):
        total = self.grouped(self.total, window, **named)
        if self.threshold is None:
            return f"{self.failed(window, **named)}\n/\n{total}"
        good = self.grouped(self.total, window, kind="bucket", extra=self.le, **named)
        return f"1 -\n{good}\n/\n{total}"

    def failed(self, window, function="rate", **named):
        text = self.grouped(self.bad, window, function, **named)
        # The service registers every series at 0; NGINX has none for a status until it has seen it.
        return text if self.ours else f"(\n{indented(text)}\n  or\n  0 * {self.grouped(self.total, window, function, **named)}\n)"

    def bad_events(self, window, function="increase"):
        if self.threshold is None:
            return self.failed(window, function)
        return f"{self.grouped(self.total, window, function)}\n-\n{self.grouped(self.total, window, function, 'bucket', self.le)}"

    def windows(self):
        return sorted({window for tier in self.tiers for window in (tier.long, tier.short)} | {"5m"}, key=seconds)


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
        what="responses on `/v1` to authenticated, well-formed requests",
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
        bad_is="5xx, those of NGINX included: a replica that is gone or does not respond",
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
        what="the requests of `availability`, and those that the caller abandoned",
        bad_is="response, or abandonment, after more than 1 s",
        total=((REQUESTS, ANSWERED_OR_ABANDONED),),
        threshold=1,
    ),
    Objective(
        name="latency-tail",
        alert="Latency",
        budget=0.01,
        tiers=(FAST, SLOW, TICKET),
        what="the same",
        bad_is="response, or abandonment, after more than 2.5 s",
        total=((REQUESTS, ANSWERED_OR_ABANDONED),),
        threshold=2.5,
    ),
    Objective(
        name="latency-local",
        alert="Latency",
        budget=0.05,
        tiers=(TICKET,),
        what="shouts from the cache and of the empty text; rejections with 401, 403, 405, 406, 415, 429",
        bad_is="response after more than 25 ms",
        total=((SHOUTS, 'source=~"cache|none"'), (REQUESTS, REJECTED_AT_ONCE)),
        threshold=0.025,
    ),
)
BY_NAME = {objective.name: objective for objective in OBJECTIVES}
