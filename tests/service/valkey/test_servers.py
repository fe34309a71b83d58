"""The servers that are supported: Valkey and Redis, alone, with TLS, and in a cluster."""

import pytest
import trustme

from client import requests_total, round_robin, send, shout
from harness.toxiproxy import free_port
from harness.valkey import Cluster, Server

QUOTA = {"RATE_LIMIT_PER_CLIENT": "1/h", "RATE_LIMIT_BURST": "60", "CACHE_SHARED": "on"}


def share_quota_and_cache(replicas):
    """Asserts that a client of all replicas has one quota, and that they share results."""
    result = send(round_robin(replicas), 40, 3)
    assert result.statuses == {200: 60, 429: 60}
    assert sum(requests_total(replica, "cache_write", "success") for replica in replicas) > 0


@pytest.fixture(params=["valkey-server", "redis-server"])
def program(request):
    return request.param


def test_a_single_server(start_replicas, tmp_path, program):
    with Server(tmp_path / "server", program) as server:
        share_quota_and_cache(start_replicas(server.url, **QUOTA))
        assert len(server("KEYS", "shoutback:cache:*")) == 1


def test_a_user_and_a_database(start_replicas, tmp_path, program):
    with Server(tmp_path / "server", program) as server:
        server("ACL", "SETUSER", "app", "on", ">p@ss", "~shoutback:*", "+@all", "-@admin", "-@dangerous", "+info")
        url = f"redis://app:p%40ss@{server.address}/3"
        share_quota_and_cache(start_replicas(url, **QUOTA))
        assert server("DBSIZE") == 0


def test_a_cluster(start_replicas, tmp_path):
    with Cluster(tmp_path / "cluster") as cluster:
        replicas = start_replicas(cluster.url, **QUOTA)
        share_quota_and_cache(replicas)
        kinds = {key.split(":")[1] for key in cluster.keys()}
        assert kinds == {"quota", "cache", "{replicas}"}


@pytest.fixture
def authority(tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    return authority


@pytest.fixture
def tls(tmp_path, authority):
    """Redis with TLS, which Valkey's package lacks."""
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "server.key")
    for part in certificate.cert_chain_pems:
        part.write_to_path(tmp_path / "server.pem", append=True)
    with Server(
        tmp_path / "tls",
        "redis-server",
        tls_port=free_port(),
        tls_cert_file=tmp_path / "server.pem",
        tls_key_file=tmp_path / "server.key",
        tls_ca_cert_file=tmp_path / "authority.pem",
        tls_auth_clients="no",
    ) as server:
        yield server


def test_tls(start_replicas, tls, tmp_path):
    url = f"rediss://localhost:{tls.options['tls-port']}"
    share_quota_and_cache(start_replicas(url, SSL_CERT_FILE=str(tmp_path / "authority.pem"), **QUOTA))


@pytest.mark.parametrize("host, trusted", [("localhost", False), ("127.0.0.1", True)], ids=["unknown authority", "wrong name"])
def test_a_server_that_cannot_be_verified_is_not_used(start, tls, tmp_path, host, trusted):
    trust = tmp_path / "authority.pem"
    if not trusted:
        trust = tmp_path / "other.pem"
        trustme.CA().cert_pem.write_to_path(trust)
    replica = start(f"rediss://{host}:{tls.options['tls-port']}", up=False, SSL_CERT_FILE=str(trust), **QUOTA)
    replica.until("it fails to connect", lambda: requests_total(replica, "connect", "connection") > 0)
    assert shout(replica)[0] == 200
    assert not replica.is_up()
    assert tls("DBSIZE") == 0
