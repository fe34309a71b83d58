"""What is believed of who stands before NGINX."""

import httpx
import pytest

import manifests

# As docs/ingress.md says for TLS that ends at an ALB.
BEHIND_ALB = {"proxy-protocol": "false", "real-ip-header": "X-Forwarded-For", "real-ip-recursive": "true"}


@pytest.fixture(scope="module")
def behind_alb(edges, replicas):
    """`behind_alb(headers)`: the answer to a request that an ALB passes on, and NGINX's log line."""
    tls = {"certManager": {"issuer": ""}, "acm": True}
    edge = edges("production", [replicas().address], entries=BEHIND_ALB, tls=tls)

    def call(**headers):
        url = f"http://127.0.0.1:{edge.nginx.place.http}/v1?x=1"
        with edge.logged() as lines:
            edge.called += 1
            headers = {"host": manifests.HOST, "user-agent": edge.agent, "content-type": "text/plain"} | headers
            answer = httpx.post(url, content="", headers=headers, trust_env=False, timeout=60)
        return answer, lines

    return call


def test_an_alb_says_how_it_was_called(behind_alb):
    answer, _ = behind_alb(**{"x-forwarded-proto": "http"})
    assert (answer.status_code, answer.headers["location"]) == (308, f"https://{manifests.HOST}/v1?x=1")
    answer, _ = behind_alb(**{"x-forwarded-proto": "https"})
    assert (answer.status_code, answer.headers["strict-transport-security"]) == (200, "max-age=31536000; preload")
    # A network load balancer that ends TLS: neither.
    answer, _ = behind_alb()
    assert answer.status_code == 200 and "strict-transport-security" not in answer.headers


def test_an_alb_says_who_called(behind_alb):
    """It appends to what the caller said of itself."""
    _, lines = behind_alb(**{"x-forwarded-proto": "https", "x-forwarded-for": "192.0.2.1, 203.0.113.9"})
    assert [line["client.ip"] for line in lines] == ["203.0.113.9"]


def test_nobody_else_is_believed(edges, replicas):
    """This machine's address is not among the networks that are shipped, so what its balancer says counts for nothing."""
    edge = edges("production", [replicas().address], how={"balancer": None})
    with edge.logged() as lines:
        assert edge.shout("").status_code == 200
    assert [line["client.ip"] for line in lines] == ["127.0.0.1"]


def test_without_the_proxy_protocol_there_is_no_connection(shipped):
    with pytest.raises(httpx.TransportError):
        port = shipped.edge.nginx.place.http
        httpx.get(f"http://127.0.0.1:{port}/", headers={"host": manifests.HOST}, trust_env=False, timeout=60)
