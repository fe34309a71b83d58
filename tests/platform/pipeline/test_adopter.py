"""Tests of a checkout that an adopter has filled in have the same repository."""

import adopter
import live
from source import Source


def test_without_values(tmp_path, monkeypatch):
    adopter.check(tmp_path, monkeypatch, Source)


def test_with_those_of_the_dry_run(tmp_path, monkeypatch):
    def prepare(directory):
        source = Source(directory)
        live.fill(source, "http://127.0.0.1:8080/shoutback.git", "127.0.0.1:5000/shoutback")
        return source

    adopter.check(tmp_path, monkeypatch, prepare)
