"""Rate limits of NGINX and of the service, and how their 429 responses differ."""

import time

import pytest

# So slow that no permit is added while the test runs.
LIMIT = {"rateLimit": {"perSecond": 1, "burst": 4}}
FEW = 5
MANY = 40


@pytest.fixture(scope="module")
def limited(edges, replicas):
    return edges("production", [replicas().address], **LIMIT)


@pytest.mark.parametrize("http2", [False, True])
def test_an_address_with_too_many_requests_is_rejected(limited, http2):
    limited.https.client = f"198.51.100.{10 + http2}"
    began = time.monotonic()
    with limited.logged() as lines:
        responses = [limited.shout("", http2=http2, headers={"x-forwarded-for": f"192.0.2.{number}"}) for number in range(MANY)]
    most = FEW + int(time.monotonic() - began) + 1

    rejected = [response for response in responses if response.status_code == 429]
    assert {response.status_code for response in responses} == {200, 429}
    assert [response.status_code for response in responses[:FEW]] == [200] * FEW
    assert MANY - len(rejected) <= most
    for response in rejected:
        assert response.headers["retry-after"] == "1"
        assert response.json()["type"] == "/docs#rate-limited"
        assert response.json()["detail"] == "Too many requests come from this address."
        # The request did not count towards the service's quota.
        assert "ratelimit" not in response.headers
    assert {line["nginx.limit_req"] for line in lines} == {"PASSED", "REJECTED"}
    assert {line["client.ip"] for line in lines} == {limited.https.client}

    limited.https.client = f"198.51.100.{20 + http2}"
    assert limited.shout("", http2=http2).status_code == 200


def test_rejections_are_only_in_the_access_log(limited):
    limited.https.client = "198.51.100.30"
    assert 429 in [limited.shout("").status_code for _ in range(MANY)]
    assert "limiting requests" not in limited.nginx.output()


def test_a_rejection_by_the_service_passes(edges, replicas, texts):
    edge = edges("production", [replicas(RATE_LIMIT_PER_CLIENT="1/h", RATE_LIMIT_BURST="1").address])
    assert edge.shout(next(texts)).status_code == 200
    response = edge.shout(next(texts))
    assert (response.status_code, response.json()["type"]) == (429, "/docs#rate-limited")
    assert response.headers.get_list("retry-after") == ["60"]
    assert response.headers["ratelimit"].startswith('"client";r=0;')
    assert response.json()["instance"] == f"/requests/{response.headers['x-request-id']}"


def test_without_a_rate_no_request_is_rejected(edges, replicas):
    edge = edges("production", [replicas().address], rateLimit={"perSecond": 0})
    assert {edge.shout("").status_code for _ in range(MANY)} == {200}
