"""What callers see around the API."""

import re

import httpx
import pytest

UUID7 = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


@pytest.fixture
def https(base):
    if base.scheme != "https":
        pytest.skip("it is called without TLS")


def test_a_request_has_an_id(client, shout, word):
    assert re.fullmatch(UUID7, shout(json={"data": word}).headers["x-request-id"])
    assert shout({"x-request-id": word.replace(" ", "-")}, json={"data": word}).headers["x-request-id"] == word.replace(" ", "-")
    assert re.fullmatch(UUID7, client.get("/nowhere").headers["x-request-id"])


def test_options_say_which_methods_there_are(client):
    answer = client.options("/v1")
    assert (answer.status_code, answer.content) == (204, b"")
    assert "POST" in answer.headers["allow"]


@pytest.mark.smoke
def test_the_document_tells_of_the_api(client):
    answer = client.get("/openapi.json")
    assert answer.status_code == 200
    document = answer.json()
    assert document["openapi"].startswith("3.1.")
    assert "post" in document["paths"]["/v1"]


def test_the_page(client):
    answer = client.get("/")
    assert (answer.has_redirect_location, answer.headers["location"]) == (True, "/docs")
    answer = client.get("/docs")
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "text/html")
    assert 'id="content-too-large"' in answer.text


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/livez", "/version"])
def test_what_is_for_operators_is_not_here(client, path):
    assert client.get(path).status_code == 404


@pytest.mark.smoke
def test_browsers_are_told_to_stay_with_tls(https, client, shout, word):
    for answer in (shout(json={"data": word}), client.post("/v1", json={}), client.get("/nowhere")):
        age = re.search(r"max-age=(\d+)", answer.headers["strict-transport-security"])
        assert int(age[1]) > 0


def test_no_old_tls(https, client):
    with client.stream("GET", "/docs") as answer:
        assert answer.extensions["network_stream"].get_extra_info("ssl_object").version() in ("TLSv1.2", "TLSv1.3")


def test_plain_http_is_sent_on(https, base):
    if base.port is not None:
        pytest.skip("there is no telling at which port it is")
    answer = httpx.post(base.copy_with(scheme="http"), json={"data": "hello"}, trust_env=False, timeout=60)
    assert answer.status_code == 308
    assert answer.headers["location"].startswith(f"https://{base.host}")
