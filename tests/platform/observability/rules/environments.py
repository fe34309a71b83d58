"""One environment per fault: instances of the service, their load, and the expected alerts.

All run at the same time and are scraped by one Prometheus, so each also proves that the faults of the others do not raise its alerts.
"""

import contextlib
import functools
import resource
import socket
from dataclasses import dataclass, field

from harness.load import empty, unique_text, shout_request, cached_text, with_unknown_kid
from harness.prometheus import Target
from harness.shoutback import Shoutback
from harness.valkey import Server

AVAILABILITY = {("ShoutbackAvailabilityBurnFast", "page"), ("ShoutbackAvailabilityBurnSlow", "page"), ("ShoutbackAvailabilityTicket", "ticket")}
LATENCY = {("ShoutbackLatencyBurnFast", "page"), ("ShoutbackLatencyBurnSlow", "page"), ("ShoutbackLatencyTicket", "ticket")}
REJECTED = {("ShoutbackTokensRejected", "page"), ("ShoutbackTokensRejected", "ticket")}
STALE = {("ShoutbackKeySetStale", "page"), ("ShoutbackKeySetStale", "ticket")}

# Refreshes faster than the alert about keys expects at this speed; and attempts short enough for a test.
VARIABLES = {"COGNITO_JWKS_REFRESH": "2s", "BREAKER_MIN_CALLS": "1000000", "SHOUTCLOUD_MAX_RETRIES": "1"}


# Requests before the faults start: two alerts fire when traffic stops after hours. Six hours at half a request per second are at most 180
# here; the rest is a margin for rates over few scrapes.
MIN_REQUESTS = 300
PRECONDITIONS = (
    'sum(increase(shoutback_shouts_total{environment="no-traffic"}[1m]))',
    # Half an hour of history at the speed of the tests.
    'sum(count_over_time(up{environment="no-traffic"}[1m])) * 15',
    'sum(increase(shoutback_auth_total{environment="all-rejected",outcome="accepted"}[1m]))',
)


@dataclass
class Environment:
    """An environment. `expected` are pairs of alert name and severity; `labels` are further labels of these alerts."""

    name: str
    expected: set
    labels: dict = field(default_factory=dict)
    # Alerts that may fire as well: they depend on how much history there is when the fault starts.
    optional: set = field(default_factory=set)
    targets: list = field(default_factory=list)
    # Called before the first scrape; at the start of the fault; at an interval while it lasts, first after one interval; at its
    # end.
    before: list = field(default_factory=list)
    begin: list = field(default_factory=list)
    repeat: list = field(default_factory=list)
    end: list = field(default_factory=list)

    def watch(self, address, instance):
        labels = {"environment": self.name, "instance": instance, "namespace": self.name, "pod": f"shoutback-{instance}"}
        self.targets.append(Target(address, labels))


