"""Fixtures for tests of the deployed service at BASE_URL, including its ingress and its token issuer.

The only configuration is BASE_URL, and ACCESS_TOKEN or TOKEN_URL, CLIENT_ID and CLIENT_SECRET (and SCOPE).
"""

import os
import ssl
import time
import uuid

import httpx
import pytest

# SHOUTCLOUD fails occasionally, and the service responds with `retry-after`. All tests together wait at most this long.
RETRY_BUDGET_SECONDS = 60

RETRYABLE = tuple(f"/docs#{kind}" for kind in ("upstream-unavailable", "upstream-timeout", "upstream-invalid", "overloaded", "keys-unavailable"))


def pytest_configure(config):
    config.addinivalue_line("markers", "smoke: a basic test of the service")
    if missing := [name for name in required_variables() if not os.environ.get(name)]:
        raise pytest.UsageError(f"not set: {', '.join(missing)}; see scripts/release/integration-tests --help")


def required_variables():
    return ["BASE_URL"] if os.environ.get("ACCESS_TOKEN") else ["BASE_URL", "TOKEN_URL", "CLIENT_ID", "CLIENT_SECRET"]


def pytest_report_header():
    return f"service: {os.environ['BASE_URL']}"


@pytest.fixture(scope="session")
def base():
    return httpx.URL(os.environ["BASE_URL"].rstrip("/"))


@pytest.fixture(scope="session")
def client(base):
    # The system's certificates, or those of SSL_CERT_FILE. One connection per request, because the server closes a connection after it
    # rejects a request unread, and HTTP/1.1 clients may notice that too late.
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=base, verify=ssl.create_default_context(), trust_env=False, timeout=60, limits=limits) as client:
        yield client


@pytest.fixture(scope="session")
def token():
    """Returns the access token of all tests."""
    if given := os.environ.get("ACCESS_TOKEN"):
        return given
    form = {"grant_type": "client_credentials", "scope": os.environ.get("SCOPE") or "shoutback/shout"}
    login = (os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"])
    with httpx.Client(verify=ssl.create_default_context(), trust_env=False, timeout=60) as issuer:
        response = issuer.post(os.environ["TOKEN_URL"], data=form, auth=login)
    # Without the body, which may contain a token.
    assert response.status_code == 200, f"the token endpoint responds with {response.status_code}"
    return response.json()["access_token"]


@pytest.fixture(scope="session")
def bearer(token):
    return {"authorization": f"Bearer {token}"}


@pytest.fixture(scope="session")
def shout(client, bearer):
    """`shout(**request)` sends a POST of /v1 with a token, and honours `retry-after`, as clients should."""
    left = RETRY_BUDGET_SECONDS

    def shout(headers=None, **request):
        nonlocal left
        while True:
            response = client.post("/v1", headers=bearer | (headers or {}), **request)
            delay = int(response.headers.get("retry-after", 1))
            if response.status_code < 500 or response.json()["type"] not in RETRYABLE or delay > left:
                return response
            left -= delay
            time.sleep(delay)

    return shout


@pytest.fixture
def word():
    """Returns a unique text, which is not in the cache."""
    return f"hello {uuid.uuid4().hex}"
