"""What is refused, and how."""

import base64
import json

import pytest

LIMIT = 64 * 1024


def problem(answer, status, kind):
    """The answer is such a problem, in every respect in which problems are alike."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (told["type"], told["status"]) == (f"/docs#{kind}", status)
    assert told["title"] and told["detail"]
    assert answer.headers["x-request-id"] in told["instance"]


@pytest.mark.smoke
def test_nobody_shouts_without_a_token(client):
    answer = client.post("/v1", json={"data": "hello"})
    problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def part(**claims):
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")


def bent(text):
    """The token with one bit of its signature changed."""
    head, _, signature = text.rpartition(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)))
    raw[len(raw) // 2] ^= 1
    return f"{head}.{base64.urlsafe_b64encode(raw).decode().rstrip('=')}"


def unsigned(text):
    return f"{part(alg='none', kid='none')}.{text.split('.')[1]}."


def widened(text):
    """Other claims under the same signature."""
    head, claims, signature = text.split(".")
    told = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    return f"{head}.{part(**told | {'exp': told['exp'] + 3600})}.{signature}"


@pytest.mark.parametrize("forge", [bent, unsigned, widened])
def test_a_forged_token(client, token, forge):
    answer = client.post("/v1", json={"data": "hello"}, headers={"authorization": f"Bearer {forge(token)}"})
    problem(answer, 401, "unauthenticated")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_a_token_in_another_scheme(client, token):
    problem(client.post("/v1", json={"data": "hello"}, headers={"authorization": f"Basic {token}"}), 401, "unauthenticated")


@pytest.mark.parametrize("body", ['{"data":', '{"data":1}', '{"text":"hello"}', '["hello"]', '{"data":"a","data":"b"}', "\ufeff{}"])
def test_a_body_that_is_not_what_it_should_be(shout, body):
    problem(shout({"content-type": "application/json"}, content=body.encode()), 400, "malformed-request")


def test_media_types(shout):
    problem(shout({"content-type": "application/xml"}, content="<data/>"), 415, "unsupported-media-type")
    problem(shout({"content-encoding": "gzip", "content-type": "text/plain"}, content=b"\x1f\x8b"), 415, "unsupported-media-type")
    problem(shout({"accept": "image/png"}, json={"data": "hello"}), 406, "not-acceptable")


def test_a_body_that_is_too_long(shout):
    text = b"x" * (LIMIT + 1)
    problem(shout({"content-type": "text/plain"}, content=text), 413, "content-too-large")
    # In chunks, so that its length is not known beforehand.
    chunks = (text[start : start + 8192] for start in range(0, len(text), 8192))
    problem(shout({"content-type": "text/plain"}, content=chunks), 413, "content-too-large")


def test_other_paths_and_methods(client, bearer):
    problem(client.post("/v2", json={"data": "hello"}, headers=bearer), 404, "not-found")
    answer = client.get("/v1", headers=bearer)
    problem(answer, 405, "method-not-allowed")
    assert "POST" in answer.headers["allow"]
