"""What consumers may suffer, and what only looks like it: series, and what must follow, whatever the alert is called.

`python3 tests/platform/observability/rules/incidents.py` writes the table into docs/slo.md.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).parents[4] / "observability/slo"))

import document

PAGE = Path(__file__).parents[4] / "docs/slo.md"
RULES = sorted((Path(__file__).parents[4] / "observability/prometheus/rules").glob("*.yaml"))

#: Hours of normal traffic before the incident, and how long it lasts, in minutes.
BEFORE, LASTS = 420, 240
END = BEFORE + LASTS


@dataclass
class Incident:
    name: str
    #: Minutes from its start until the first page or ticket; None: there must be none.
    page: int | None
    ticket: int | None
    series: dict
    #: The promise for the first page, in minutes, where there is one.
    within: int | None = None
    start: int = BEFORE
    end: int = END
    #: Alerts that must fire, apart from those of the objectives.
    alerts: tuple = ()

    @property
    def environment(self):
        return re.sub(r"\W+", "-", self.name)

    def placed(self):
        """Returns the series in an environment and a namespace of their own: all incidents are one test, which is fast."""
        here = self.environment
        return {
            re.sub(r'environment="production"', f'environment="{here}"', re.sub(r'environment="old"', f'environment="{here}, before"', key)).replace(
                ',namespace="shoutback"', f',namespace="{here}"'
            ).replace('{namespace="shoutback"', f'{{namespace="{here}"'): values
            for key, values in self.series.items()
        }


def labels(**more):
    return {"job": "shoutback", "environment": "production", "instance": "a", "namespace": "shoutback", "pod": "shoutback-a"} | more


def named(metric, pairs):
    matchers = ",".join(f'{name}="{value}"' for name, value in pairs.items())
    return f"{metric}{{{matchers}}}"


def series(metric, **more):
    return named(metric, labels(**more))


def counter(before, during, total=END, start=BEFORE, at=0):
    """Returns the values of a counter that grows by `before` per minute, then by `during`."""
    turn = at + before * start
    return f"{at}+{before}x{start} {turn + during}+{during}x{total - start - 1}"


def requests(status, before, during, error="", fast=1.0, fast_during=None, instance="a", **more):
    """Returns the series of requests with a status, per minute; `fast` is the ratio of those that took less than a second."""
    fast_during = fast if fast_during is None else fast_during
    common = {"http_route": "/v1", "http_response_status_code": status, "error_type": error, "instance": instance, "pod": f"shoutback-{instance}"} | more
    name = "http_server_request_duration_seconds"
    return {
        series(f"{name}_count", **common): counter(before, during),
        # An abandoned request is in time if it was abandoned sooner than a response has to be there.
        series(f"{name}_bucket", **common, le="1" if status else "0.75"): counter(before * fast, during * fast_during),
    }


def within(status, bound, before, during, error=""):
    return {
        series("http_server_request_duration_seconds_bucket", http_route="/v1", http_response_status_code=status, error_type=error, le=bound): counter(before, during)
    }


def tokens(outcome, before, during, instance="a"):
    return {series("shoutback_auth_total", outcome=outcome, instance=instance): counter(before, during)}


def shouts(client, outcome, before, during):
    return {series("shoutback_shouts_total", client_id=client, outcome=outcome, source="upstream"): counter(before, during)}


def up(*instances, values=None):
    return {series("up", instance=one, pod=f"shoutback-{one}"): values or f"1x{END}" for one in instances}


def started(instance, values):
    return {series("process_start_time_seconds", instance=instance, pod=f"shoutback-{instance}"): values}


def edge(code, before, during):
    pairs = {"environment": "production", "resource_namespace": "shoutback", "resource_name": "shoutback", "code": code}
    return {named("nginx_ingress_controller_upstream_server_response_latency_ms_count", pairs): counter(before, during)}


def probe(metric, values):
    return {f'{metric}{{job="shoutback-probe",environment="production",instance="https://api.example.com/v1"}}': values}


def deployment(values):
    return {'kube_deployment_spec_replicas{namespace="shoutback",deployment="shoutback"}': values}


def valkey(values):
    return {series("shoutback_valkey_up"): values}


def keys(values, instance="a"):
    return {series("shoutback_jwks_last_success_timestamp_seconds", pool="p", instance=instance): values}


OK, BUSY, QUIET, RARE = 600, 6000, 6, 0.3
SERVED = requests("200", OK, OK) | up("a")
REFRESHED = " ".join(f"{60 * minute}x9" for minute in range(0, END, 10))
ACCEPTED = tokens("accepted", OK, OK)

PAIN = [
    Incident("every request fails with 503", 1, 16, requests("200", OK, 0) | requests("503", 0, OK, "upstream-unavailable") | up("a"), within=3),
    Incident("every request fails, at 0.1/s", 2, 17, requests("200", QUIET, 0) | requests("503", 0, QUIET, "upstream-unavailable") | up("a"), within=10),
    Incident("every request fails, at 0.005/s", 34, 49, requests("200", RARE, 0) | requests("503", 0, RARE, "upstream-unavailable") | up("a"), within=60),
    Incident("2 % of the requests fail", 44, 38, requests("200", OK, OK * 0.98) | requests("500", 0, OK * 0.02, "internal-error") | up("a")),
    Incident("0.3 % of the requests fail", None, 226, requests("200", OK, OK * 0.997) | requests("500", 0, OK * 0.003, "internal-error") | up("a")),
    Incident("SHOUTCLOUD takes 1.8 s, and every caller hangs up after 1 s", 5, 38, requests("200", OK, 0) | requests("", 0, OK, "cancelled", fast=0) | up("a"), within=10),
    Incident("every caller hangs up after 0.5 s", 7, None, SERVED | shouts("one", "success", OK, 0) | shouts("one", "cancelled", 0, OK) | shouts("two", "success", OK, 0) | shouts("two", "cancelled", 0, OK), within=10, alerts=("ShoutbackCallersHangUp",)),
    Incident("every response takes 3 s", 5, 20, requests("200", OK, OK, fast_during=0) | within("200", "2.5", OK, 0) | up("a"), within=10),
    Incident("every response takes 1.8 s, and the callers wait", 5, 38, requests("200", OK, OK, fast_during=0) | within("200", "2.5", OK, OK) | up("a"), within=10),
    Incident("one response in five takes 3 s", 43, 38, requests("200", OK, OK, fast_during=0.8) | within("200", "2.5", OK, 0.8 * OK) | up("a")),
    Incident("every token fails with keys-unavailable, 0.02/s", 9, 8, requests("200", 1.2, 0) | requests("503", 0, 1.2, "keys-unavailable") | up("a"), within=20),
    Incident("every authenticated request fails, and a client sends 200 expired tokens/s", 1, 16, requests("200", 60, 0) | requests("503", 0, 60, "upstream-unavailable") | requests("401", 12000, 12000, "unauthenticated") | up("a"), within=3),
    Incident("the ingress is dead, at 0.4/s", 5, None, requests("200", 24, 0) | up("a"), within=10, alerts=("ShoutbackNoTraffic",)),
    Incident("the ingress is dead, at 0.1/s", 5, None, requests("200", QUIET, 0) | up("a"), within=10, alerts=("ShoutbackNoTraffic",)),
    Incident("the public host does not respond, at 0.005/s", 4, None, requests("200", RARE, RARE) | up("a") | probe("probe_success", f"1x{BEFORE} 0x{LASTS}"), within=10, alerts=("ShoutbackProbeFails",)),
    Incident("NGINX responds with 502 to every request", 1, 16, SERVED | edge("200", OK, 0) | edge("502", 0, OK), within=3),
    Incident("no replica is left", 5, None, requests("200", OK, 0) | up("a", values=f"1x{BEFORE} _x{LASTS}"), within=5, alerts=("ShoutbackReplicaDown",)),
    Incident("one of two consumers is no longer accepted", 6, 16, requests("200", OK, 300) | requests("401", 0, 300, "unauthenticated") | up("a") | tokens("accepted", OK, 300) | tokens("unknown_client", 0, 300), within=10, alerts=("ShoutbackTokensRejected",)),
    Incident("every token is rejected as malformed", 4, 16, requests("200", OK, 0) | requests("401", 0, OK, "unauthenticated") | up("a") | tokens("accepted", OK, 0) | tokens("malformed_token", 0, OK), within=10, alerts=("ShoutbackTokensRejected",)),
    Incident("one of five consumers is no longer accepted", None, 18, requests("200", OK, 480) | requests("401", 0, 120, "unauthenticated") | up("a") | tokens("accepted", OK, 480) | tokens("unknown_client", 0, 120), alerts=("ShoutbackTokensRejected",)),
    Incident("one replica of three rejects every token", 10, 17, requests("200", OK, 400) | up(*"abc") | tokens("accepted", 200, 200, "a") | tokens("accepted", 200, 200, "b") | tokens("accepted", 200, 0, "c") | tokens("expired", 0, 200, "c"), within=15, alerts=("ShoutbackReplicaRejects",)),
    Incident("one replica of four fails, and callers retry", 4, 8, {key: value for one in "abc" for key, value in (requests("200", 150, 150, instance=one) | requests("503", 0, 0, "upstream-unavailable", instance=one)).items()} | requests("200", 150, 0, instance="d") | requests("503", 0, 150, "upstream-unavailable", instance="d") | up(*"abcd"), alerts=("ShoutbackReplicaDiffers",)),
    Incident("one replica of ten is slow", None, 8, {key: value for one in "abcdefghi" for key, value in requests("200", 60, 60, instance=one).items()} | requests("200", 60, 60, fast_during=0, instance="j") | up(*"abcdefghij"), alerts=("ShoutbackReplicaDiffers",)),
    Incident("every replica is killed every ten minutes", 10, 20, SERVED | started("a", " ".join(f"{600 * n}x9" for n in [0] * 42 + list(range(1, 25)))), within=30, alerts=("ShoutbackReplicaRestarts",)),
    Incident("one replica of three runs out of memory every ten minutes", None, 20, SERVED | started("a", " ".join(f"{600 * n}x9" for n in [0] * 42 + list(range(1, 25)))) | started("b", f"5x{END}") | started("c", f"6x{END}"), alerts=("ShoutbackReplicaRestarts",)),
    Incident("every request of one of twenty consumers fails", None, 10, SERVED | {key: value for n in range(19) for key, value in shouts(f"c{n}", "success", 100, 100).items()} | shouts("bad", "success", 5, 0) | shouts("bad", "upstream-timeout", 0, 5), alerts=("ShoutbackClientFails",)),
    Incident("Cognito's keys have not been fetched for 18.5 hours", 1111, 31, {series("up"): "1x1700"} | keys(" ".join(f"{60 * minute}x9" for minute in range(0, BEFORE, 10)) + f" {60 * (BEFORE - 10)}x1280"), end=1700, alerts=("ShoutbackKeySetStale",)),
]

def every_day(*parts):
    """Returns the values of a counter over 31 hours, from pairs of minutes and growth per minute; the first day repeats."""
    values, at = [], 0.0
    for minutes, growth in parts:
        for _ in range(minutes):
            values.append(f"{at:g}")
            at += growth
    return " ".join(values)


def all_day(status, *parts, **more):
    common = {"http_route": "/v1", "http_response_status_code": status, "error_type": ""} | more
    name = "http_server_request_duration_seconds"
    return {series(f"{name}_count", **common): every_day(*parts), series(f"{name}_bucket", **common, le="1"): every_day(*parts)}


def rolled_out():
    """Two replicas are replaced, one after the other; the new ones begin with an empty cache and old counters end."""
    found = {}
    for number, (old, new) in enumerate([("a", "c"), ("b", "d")]):
        moment = BEFORE + 2 * number
        name = "http_server_request_duration_seconds"
        for metric, more in ((f"{name}_count", {}), (f"{name}_bucket", {"le": "1"})):
            common = {"http_route": "/v1", "http_response_status_code": "200", "error_type": ""} | more
            found[series(metric, instance=old, **common)] = f"0+300x{moment} stale"
            found[series(metric, instance=new, **common)] = f"_x{moment} 0+300x{END - moment}"
        for metric, before, after in (("up", "1", "1"), ("process_start_time_seconds", "7", str(60 * moment))):
            found[series(metric, instance=old)] = f"{before}x{moment} stale"
            found[series(metric, instance=new)] = f"_x{moment} {after}x{END - moment}"
        found[series("shoutback_auth_total", outcome="accepted", instance=old)] = f"0+300x{moment} stale"
        found[series("shoutback_auth_total", outcome="accepted", instance=new)] = f"_x{moment} 0+300x{END - moment}"
    return found


def renamed():
    found = {}
    for environment, values in (("old", f"1x{BEFORE} stale"), ("production", f"_x{BEFORE} 1x{LASTS}")):
        found[series("up", environment=environment)] = values
    return found


EVENINGS = ((960, 60), (480, 0), (960, 60), (60, 0))
DIMS = ((960, 600), (480, 60), (960, 600), (60, 60))

INNOCENCE = [
    Incident("a day like any other", None, None, SERVED | ACCEPTED | keys(REFRESHED) | probe("probe_success", f"1x{END}") | edge("200", OK, OK)),
    Incident("a rollout", None, None, rolled_out()),
    Incident("one request in ten minutes, and one of ten fails", None, None, requests("200", 0.1, 0.09) | requests("503", 0, 0.01, "upstream-timeout") | up("a")),
    Incident("a scanner sends 200 bad tokens and unknown methods per second", None, None, SERVED | ACCEPTED | requests("401", 0, 12000, "unauthenticated") | requests("405", 0, 600, "method-not-allowed") | tokens("malformed_token", 0, 12000)),
    Incident("a scanner has sent bad tokens for hours, and the evening is quiet as yesterday", None, None, all_day("200", *DIMS) | {series("shoutback_auth_total", outcome="accepted"): every_day(*DIMS)} | {series("shoutback_auth_total", outcome="bad_signature"): every_day((960, 12), (480, 600), (960, 12), (60, 600))} | {series("up"): "1x2460"}, start=2400, end=2460),
    Incident("one broken client of three hangs up at once, ten times as often as the others ask", None, 10, SERVED | requests("", 0, BUSY, "cancelled") | shouts("one", "success", 300, 300) | shouts("two", "success", 300, 300) | shouts("broken", "cancelled", 0, 3) | shouts("broken", "success", 3, 0), alerts=("ShoutbackClientFails",)),
    Incident("a client in development sends malformed requests", None, None, SERVED | requests("400", 0, 300, "invalid-request") | requests("413", 0, 30, "content-too-large")),
    Incident("a body that never comes", None, None, SERVED | requests("408", 0, 300, "request-timeout", fast=0)),
    Incident("3 % of the callers hang up within the second", None, None, SERVED | requests("", 0, 18, "cancelled")),
    Incident("every request fails for 20 seconds", None, None, {key: f"0+600x{BEFORE} {600 * BEFORE + 400}+600x{LASTS}" for key in requests("200", 1, 1)} | {key: f"0x{BEFORE} 200x{LASTS}" for key in requests("503", 1, 1, "upstream-unavailable")} | up("a")),
    Incident("a replica restarts once, and its counters begin at 0", None, None, {key: f"90000+600x{BEFORE} 0+600x{LASTS}" for key in requests("200", 1, 1)} | {key: f"9000x{BEFORE} 0x{LASTS}" for key in requests("503", 1, 1, "upstream-unavailable")} | up("a") | started("a", f"5x{BEFORE} {60 * BEFORE}x{LASTS}")),
    Incident("Prometheus itself does not scrape for four minutes of every hour", None, None, {key: " ".join(f"{36000 * hour}+600x55 _x4" for hour in range(11)) for key in requests("200", 1, 1)} | up("a", values=" ".join(["1x55 _x4"] * 11))),
    Incident("a node's clock is 20 hours behind, and is adjusted by a second each minute", None, None, SERVED | keys(" ".join(f"{60 * minute + 1}x9" for minute in range(0, END, 10))) | started("a", " ".join(str(1000 + n % 2) for n in range(END)))),
    Incident("the Deployment is scaled to zero", None, None, {key: f"0+600x{BEFORE} stale" for key in requests("200", 1, 1)} | up("a", values=f"1x{BEFORE} stale") | deployment(f"1x{BEFORE} 0x{LASTS}")),
    Incident("the environment is renamed", None, None, renamed()),
    Incident("the consumers are jobs that stop every evening", None, None, all_day("200", *EVENINGS) | {series("up"): "1x2460"}, start=2400, end=2460),
    Incident("a job sends its requests together, four times an hour", None, None, {key: " ".join(f"{300 * n}x14" for n in range(END // 15)) for key in requests("200", 1, 1)} | up("a")),
    Incident("a client exceeds its quota", None, 16, SERVED | requests("429", 0, 300, "rate-limited") | {series("shoutback_rate_limited_total", client_id="one"): counter(0, 300), series("shoutback_quota_requests_total", client_id="one"): counter(300, 600)}, alerts=("ShoutbackClientQuotaExhausted",)),
    Incident("keys cannot be fetched for 20 minutes", None, None, SERVED | keys(" ".join([f"{60 * minute}x9" for minute in range(0, BEFORE, 10)] + [f"{60 * (BEFORE - 10)}x19"] + [f"{60 * minute}x9" for minute in range(BEFORE + 20, END, 10)]))),
    Incident("a replica restarts every four minutes, and fetches its keys each time", None, None, SERVED | keys(" ".join(f"{60 * minute}x3" for minute in range(0, END, 4)))),
    Incident("the first five requests of a new environment, and one fails", None, None, {key: f"_x{BEFORE} 0x2 4x{LASTS}" for key in requests("200", 1, 1)} | {key: f"_x{BEFORE} 0x2 1x{LASTS}" for key in requests("500", 1, 1, "internal-error")} | up("a")),
    Incident("the probe fails once", None, None, SERVED | probe("probe_success", f"1x{BEFORE} 0 1x{LASTS}")),
    Incident("a new replica waits four minutes for its first keys", None, None, SERVED | keys(f"_x{BEFORE} 0x4 {60 * BEFORE + 300}x20 " + " ".join(f"{60 * minute}x9" for minute in range(BEFORE + 26, END, 10)), instance="b")),
    Incident("Valkey is down, and each replica enforces its share of the quotas", None, 5, SERVED | valkey(f"1x{BEFORE} 0x{LASTS}"), alerts=("ShoutbackValkeyUnavailable",)),
    Incident("a failover of Valkey takes two minutes", None, None, SERVED | valkey(f"1x{BEFORE} 0x1 1x{LASTS}")),
    Incident("a certificate is renewed 30 days before its end", None, None, SERVED | probe("probe_ssl_earliest_cert_expiry", f"{30 * 86400}x{BEFORE} {90 * 86400}x{LASTS}")),
]

INCIDENTS = PAIN + INNOCENCE


def since(severity, incident):
    """Returns the query for the minutes from the start of an incident until the first alert of a severity."""
    # The days before are only there to be compared with.
    window = incident.end if incident.end == END else incident.end - incident.start
    firing = f'timestamp(max(ALERTS{{alertstate="firing",severity="{severity}",environment=~"{incident.environment}(, before)?"}}))'
    return f"min_over_time(({firing})[{window}m:1m]) / 60 - {incident.start}"


def expectations(incident):
    for severity, minutes in (("page", incident.page), ("ticket", incident.ticket)):
        yield {"expr": since(severity, incident), "exp_samples": [] if minutes is None else [{"labels": "{}", "value": minutes}]}
    for name in incident.alerts:
        fired = f'max_over_time(ALERTS{{alertstate="firing",alertname="{name}",environment="{incident.environment}"}}[{incident.end}m])'
        yield {"expr": f"count(count by (alertname) ({fired}))", "exp_samples": [{"labels": "{}", "value": 1}]}


def promtool_tests(rules=RULES):
    """Returns the incidents as a file of promtool's, which evaluates every minute; Prometheus does so more often, so it pages sooner."""
    tests = [
        {
            "name": f"until minute {end}",
            "interval": "1m",
            "input_series": [{"series": key, "values": values} for one in INCIDENTS if one.end == end for key, values in one.placed().items()],
            "promql_expr_test": [each | {"eval_time": f"{end}m"} for one in INCIDENTS if one.end == end for each in expectations(one)],
        }
        for end in sorted({one.end for one in INCIDENTS})
    ]
    # What is recorded comes first: within a minute, promtool would otherwise evaluate alerts with the values of the minute before.
    groups = [group["name"] for path in rules for group in yaml.safe_load(path.read_text())["groups"]]
    groups.sort(key=lambda name: name == "shoutback-slo-alerts")
    return yaml.safe_dump({"rule_files": [str(path) for path in rules], "evaluation_interval": "1m", "group_eval_order": groups, "tests": tests}, sort_keys=False, width=10_000)


def table():
    rows = [[one.name, str(one.page), str(one.within)] for one in PAIN if one.within]
    return document.table(["incident", "minutes until the page", "at most"], rows)


def mean():
    """Returns the mean time to page of the incidents that have a promise."""
    promised = [one.page for one in PAIN if one.within]
    return sum(promised) / len(promised)


def filled(page):
    text = (
        f"{table()}\n\nThe mean is {mean():.1f} minutes. `tests/platform/observability/rules/incidents.py` has incidents without a limit, and {len(INNOCENCE)},\n"
        "such as a rollout, that must not page."
    )
    return document.replaced(page, "incidents", text)


if __name__ == "__main__":
    if sys.argv[1:] == ["--print"]:
        print(promtool_tests())
    else:
        PAGE.write_text(filled(PAGE.read_text()))
