"""What the API is for."""

import json

import pytest


@pytest.mark.smoke
def test_json_is_answered_with_json(shout, word):
    answer = shout(json={"data": word})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json"), answer.text
    assert answer.json() == {"data": word[::-1].upper()}


@pytest.mark.smoke
def test_text_is_answered_with_text(shout, word):
    answer = shout({"content-type": "text/plain"}, content=word)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8"), answer.text
    assert answer.text == word[::-1].upper()


def test_accept_asks_for_the_other_form(shout, word):
    answer = shout({"accept": "text/plain"}, json={"data": word})
    assert (answer.status_code, answer.text) == (200, word[::-1].upper())
    answer = shout({"accept": "application/json", "content-type": "text/plain"}, content=word)
    assert (answer.status_code, answer.json()) == (200, {"data": word[::-1].upper()})


def test_what_is_one_character_to_people_stays_whole(shout, word):
    # A family, a flag, an e with a combining accent, and two characters of two bytes and three.
    parts = ["👨‍👩‍👧‍👦", "🇨🇭", "e\u0301", "ж", "中", word]
    answer = shout(json={"data": "".join(parts)})
    assert (answer.status_code, answer.json()["data"]) == (200, word[::-1].upper() + "中Ж" + "E\u0301" + "🇨🇭" + "👨‍👩‍👧‍👦")


def test_escapes_and_other_members(shout, word):
    body = json.dumps({"else": [1, None], "data": f'"\\\n\0{word}'})
    answer = shout({"content-type": "application/json"}, content=body)
    assert (answer.status_code, answer.json()) == (200, {"data": word[::-1].upper() + '\0\n\\"'})


def test_the_empty_text(shout):
    answer = shout(json={"data": ""})
    assert (answer.status_code, answer.json()) == (200, {"data": ""})


def test_no_cache_on_the_way_keeps_it_and_the_own_says_what_it_did(shout, word):
    answer = shout(json={"data": word})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["cache-status"].startswith("shoutback; fwd=miss")


def test_the_quota_is_told(shout, word):
    answer = shout(json={"data": word})
    assert answer.headers["ratelimit"].startswith('"client";r=')
    assert answer.headers["ratelimit-policy"].startswith('"client";q=')
