"""One environment for each fault: instances of the real service, their load, and what alerts the fault is for.

All of them run at once and are scraped by one Prometheus, so that each is also a witness that the faults of the others raise no
alert for it.
"""

import contextlib
import functools
import resource
from dataclasses import dataclass, field

from harness.load import empty, unique_text, shout_request, cached_text, with_unknown_kid
from harness.prometheus import Target
from harness.shoutback import Shoutback

AVAILABILITY = {("ShoutbackAvailabilityBurnFast", "page"), ("ShoutbackAvailabilityBurnSlow", "page"), ("ShoutbackAvailabilityTicket", "ticket")}
LATENCY = {("ShoutbackLatencyBurnFast", "page"), ("ShoutbackLatencyBurnSlow", "page"), ("ShoutbackLatencyTicket", "ticket")}
STALE = {("ShoutbackKeySetStale", "page"), ("ShoutbackKeySetStale", "ticket")}

# More often than the alert about keys expects at its speed here; and attempts that end while a test can wait for them.
VARIABLES = {"COGNITO_JWKS_REFRESH": "2s", "BREAKER_MIN_CALLS": "1000000", "SHOUTCLOUD_MAX_RETRIES": "1"}


# What has to have been seen before the faults begin: two alerts are for what stops after hours of traffic. Six hours at half a
# request a second are 180 here, at most; the rest is what a rate over few scrapes may be too high.
SEEN = 300
SEEN_BEFORE = (
    'sum(increase(shoutback_shouts_total{environment="nobody-calls"}[1m]))',
    'sum(increase(shoutback_auth_total{environment="nobody-is-accepted",outcome="accepted"}[1m]))',
)


@dataclass
class Environment:
    """`expected` are pairs of an alert's name and severity; `labels` are what its alerts have to carry besides."""

    name: str
    expected: set
    labels: dict = field(default_factory=dict)
    targets: list = field(default_factory=list)
    # Called before anybody scrapes; when the fault shall begin; every so many seconds while it lasts, for the first time after
    # so many; when it shall end.
    before: list = field(default_factory=list)
    begin: list = field(default_factory=list)
    repeat: list = field(default_factory=list)
    end: list = field(default_factory=list)

    def watch(self, address, instance):
        self.targets.append(Target(address, {"environment": self.name, "instance": instance}))


