"""Which headers NGINX trusts from the load balancer in front of it."""

import httpx
import pytest

import manifests

# The configuration of docs/ingress.md for TLS that ends at an ALB.
BEHIND_ALB = {"proxy-protocol": "false", "real-ip-header": "X-Forwarded-For", "real-ip-recursive": "true"}


@pytest.fixture(scope="module")
def behind_alb(edges, replicas):
    """`behind_alb(headers)` returns the response to a request through an ALB, and NGINX's log line."""
    tls = {"certManager": {"issuer": ""}, "acm": True}
    edge = edges("production", [replicas().address], entries=BEHIND_ALB, tls=tls)

    def call(**headers):
        url = f"http://127.0.0.1:{edge.nginx.layout.http}/v1?x=1"
        with edge.logged() as lines:
            edge.called += 1
            headers = {"host": manifests.HOST, "user-agent": edge.agent, "content-type": "text/plain"} | headers
            response = httpx.post(url, content="", headers=headers, trust_env=False, timeout=60)
        return response, lines

    return call


def test_the_scheme_of_an_alb_is_trusted(behind_alb):
    response, _ = behind_alb(**{"x-forwarded-proto": "http"})
    assert (response.status_code, response.headers["location"]) == (308, f"https://{manifests.HOST}/v1?x=1")
    response, _ = behind_alb(**{"x-forwarded-proto": "https"})
    assert (response.status_code, response.headers["strict-transport-security"]) == (200, "max-age=31536000; preload")
    # A network load balancer that ends TLS sends no scheme.
    response, _ = behind_alb()
    assert response.status_code == 200 and "strict-transport-security" not in response.headers


def test_the_client_address_of_an_alb_is_trusted(behind_alb):
    """It appends to the header of the client."""
    _, lines = behind_alb(**{"x-forwarded-proto": "https", "x-forwarded-for": "192.0.2.1, 203.0.113.9"})
    assert [line["client.ip"] for line in lines] == ["203.0.113.9"]


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
