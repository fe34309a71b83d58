"""Which headers NGINX trusts from the load balancer in front of it."""

import httpx
import pytest

import manifests


def test_other_peers_are_not_trusted(edges, replicas):
    """This machine's address is not in the shipped networks, so its load balancer's address is ignored."""
    edge = edges("production", [replicas().address], how={"balancer": None})
    with edge.logged() as lines:
        assert edge.shout("").status_code == 200
    assert [line["client.ip"] for line in lines] == ["127.0.0.1"]


def test_without_the_proxy_protocol_there_is_no_connection(shipped):
    with pytest.raises(httpx.TransportError):
        port = shipped.edge.nginx.layout.http
        httpx.get(f"http://127.0.0.1:{port}/", headers={"host": manifests.HOST}, trust_env=False, timeout=60)