class Builder:
    """Starts what the environments consist of; `stack` ends it."""

    def __init__(self, stack, directory, emulators, toxiproxy, load, collector):
        self.stack, self.directory, self.emulators = stack, directory, emulators
        self.toxiproxy, self.load, self.collector = toxiproxy, load, collector
        self.token = emulators.token()
        self.environments, self.instances = [], []

    def environment(self, name, expected, **labels):
        environment = Environment(name, set(expected), labels)
        self.environments.append(environment)
        return environment

    def start(self, environment, instance="only", through=(), **variables):
        """An instance that `environment` is scraped from."""
        url = f"http://{self.emulators.shoutcloud}/V1/SHOUT"
        log = self.directory / f"{environment.name}-{instance}.log"
        shoutback = Shoutback(log, through, **(VARIABLES | {"SHOUTCLOUD_URL": url} | variables))
        self.instances.append(self.stack.enter_context(shoutback))
        environment.watch(shoutback.admin, instance)
        return shoutback

    def network(self, upstream):
        """A proxy in front of `upstream`, and the variable that leads SHOUTCLOUD's calls through it."""
        proxy = self.toxiproxy.proxy(upstream)
        return proxy, {"SHOUTCLOUD_URL": f"http://{proxy.address}/V1/SHOUT"}

    def key_server(self):
        proxy = self.toxiproxy.proxy(self.emulators.cognito.removeprefix("http://"))
        return proxy, self.emulators.authentication() | {"COGNITO_JWKS_ENDPOINT": f"http://{proxy.address}"}

    def down(self, environment, proxy, before=False):
        (environment.before if before else environment.begin).append(lambda: proxy.enable(False))
        environment.end.append(lambda: proxy.enable(True))

    def toxic(self, environment, proxy, type, **attributes):
        toxics = contextlib.ExitStack()
        environment.begin.append(lambda: toxics.enter_context(proxy.toxic(type, **attributes)))
        environment.end.append(toxics.close)

    def all(self):
        self.healthy_and_without_one_replica()
        self.calls_fail()
        self.breaker_opens()
        self.calls_are_slow()
        self.refusals_are_slow()
        self.keys_are_stale()
        self.keys_have_expired()
        self.nobody_is_accepted()
        self.client_asks_too_much()
        self.too_much_at_once()
        self.all_replicas_down()
        self.nobody_calls()
        self.collector_is_away()
        self.disk_is_full()
        return self.environments

    def healthy_and_without_one_replica(self):
        """Two instances that do well under load. Under another name they are the replicas that are left when a third dies."""
        healthy = self.environment("healthy", [])
        lost = self.environment("one-replica-down", [("ShoutbackReplicaDown", "ticket")])
        for instance in "ab":
            variables = self.emulators.authentication() | {"OTEL_EXPORTER_OTLP_ENDPOINT": self.collector.always}
            shoutback = self.start(healthy, instance, **variables)
            lost.watch(shoutback.admin, instance)
            requests = [unique_text(self.token), cached_text(self.token), cached_text(self.token), empty(self.token), cached_text()]
            self.load.start(shoutback.address, 10, *requests)
        self.dies(lost, "c")

    def dies(self, environment, instance):
        """It is killed, and comes back at the same address."""
        victim = self.start(environment, instance)
        again = {"ADMIN_ADDR": victim.admin}

        def kill():
            victim.child.kill()
            victim.child.wait()

        def restart():
            self.stack.enter_context(Shoutback(self.directory / f"{environment.name}-again.log", **again))

        environment.begin.append(kill)
        environment.end.append(restart)

    def calls_fail(self):
        environment = self.environment("calls-fail", AVAILABILITY | {("ShoutbackRetryBudgetEmpty", "ticket")})
        proxy, variables = self.network(self.emulators.shoutcloud)
        shoutback = self.start(environment, **variables)
        self.load.start(shoutback.address, 10, unique_text())
        self.down(environment, proxy)

    def breaker_opens(self):
        """With capitals of its own instead of errors, so that no SLO suffers, and no retries that could be used up."""
        environment = self.environment("breaker-opens", [("ShoutbackBreakerOpen", "ticket")])
        proxy, variables = self.network(self.emulators.shoutcloud)
        variables |= {"BREAKER_MIN_CALLS": "5", "BREAKER_OPEN_FOR": "500ms", "BREAKER_WINDOW": "5s"}
        variables |= {"SHOUTCLOUD_FALLBACK": "local", "SHOUTCLOUD_MAX_RETRIES": "0"}
        shoutback = self.start(environment, **variables)
        self.load.start(shoutback.address, 10, unique_text())
        self.down(environment, proxy)

    def calls_are_slow(self):
        environment = self.environment("calls-are-slow", LATENCY, slo="latency")
        proxy, variables = self.network(self.emulators.shoutcloud)
        patience = {"SHOUTCLOUD_ATTEMPT_TIMEOUT": "15s", "SHOUTCLOUD_DEADLINE": "20s"}
        shoutback = self.start(environment, **variables, **patience)
        self.load.start(shoutback.address, 5, unique_text())
        self.toxic(environment, proxy, "latency", latency=1200)

    def refusals_are_slow(self):
        """Tokens with an unknown key wait for the key set, and it comes late. All are refused at the fetch's end, and the next
        begins 10 s later: on two replicas in turn, so that the five minutes' window is slow for longer than the alert waits."""
        environment = self.environment("refusals-are-slow", LATENCY, slo="latency-local")
        proxy, variables = self.key_server()
        unknown = with_unknown_kid(self.token)
        self.toxic(environment, proxy, "latency", latency=300)
        for replica, offset in [("a", 0), ("b", 1.5)]:
            shoutback = self.start(environment, replica, **variables)
            stream = self.load.start(shoutback.address, 2, cached_text(self.token))
            burst = functools.partial(stream.burst, 80, lambda: shout_request("", unknown))
            environment.repeat.append((11, offset, burst))

    def keys_are_stale(self):
        """Since before the first scrape: a success that was seen would last for the hours that the page looks back."""
        environment = self.environment("keys-are-stale", STALE, pool=self.emulators.pool_id)
        proxy, variables = self.key_server()
        shoutback = self.start(environment, **variables)
        self.load.start(shoutback.address, 10, cached_text(self.token))
        self.down(environment, proxy, before=True)

    def keys_have_expired(self):
        environment = self.environment("keys-have-expired", STALE | {("ShoutbackKeysUnavailable", "page")})
        proxy, variables = self.key_server()
        shoutback = self.start(environment, **variables, COGNITO_JWKS_MAX_STALE="3s")
        self.load.start(shoutback.address, 10, cached_text(self.token))
        self.down(environment, proxy, before=True)

    def nobody_is_accepted(self):
        """Consumers' tokens are signed with a key that is in no key set, as after their pool was replaced."""
        environment = self.environment("nobody-is-accepted", [("ShoutbackNobodyAccepted", "page")])
        shoutback = self.start(environment, **self.emulators.authentication())
        accepted = self.load.start(shoutback.address, 50, cached_text(self.token))
        refused = self.load.start(shoutback.address, 10, cached_text(with_unknown_kid(self.token)))
        refused.pause()
        environment.begin += [accepted.pause, refused.resume]
        environment.end += [refused.pause, accepted.resume]

    def client_asks_too_much(self):
        """The quota is the fault; it ends when the client is content with less."""
        client = self.emulators.client_id
        environment = self.environment("quota-used-up", [("ShoutbackClientQuotaExhausted", "ticket")], client_id=client)
        quota = {"RATE_LIMIT_PER_CLIENT": "5/s", "RATE_LIMIT_BURST": "5"}
        shoutback = self.start(environment, **self.emulators.authentication(), **quota)
        self.load.start(shoutback.address, 2, cached_text(self.token))
        more = self.load.start(shoutback.address, 20, cached_text(self.token))
        environment.end.append(more.pause)

    def too_much_at_once(self):
        environment = self.environment("too-much-at-once", AVAILABILITY | {("ShoutbackOverloaded", "ticket")})
        proxy, variables = self.network(self.emulators.shoutcloud)
        limits = {"SHOUTCLOUD_MAX_CONCURRENCY": "1", "SHOUTCLOUD_MAX_QUEUE": "1"}
        shoutback = self.start(environment, **variables, **limits)
        self.load.start(shoutback.address, 2, unique_text())
        more = self.load.start(shoutback.address, 30, unique_text())
        environment.end.append(more.pause)
        self.toxic(environment, proxy, "latency", latency=100)

    def all_replicas_down(self):
        expected = [("ShoutbackReplicaDown", "ticket"), ("ShoutbackReplicaDown", "page")]
        self.dies(self.environment("all-replicas-down", expected), "only")

    def nobody_calls(self):
        environment = self.environment("nobody-calls", [("ShoutbackNoTraffic", "page")])
        shoutback = self.start(environment)
        stream = self.load.start(shoutback.address, 50, cached_text())
        environment.begin.append(stream.pause)
        environment.end.append(stream.resume)

    def collector_is_away(self):
        environment = self.environment("collector-is-away", [("ShoutbackSpansDropped", "ticket")], reason="export_failed")
        patience = {"OTEL_BSP_SCHEDULE_DELAY": "200", "OTEL_BSP_EXPORT_TIMEOUT": "500"}
        variables = patience | {"OTEL_EXPORTER_OTLP_ENDPOINT": self.collector.address}
        shoutback = self.start(environment, **variables)
        self.load.start(shoutback.address, 10, cached_text())
        self.down(environment, self.collector.proxy)

    def disk_is_full(self):
        """No file of its may grow: a write meets this limit as it meets the end of a disk, but for a signal."""
        environment = self.environment("disk-is-full", [("ShoutbackLogLinesDropped", "ticket")])
        shoutback = self.start(environment, through=["env", "--ignore-signal=XFSZ"])
        self.load.start(shoutback.address, 10, cached_text())

        def limit(size):
            resource.prlimit(shoutback.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

        environment.begin.append(lambda: limit(1))
        environment.end.append(lambda: limit(resource.RLIM_INFINITY))
