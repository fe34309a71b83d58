"""Shouts in JSON and text."""

import json

import pytest


@pytest.mark.smoke
def test_json_in_and_out(shout, word):
    response = shout(json={"data": word})
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json"), response.text
    assert response.json() == {"data": word[::-1].upper()}


@pytest.mark.smoke
def test_text_in_and_out(shout, word):
    response = shout({"content-type": "text/plain"}, content=word)
    assert (response.status_code, response.headers["content-type"]) == (200, "text/plain; charset=utf-8"), response.text
    assert response.text == word[::-1].upper()


def test_accept_selects_the_format(shout, word):
    response = shout({"accept": "text/plain"}, json={"data": word})
    assert (response.status_code, response.text) == (200, word[::-1].upper())
    response = shout({"accept": "application/json", "content-type": "text/plain"}, content=word)
    assert (response.status_code, response.json()) == (200, {"data": word[::-1].upper()})


def test_grapheme_clusters_stay_intact(shout, word):
    # A family, a flag, an e with a combining accent, and two characters of two bytes and three.
    parts = ["👨‍👩‍👧‍👦", "🇨🇭", "e\u0301", "ж", "中", word]
    response = shout(json={"data": "".join(parts)})
    assert (response.status_code, response.json()["data"]) == (200, word[::-1].upper() + "中Ж" + "E\u0301" + "🇨🇭" + "👨‍👩‍👧‍👦")


def test_escapes_and_other_members(shout, word):
    body = json.dumps({"else": [1, None], "data": f'"\\\n\0{word}'})
    response = shout({"content-type": "application/json"}, content=body)
    assert (response.status_code, response.json()) == (200, {"data": word[::-1].upper() + '\0\n\\"'})


def test_an_empty_text(shout):
    response = shout(json={"data": ""})
    assert (response.status_code, response.json()) == (200, {"data": ""})


def test_shared_caches_do_not_store_it_and_cache_status_is_reported(shout, word):
    response = shout(json={"data": word})
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["cache-status"].startswith("shoutback; fwd=miss")


def test_the_quota_is_reported(shout, word):
    response = shout(json={"data": word})
    assert response.headers["ratelimit"].startswith('"client";r=')
    assert response.headers["ratelimit-policy"].startswith('"client";q=')
