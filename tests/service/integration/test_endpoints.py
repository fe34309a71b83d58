"""Request ids, documentation, TLS and other endpoints."""

import re

import httpx
import pytest

UUID7 = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


@pytest.fixture
def https(base):
    if base.scheme != "https":
        pytest.skip("BASE_URL is not https")


def test_a_request_has_an_id(client, shout, word):
    assert re.fullmatch(UUID7, shout(json={"data": word}).headers["x-request-id"])
    assert shout({"x-request-id": word.replace(" ", "-")}, json={"data": word}).headers["x-request-id"] == word.replace(" ", "-")
    assert re.fullmatch(UUID7, client.get("/nowhere").headers["x-request-id"])


def test_options_list_the_methods(client):
    response = client.options("/v1")
    assert (response.status_code, response.content) == (204, b"")
    assert "POST" in response.headers["allow"]


@pytest.mark.smoke
def test_the_openapi_document_describes_the_api(client):
    response = client.get("/openapi.json")
    assert response.status_code == 200
    document = response.json()
    assert document["openapi"].startswith("3.1.")
    assert "post" in document["paths"]["/v1"]


def test_the_documentation_page(client):
    response = client.get("/")
    assert (response.has_redirect_location, response.headers["location"]) == (True, "/docs")
    response = client.get("/docs")
    assert (response.status_code, response.headers["content-type"].split(";")[0]) == (200, "text/html")
    assert 'id="content-too-large"' in response.text


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/livez", "/version"])
def test_admin_endpoints_are_not_public(client, path):
    assert client.get(path).status_code == 404


@pytest.mark.smoke
def test_responses_have_hsts(https, client, shout, word):
    for response in (shout(json={"data": word}), client.post("/v1", json={}), client.get("/nowhere")):
        age = re.search(r"max-age=(\d+)", response.headers["strict-transport-security"])
        assert int(age[1]) > 0


def test_only_current_tls_versions(https, client):
    with client.stream("GET", "/docs") as response:
        assert response.extensions["network_stream"].get_extra_info("ssl_object").version() in ("TLSv1.2", "TLSv1.3")


def test_plain_http_is_redirected(https, base):
    if base.port is not None:
        pytest.skip("the port of plain HTTP is unknown")
    response = httpx.post(base.copy_with(scheme="http"), json={"data": "hello"}, trust_env=False, timeout=60)
    assert response.status_code == 308
    assert response.headers["location"].startswith(f"https://{base.host}")
