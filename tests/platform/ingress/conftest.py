"""Fixtures: the real NGINX behind a fake network load balancer, in front of real replicas with emulators."""

import contextlib
import itertools
import json
import ssl

import httpx
import pytest
import trustme

import manifests
from harness.process import wait_until
from harness.shoutback import Emulators, Shoutback
from nginx import Nginx
from relays import Balancer

# Variables of the service that the ingress must agree with.
SHARED = ("MAX_BODY_BYTES", "REQUEST_TIMEOUT", "IDLE_TIMEOUT")

NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def authority():
    """Returns a certificate authority, in place of cert-manager's issuer."""
    return trustme.CA()


@pytest.fixture(scope="session")
def secrets(authority, tmp_path_factory):
    """Returns the Ingress' Secret: certificate and key in one file, as the controller stores them."""
    file = tmp_path_factory.mktemp("secrets") / "shoutback-tls"
    authority.issue_cert(manifests.HOST).private_key_and_cert_chain_pem.write_to_path(file)
    return {"shoutback-tls": file}


@pytest.fixture(scope="session")
def tls(authority):
    """`tls(*protocols)` returns a client's TLS context, which offers these protocols by ALPN."""

    def tls(*protocols):
        context = ssl.create_default_context()
        authority.configure_trust(context)
        context.set_alpn_protocols(list(protocols or ["http/1.1"]))
        return context

    return tls


@pytest.fixture(scope="session")
def emulators(tmp_path_factory):
    with Emulators(tmp_path_factory.mktemp("emulators") / "log") as emulators:
        yield emulators


@pytest.fixture
def shoutcloud(emulators):
    """Yields the emulators, with SHOUTCLOUD healthy."""
    emulators.behave()
    yield emulators
    emulators.behave()


class Edge:
    """An Ingress: NGINX with its load balancer and clients."""

    def __init__(self, stack, nginx, tls):
        self.nginx = stack.enter_context(nginx)
        layout = nginx.layout
        self.https = stack.enter_context(Balancer(lambda: layout.https))
        self.http = stack.enter_context(Balancer(lambda: layout.http))
        self.tls, self.stack = tls, stack
        self.agent, self.called = "test", 0
        self.clients = {http2: self._client(http2) for http2 in (False, True)}

    def _client(self, http2):
        context = self.tls("h2", "http/1.1") if http2 else self.tls()
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        return self.stack.enter_context(httpx.Client(verify=context, http2=http2, trust_env=False, timeout=60, limits=limits))

    def call(self, method, path, *, http2=False, plain=False, headers=(), **options):
        """Sends a request on its own connection and returns the response."""
        self.called += 1
        scheme, balancer = ("http", self.http) if plain else ("https", self.https)
        url = f"{scheme}://{balancer.address}{path}"
        headers = {"host": manifests.HOST, "user-agent": self.agent, **dict(headers)}
        return self.clients[http2].request(method, url, headers=headers, extensions={"sni_hostname": manifests.HOST}, **options)

    def shout(self, text, **options):
        headers = {"content-type": "text/plain", **dict(options.pop("headers", ()))}
        return self.call("POST", "/v1", content=text, headers=headers, **options)

    @contextlib.contextmanager
    def logged(self):
        """Yields a list, which has NGINX's log lines about the requests of the `with` block at its end."""
        self.agent, self.called, lines = f"test/{next(NUMBERS)}", 0, []

        def written():
            lines[:] = [line for line in self.nginx.requests() if line["user_agent.original"] == self.agent]
            return len(lines) == self.called

        yield lines
        wait_until("NGINX has logged it", written)


class Replica(Shoutback):
    def requests(self):
        """Returns the log lines of completed requests."""
        lines = [json.loads(line) for line in self.output().splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in lines if line.get("event.action") == "request"]


@pytest.fixture(scope="session")
def replicas(emulators, tmp_path_factory):
    """`replicas(config, **variables)` starts a replica with those variables of the chart that the ingress depends on."""
    with contextlib.ExitStack() as stack:
        started = []

        def replicas(config=None, **variables):
            shared = {name: value for name, value in (config or {}).items() if name in SHARED}
            url = f"http://{emulators.shoutcloud}/V1/SHOUT"
            log = tmp_path_factory.mktemp("replica") / "log"
            started.append(stack.enter_context(Replica(log, SHOUTCLOUD_URL=url, **shared | variables)))
            return started[-1]

        yield replicas
        # In parallel: each may wait a second for connections.
        for replica in started:
            replica.child.terminate()


@pytest.fixture(scope="session")
def edges(replicas, secrets, tls, tmp_path_factory):
    """`edges(environment, endpoints, **values)` starts an edge with these values of `ingress` over the environment's, these `entries` of the
    controller's ConfigMap, and the options `how` of NGINX. Edges stop before the replicas, which would wait for their connections."""
    with contextlib.ExitStack() as stack:

        def edges(environment, endpoints, config=None, entries=None, how=None, **values):
            ingress = manifests.ingress_of(manifests.of_environment(environment, config, **values))
            entries = manifests.entries_of(environment) | (entries or {})
            nginx = Nginx(tmp_path_factory.mktemp("nginx"), ingress, entries, secrets, endpoints, **how or {})
            return Edge(stack, nginx, tls)

        yield edges


class Shipped:
    """An environment as shipped: its Ingress in front of one replica."""

    def __init__(self, environment, edges, replicas):
        objects = manifests.of_environment(environment)
        self.ingress, self.config = manifests.ingress_of(objects), manifests.config_of(objects)
        self.replica = replicas(self.config)
        self.edge = edges(environment, [self.replica.address])

    def annotation(self, name):
        return self.ingress["metadata"]["annotations"][f"nginx.org/{name}"]


@pytest.fixture(scope="session", params=manifests.ENVIRONMENTS)
def shipped(request, edges, replicas):
    return Shipped(request.param, edges, replicas)


@pytest.fixture
def edge(shipped):
    return shipped.edge


@pytest.fixture(scope="session")
def texts():
    """Yields unique texts."""
    return (f"text number {number}" for number in NUMBERS)
