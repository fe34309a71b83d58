"""The service at BASE_URL, as its callers have it: through whatever stands before it, with tokens of whoever issues them there.

BASE_URL, and ACCESS_TOKEN or TOKEN_URL, CLIENT_ID and CLIENT_SECRET (and SCOPE), are all that these tests are told.
"""

import os
import ssl
import time
import uuid

import httpx
import pytest

# SHOUTCLOUD fails now and then, and the service then says when to come again. So long all tests together do as it says.
PATIENCE = 60

LATER = tuple(f"/docs#{kind}" for kind in ("upstream-unavailable", "upstream-timeout", "upstream-invalid", "overloaded", "keys-unavailable"))


def pytest_configure(config):
    config.addinivalue_line("markers", "smoke: one of the few that tell whether it works at all")
    if missing := [name for name in wanted() if not os.environ.get(name)]:
        raise pytest.UsageError(f"not set: {', '.join(missing)}; scripts/release/integration-tests --help says what they are")


def wanted():
    return ["BASE_URL"] if os.environ.get("ACCESS_TOKEN") else ["BASE_URL", "TOKEN_URL", "CLIENT_ID", "CLIENT_SECRET"]


def pytest_report_header():
    return f"service: {os.environ['BASE_URL']}"


@pytest.fixture(scope="session")
def base():
    return httpx.URL(os.environ["BASE_URL"].rstrip("/"))


@pytest.fixture(scope="session")
def client(base):
    # The system's certificates, or SSL_CERT_FILE's. A connection whose request was refused unread is closed, and HTTP/1.1 does not
    # tell the next request in time: hence one each.
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=base, verify=ssl.create_default_context(), trust_env=False, timeout=60, limits=limits) as client:
        yield client


@pytest.fixture(scope="session")
def token():
    """An access token, one for all tests."""
    if given := os.environ.get("ACCESS_TOKEN"):
        return given
    form = {"grant_type": "client_credentials", "scope": os.environ.get("SCOPE") or "shoutback/shout"}
    login = (os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"])
    with httpx.Client(verify=ssl.create_default_context(), trust_env=False, timeout=60) as issuer:
        answer = issuer.post(os.environ["TOKEN_URL"], data=form, auth=login)
    # Not the body: it may hold a token.
    assert answer.status_code == 200, f"the token endpoint answers with {answer.status_code}"
    return answer.json()["access_token"]


@pytest.fixture(scope="session")
def bearer(token):
    return {"authorization": f"Bearer {token}"}


@pytest.fixture(scope="session")
def shout(client, bearer):
    """`shout(**request)`: the answer to a POST of /v1 with a token. It comes again later if it is asked to, as callers should."""
    left = PATIENCE

    def shout(headers=None, **request):
        nonlocal left
        while True:
            answer = client.post("/v1", headers=bearer | (headers or {}), **request)
            later = int(answer.headers.get("retry-after", 1))
            if answer.status_code < 500 or answer.json()["type"] not in LATER or later > left:
                return answer
            left -= later
            time.sleep(later)

    return shout


@pytest.fixture
def word():
    """A text that nobody has asked for, so that no cache knows it."""
    return f"hello {uuid.uuid4().hex}"
