"""No secret gets into the index, in any field and from any writer."""

import contextlib
import copy
import json

import pytest
import traffic
from conftest import PIPELINE, flat, of_service, processed


def test_no_secret_gets_into_the_index(index):
    planted = [number for number, event in index.sent.items() if any(secret in json.dumps(event) for secret in traffic.SECRETS)]
    assert len(planted) == 6
    everything = json.dumps(index.search()["hits"]["hits"])
    for secret in traffic.SECRETS:
        assert secret not in everything
        # Nor part of one.
        assert secret[-10:] not in everything
    assert everything.count("[redacted]") == 4
    assert index.ids({"term": {"tags": "redacted"}}) == set(planted)


@pytest.mark.parametrize("pipeline", ["", "?pipeline=_none"])
def test_no_writer_can_bypass_the_pipeline(opensearch, pipeline):
    document = {"@timestamp": "2026-11-22T10:00:00Z", "message": f"Bearer {traffic.SECRETS[1]}"}
    with one_stored(opensearch, document, pipeline) as stored:
        assert stored["message"] == "Bearer [redacted]" and stored["event.ingested"]


@contextlib.contextmanager
def one_stored(opensearch, document, parameters=""):
    """Returns the stored form of a document that is written without Filebeat, into a temporary data stream."""
    stream = "logs-shoutback.log-one"
    response = opensearch.call("POST", f"/{stream}/_bulk{parameters}", [{"create": {}}, document])
    try:
        [item] = response["items"]
        assert item["create"]["status"] == 201, item
        opensearch.call("POST", f"/{stream}/_refresh")
        [hit] = opensearch.call("POST", f"/{stream}/_search", {})["hits"]["hits"]
        yield flat(hit["_source"])
    finally:
        opensearch.call("DELETE", f"/_data_stream/{stream}")


def test_redaction_does_not_change_other_texts(index):
    for number, event in of_service(index).items():
        source = index.source(number) if number.endswith("0") else event
        assert {name: source.get(name) for name in event} == event


@pytest.mark.parametrize("text", ["the bearer of news", "eyJ", "Bearer", "İstanbul bearer", "key eyJ short", "bearer: brief", "basic authentication-schemes", "Basic"])
def test_redaction_distinguishes_words_from_tokens(opensearch, text):
    assert redacted(opensearch, text) == text


TOKEN = "abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize("text", [f"Bearer {TOKEN}", f"bearer={TOKEN}", f'"BEARER": "{TOKEN}"', f"İ bearer {TOKEN}", f"a eyJ{TOKEN} b eyJ{TOKEN}", f"Basic {TOKEN}Q==", "basic YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXo="])
def test_redaction_finds_tokens_in_every_notation(opensearch, text):
    result = redacted(opensearch, text)
    assert "[redacted]" in result and TOKEN not in result and "YWJj" not in result


def redacted(opensearch, text):
    result = processed(opensearch, {"message": text, "tags": "one", "deep": [{"er": text}]})
    assert result["deep"][0]["er"] == result["message"]
    assert result["tags"] == ("one" if result["message"] == text else ["one", "redacted"])
    return result["message"]


OPAQUE = "hunter2"
FORBIDDEN = {
    "a header": {"http": {"request": {"headers": {"authorization": OPAQUE}}}},
    "a header by its flat name": {"http.request.headers.x-custom": OPAQUE},
    "a header by itself": {"deep": [{"er": {"Proxy-Authorization": [OPAQUE]}}]},
    "a body": {"http": {"request": {"body": {"content": OPAQUE}}}},
    "a body beside its size": {"http": {"response": {"body": {"bytes": 7, "content": OPAQUE}}}},
    "a body by itself": {"http": {"request": {"body": OPAQUE}}},
    "a body as its size": {"http.response.body.bytes": OPAQUE},
    "a query": {"url": {"query": OPAQUE}},
    "a password": {"shoutback": {"new": {"password": OPAQUE}}},
    "a token": {"shoutback": [[{"accessToken": OPAQUE}]]},
    "a cookie": {"set-cookie": OPAQUE},
    "a key": {"_api_key": OPAQUE},
    "a user": {"user": {"name": OPAQUE}},
    "a user by the flat name": {"user.name": OPAQUE},
    "the client's user": {"client": {"user": OPAQUE}},
    "the client's user's name": {"client": {"user": {"name": OPAQUE}}},
    "a user with tags": {"user": OPAQUE, "tags": {"of": OPAQUE}},
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_fields_that_may_hold_a_secret_are_removed_by_name(opensearch, what):
    result = processed(opensearch, {"message": "text", "client": {"user": {"id": "app1"}}} | FORBIDDEN[what])
    assert OPAQUE not in json.dumps(result)
    assert result["message"] == "text" and result["tags"] == ["redacted"]
    assert "client" in FORBIDDEN[what] or result["client.user.id"] == "app1"


def test_of_a_line_that_cannot_be_redacted_only_time_and_origin_are_stored(opensearch):
    """It is not dropped. Even those fields may have unexpected types."""
    pipeline = copy.deepcopy(PIPELINE)
    assert pipeline["processors"][0]["script"].pop("id") == "shoutback-log-redact"
    pipeline["processors"][0]["script"]["source"] = "throw new IllegalArgumentException(ctx.message)"
    stored = {"@timestamp": "2026-11-22T10:00:00Z", "log.file.path": "/var/log/shoutback/shoutback.log", "log.offset": 7, "service.name": "shoutback"}
    document = {
        "@timestamp": stored["@timestamp"],
        "message": OPAQUE,
        "log": {"file": {"path": stored["log.file.path"]}, "offset": 7, "logger": OPAQUE},
        "service": {"name": "shoutback", "version": {"is": OPAQUE}, "node": OPAQUE, "environment": [OPAQUE]},
        "kubernetes": {"pod": {"name": {"is": OPAQUE}}},
        "event": OPAQUE,
        "tags": [OPAQUE],
        f"flat.{OPAQUE}": 1,
        "_custom": OPAQUE,
    }
    [response] = opensearch.call("POST", "/_ingest/pipeline/_simulate", {"docs": [{"_source": document}], "pipeline": pipeline})["docs"]
    source = flat(response["doc"]["_source"])
    assert OPAQUE not in json.dumps(source)
    assert source.pop("event.ingested") and source.pop("error.message") and source.pop("message")
    assert source == stored | {"event.dataset": "shoutback.log", "event.kind": "pipeline_error", "error.type": "pipeline"}
