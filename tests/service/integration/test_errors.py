"""Rejected requests."""

import base64
import json

import pytest

LIMIT = 64 * 1024


def assert_problem(response, status, kind):
    """Asserts that the response is a problem of that status and kind."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert (document["type"], document["status"]) == (f"/docs#{kind}", status)
    assert document["title"] and document["detail"]
    assert response.headers["x-request-id"] in document["instance"]


@pytest.mark.smoke
def test_a_request_without_a_token(client):
    response = client.post("/v1", json={"data": "hello"})
    assert_problem(response, 401, "unauthenticated")
    assert response.headers["www-authenticate"].startswith("Bearer")


def part(**claims):
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")


def tampered(text):
    """Returns the token with one bit of its signature changed."""
    head, _, signature = text.rpartition(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)))
    raw[len(raw) // 2] ^= 1
    return f"{head}.{base64.urlsafe_b64encode(raw).decode().rstrip('=')}"


def unsigned(text):
    return f"{part(alg='none', kid='none')}.{text.split('.')[1]}."


def extended(text):
    """Returns the token with a later expiry under the same signature."""
    head, claims, signature = text.split(".")
    values = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    return f"{head}.{part(**values | {'exp': values['exp'] + 3600})}.{signature}"


@pytest.mark.parametrize("forge", [tampered, unsigned, extended])
def test_a_forged_token(client, token, forge):
    response = client.post("/v1", json={"data": "hello"}, headers={"authorization": f"Bearer {forge(token)}"})
    assert_problem(response, 401, "unauthenticated")
    assert 'error="invalid_token"' in response.headers["www-authenticate"]


def test_a_token_in_another_scheme(client, token):
    assert_problem(client.post("/v1", json={"data": "hello"}, headers={"authorization": f"Basic {token}"}), 401, "unauthenticated")


@pytest.mark.parametrize("body", ['{"data":', '{"data":1}', '{"text":"hello"}', '["hello"]', '{"data":"a","data":"b"}', "\ufeff{}"])
def test_a_malformed_body(shout, body):
    assert_problem(shout({"content-type": "application/json"}, content=body.encode()), 400, "malformed-request")


def test_media_types(shout):
    assert_problem(shout({"content-type": "application/xml"}, content="<data/>"), 415, "unsupported-media-type")
    assert_problem(shout({"content-encoding": "gzip", "content-type": "text/plain"}, content=b"\x1f\x8b"), 415, "unsupported-media-type")
    assert_problem(shout({"accept": "image/png"}, json={"data": "hello"}), 406, "not-acceptable")


def test_a_body_that_is_too_long(shout):
    text = b"x" * (LIMIT + 1)
    assert_problem(shout({"content-type": "text/plain"}, content=text), 413, "content-too-large")
    # Chunked, so that the length is not declared.
    chunks = (text[start : start + 8192] for start in range(0, len(text), 8192))
    assert_problem(shout({"content-type": "text/plain"}, content=chunks), 413, "content-too-large")


def test_other_paths_and_methods(client, bearer):
    assert_problem(client.post("/v2", json={"data": "hello"}, headers=bearer), 404, "not-found")
    response = client.get("/v1", headers=bearer)
    assert_problem(response, 405, "method-not-allowed")
    assert "POST" in response.headers["allow"]
