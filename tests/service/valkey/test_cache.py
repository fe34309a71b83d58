"""The cache that replicas share: a second level behind each replica's own. `tests/it/valkey.rs` has what needs one server and no faults."""

import time

import pytest

from client import requests_total, shout
from harness.process import wait_until

SHARED = {"CACHE_SHARED": "on"}
TEXT, SHOUT = "hello, world!", b'{"data":"!DLROW ,OLLEH"}'


def keys(valkey):
    return [key.decode() for key in valkey("KEYS", "shoutback:cache:*")]


def cache_status(replica, text=TEXT, **headers):
    status, fields, body = shout(replica, text, headers)
    assert status == 200, body
    assert text != TEXT or body == SHOUT
    return fields["cache-status"]


def stored(valkey, count=1):
    """Waits until this many results were written: no request waits for that."""
    return wait_until("results are written", lambda: len(found := keys(valkey)) == count and found)


def test_cached_texts_survive_a_restart_during_an_outage_of_shoutcloud(valkey, start, shoutcloud):
    texts = [f"text {number}" for number in range(5)]
    variables = SHARED | {"CACHE_TTL": "1s"}
    before = [start(valkey.url, **variables) for _ in range(3)]
    for number, text in enumerate(texts):
        assert cache_status(before[number % 3], text) == "shoutback; fwd=miss; stored"
    stored(valkey, len(texts))
    shoutcloud.behave(failure_rate=1.0)
    # A rolling restart: one after the other.
    after = []
    for replica in before:
        assert replica.stop() == 0
        after.append(start(valkey.url, **variables))
    newest = max(int(valkey("GET", key).split(b" ")[1]) for key in keys(valkey)) / 1000
    wait_until("the entries are stale", lambda: time.time() > newest + 1.1)
    for replica in after:
        for text in texts:
            assert cache_status(replica, text) == "shoutback; hit; detail=stale-if-error"
        assert shout(replica, "a new text")[0] == 503


def test_no_cache_stores_without_reading(valkey, start, shoutcloud):
    first, second = (start(valkey.url, **SHARED) for _ in range(2))
    cache_status(first)
    stored(valkey)
    calls = shoutcloud.calls()
    assert cache_status(second, **{"cache-control": "no-cache"}) == "shoutback; fwd=request; stored"
    assert shoutcloud.calls() == calls + 1
    assert cache_status(first, "other", **{"cache-control": "no-store"}) == "shoutback; fwd=bypass"
    assert len(keys(valkey)) == 1


@pytest.mark.parametrize("value", [b"1 NOW \xff", b"1 NOW " + b"x" * (64 << 20)], ids=["not UTF-8", "64 MiB"])
def test_a_value_that_is_no_shout_of_the_text_is_ignored(valkey, start, value):
    replica = start(valkey.url, **SHARED)
    cache_status(replica)
    [key] = stored(valkey)
    valkey("SET", key, value.replace(b"NOW", str(int(time.time() * 1000)).encode()))
    other = start(valkey.url, **SHARED)
    assert cache_status(other) == "shoutback; fwd=miss; stored"
    assert other.is_up()


def test_a_key_of_another_type_is_ignored(valkey, start):
    replica = start(valkey.url, **SHARED)
    cache_status(replica)
    [key] = stored(valkey)
    valkey("DEL", key)
    valkey("RPUSH", key, "x")
    other = start(valkey.url, **SHARED)
    assert cache_status(other) == "shoutback; fwd=miss; stored"
    assert other.is_up()
    assert requests_total(other, "cache_read", "wrong_type") == 1


def test_waiting_for_a_slow_read_is_bounded(valkey, start, toxiproxy):
    proxy = toxiproxy.proxy(valkey.address)
    replica = start(f"redis://{proxy.address}", VALKEY_TIMEOUT="50ms", **SHARED)
    with proxy.toxic("latency", latency=5_000):
        assert cache_status(replica, "another text") == "shoutback; fwd=miss; stored"
    assert requests_total(replica, "cache_read", "timeout") == 1
