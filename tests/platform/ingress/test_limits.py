"""Who is refused with 429 by NGINX, who by the service, and by what they are told apart."""

import time

import pytest

# So slow that nothing is given back while the test sends.
LIMIT = {"rateLimit": {"perSecond": 1, "burst": 4}}
FEW = 5
MANY = 40


@pytest.fixture(scope="module")
def limited(edges, replicas):
    return edges("production", [replicas().address], **LIMIT)


@pytest.mark.parametrize("http2", [False, True])
def test_an_address_that_asks_too_much_is_refused(limited, http2):
    limited.https.client = f"198.51.100.{10 + http2}"
    began = time.monotonic()
    with limited.logged() as lines:
        answers = [limited.shout("", http2=http2, headers={"x-forwarded-for": f"192.0.2.{number}"}) for number in range(MANY)]
    most = FEW + int(time.monotonic() - began) + 1

    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.status_code for answer in answers} == {200, 429}
    assert [answer.status_code for answer in answers[:FEW]] == [200] * FEW
    assert MANY - len(refused) <= most
    for answer in refused:
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["type"] == "/docs#rate-limited"
        assert answer.json()["detail"] == "Too many requests come from this address."
        # The service's quota was not asked.
        assert "ratelimit" not in answer.headers
    assert {line["nginx.limit_req"] for line in lines} == {"PASSED", "REJECTED"}
    assert {line["client.ip"] for line in lines} == {limited.https.client}

    limited.https.client = f"198.51.100.{20 + http2}"
    assert limited.shout("", http2=http2).status_code == 200


def test_what_is_refused_is_in_the_access_log_alone(limited):
    limited.https.client = "198.51.100.30"
    assert 429 in [limited.shout("").status_code for _ in range(MANY)]
    assert "limiting requests" not in limited.nginx.output()


def test_the_services_own_refusal_passes(edges, replicas, texts):
    edge = edges("production", [replicas(RATE_LIMIT_PER_CLIENT="1/h", RATE_LIMIT_BURST="1").address])
    assert edge.shout(next(texts)).status_code == 200
    answer = edge.shout(next(texts))
    assert (answer.status_code, answer.json()["type"]) == (429, "/docs#rate-limited")
    assert answer.headers.get_list("retry-after") == ["60"]
    assert answer.headers["ratelimit"].startswith('"client";r=0;')
    assert answer.json()["instance"] == answer.headers["x-request-id"]


def test_without_a_rate_nobody_is_refused(edges, replicas):
    edge = edges("production", [replicas().address], rateLimit={"perSecond": 0})
    assert {edge.shout("").status_code for _ in range(MANY)} == {200}