class Builder:
    """Starts the environments' processes; `stack` stops them."""

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
        """Starts an instance that is scraped as part of `environment`."""
        url = f"http://{self.emulators.shoutcloud}/V1/SHOUT"
        log = self.directory / f"{environment.name}-{instance}.log"
        shoutback = Shoutback(log, through, **(VARIABLES | {"SHOUTCLOUD_URL": url} | variables))
        self.instances.append(self.stack.enter_context(shoutback))
        environment.watch(shoutback.admin, instance)
        return shoutback

    def network(self, upstream):
        """Returns a proxy in front of `upstream`, and the variable that directs calls to SHOUTCLOUD through it."""
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
        self.rejections_are_slow()
        self.keys_are_stale()
        self.keys_have_expired()
        self.all_rejected()
        self.one_replica_rejects()
        self.one_replica_fails()
        self.callers_hang_up()
        self.restarts()
        self.near_limit()
        self.client_exceeds_its_quota()
        self.overload()
        self.all_replicas_down()
        self.no_traffic()
        self.collector_unavailable()
        self.disk_is_full()
        self.valkey_is_down()
        return self.environments

    def healthy_and_without_one_replica(self):
        """Starts two healthy instances under load; also the remaining replicas of the environment in which a third one dies."""
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
        """Kills an instance and restarts it at the same address."""
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
        """Opens the breaker with the local fallback, so that no SLO is affected, and without retries, so that no budget is exhausted."""
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
        timeouts = {"SHOUTCLOUD_ATTEMPT_TIMEOUT": "15s", "SHOUTCLOUD_DEADLINE": "20s"}
        shoutback = self.start(environment, **variables, **timeouts)
        self.load.start(shoutback.address, 5, unique_text())
        self.toxic(environment, proxy, "latency", latency=1200)

    def rejections_are_slow(self):
        """Tokens with an unknown key wait for a slow fetch of the key set. All are rejected at its end, and the next fetch starts 10 s later:
        two replicas in turn, so that the five-minute window stays slow for longer than the alert's `for`."""
        environment = self.environment("rejections-are-slow", [("ShoutbackLatencyTicket", "ticket")], slo="latency-local")
        proxy, variables = self.key_server()
        unknown = with_unknown_kid(self.token)
        self.toxic(environment, proxy, "latency", latency=300)
        for replica, offset in [("a", 0), ("b", 1.5)]:
            shoutback = self.start(environment, replica, **variables)
            stream = self.load.start(shoutback.address, 2, cached_text(self.token))
            burst = functools.partial(stream.burst, 80, lambda: shout_request("", unknown))
            environment.repeat.append((11, offset, burst))

    def keys_are_stale(self):
        """The page takes 18.5 hours, which only the faster Prometheus has."""
        environment = self.environment("keys-are-stale", STALE, pool=self.emulators.pool_id)
        proxy, variables = self.key_server()
        shoutback = self.start(environment, **variables)
        self.load.start(shoutback.address, 10, cached_text(self.token))
        self.down(environment, proxy)

    def keys_have_expired(self):
        environment = self.environment("keys-have-expired", STALE | AVAILABILITY | {("ShoutbackKeysUnavailable", "ticket")})
        proxy, variables = self.key_server()
        shoutback = self.start(environment, **variables, COGNITO_JWKS_MAX_STALE="3s")
        self.load.start(shoutback.address, 10, cached_text(self.token))
        self.down(environment, proxy)

    def all_rejected(self):
        """All tokens are signed with a key that is in no key set, as after the pool was replaced."""
        environment = self.environment("all-rejected", REJECTED)
        shoutback = self.start(environment, **self.emulators.authentication())
        accepted = self.load.start(shoutback.address, 50, cached_text(self.token))
        rejected = self.load.start(shoutback.address, 25, cached_text(with_unknown_kid(self.token)))
        rejected.pause()
        environment.begin += [accepted.pause, rejected.resume]
        environment.end += [rejected.pause, accepted.resume]

    def one_replica_rejects(self):
        """One of two replicas does not know the clients' pool any more, as with a configuration of its own."""
        environment = self.environment("one-replica-rejects", [("ShoutbackReplicaRejects", "page")])
        environment.optional = REJECTED
        for instance in "ab":
            shoutback = self.start(environment, instance, **self.emulators.authentication())
            accepted = self.load.start(shoutback.address, 20, cached_text(self.token))
            if instance == "b":
                rejected = self.load.start(shoutback.address, 20, cached_text(with_unknown_kid(self.token)))
                rejected.pause()
                environment.begin += [accepted.pause, rejected.resume]
                environment.end += [rejected.pause, accepted.resume]

    def one_replica_fails(self):
        """One of three replicas cannot reach SHOUTCLOUD."""
        expected = AVAILABILITY | {("ShoutbackReplicaDiffers", "ticket"), ("ShoutbackRetryBudgetEmpty", "ticket")}
        environment = self.environment("one-replica-fails", expected)
        for instance in "abc":
            proxy, variables = self.network(self.emulators.shoutcloud)
            shoutback = self.start(environment, instance, **variables)
            self.load.start(shoutback.address, 10, unique_text())
        self.down(environment, proxy)

    def callers_hang_up(self):
        """SHOUTCLOUD takes 1.8 s, below every timeout of the service, and callers wait for one second."""
        expected = LATENCY | {("ShoutbackCallersHangUp", "page")}
        environment = self.environment("callers-hang-up", expected)
        proxy, variables = self.network(self.emulators.shoutcloud)
        shoutback = self.start(environment, **variables)
        self.load.start(shoutback.address, 10, unique_text(), timeout=1)
        self.toxic(environment, proxy, "latency", latency=1800)

    def restarts(self):
        """A replica is killed again and again, and fetches its keys each time: they are not stale. The other one serves."""
        environment = self.environment("restarts", [("ShoutbackReplicaRestarts", "ticket"), ("ShoutbackReplicaRestarts", "page")])
        variables = self.emulators.authentication()
        self.start(environment, "a", **variables)
        victim = self.start(environment, "b", **variables)
        running = [victim]
        log = self.directory / "restarts-again.log"

        def restart():
            running[0].child.kill()
            running[0].child.wait()
            running[0] = self.stack.enter_context(Shoutback(log, **VARIABLES, **variables, ADMIN_ADDR=victim.admin))

        environment.repeat.append((4, 0, restart))

    def near_limit(self):
        """Callers keep more than four fifths of the permitted connections open."""
        environment = self.environment("near-limit", [("ShoutbackNearLimit", "ticket")], limit="connections")
        shoutback = self.start(environment, MAX_CONNECTIONS="10")
        kept = contextlib.ExitStack()

        def connect():
            kept.close()
            for _ in range(9):
                kept.enter_context(socket.create_connection(shoutback.address.rsplit(":", 1)))

        # Idle connections are closed after some seconds, so they are renewed.
        environment.begin.append(connect)
        environment.repeat.append((2, 0, connect))
        environment.end.append(kept.close)

    def client_exceeds_its_quota(self):
        """A client exceeds its quota until it reduces its rate."""
        client = self.emulators.client_id
        environment = self.environment("quota-used-up", [("ShoutbackClientQuotaExhausted", "ticket")], client_id=client)
        quota = {"RATE_LIMIT_PER_CLIENT": "5/s", "RATE_LIMIT_BURST": "5"}
        shoutback = self.start(environment, **self.emulators.authentication(), **quota)
        self.load.start(shoutback.address, 2, cached_text(self.token))
        more = self.load.start(shoutback.address, 20, cached_text(self.token))
        environment.end.append(more.pause)

    def overload(self):
        environment = self.environment("overload", AVAILABILITY | {("ShoutbackOverloaded", "ticket")})
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

    def no_traffic(self):
        environment = self.environment("no-traffic", [("ShoutbackNoTraffic", "page")])
        shoutback = self.start(environment)
        stream = self.load.start(shoutback.address, 50, cached_text())
        environment.begin.append(stream.pause)
        environment.end.append(stream.resume)

    def collector_unavailable(self):
        environment = self.environment("collector-unavailable", [("ShoutbackSpansDropped", "ticket")], reason="export_failed")
        timeouts = {"OTEL_BSP_SCHEDULE_DELAY": "200", "OTEL_BSP_EXPORT_TIMEOUT": "500"}
        variables = timeouts | {"OTEL_EXPORTER_OTLP_ENDPOINT": self.collector.address}
        shoutback = self.start(environment, **variables)
        self.load.start(shoutback.address, 10, cached_text())
        self.down(environment, self.collector.proxy)

    def disk_is_full(self):
        """The log file may not grow: a write fails as on a full disk, except for a signal."""
        environment = self.environment("disk-is-full", [("ShoutbackLogLinesDropped", "ticket")])
        shoutback = self.start(environment, through=["env", "--ignore-signal=XFSZ"])
        self.load.start(shoutback.address, 10, cached_text())

        def limit(size):
            resource.prlimit(shoutback.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

        environment.begin.append(lambda: limit(1))
        environment.end.append(lambda: limit(resource.RLIM_INFINITY))

    def valkey_is_down(self):
        """Requests are served, so nothing else fires: neither for the quota nor for an SLO."""
        environment = self.environment("valkey-is-down", [("ShoutbackValkeyUnavailable", "ticket")])
        valkey = self.stack.enter_context(Server(self.directory / "valkey"))
        proxy = self.toxiproxy.proxy(valkey.address)
        shared = {"VALKEY_URL": f"redis://{proxy.address}", "CACHE_SHARED": "on"}
        for instance in "ab":
            shoutback = self.start(environment, instance, **self.emulators.authentication(), **shared)
            self.load.start(shoutback.address, 10, unique_text(self.token), cached_text(self.token))
        self.down(environment, proxy)
