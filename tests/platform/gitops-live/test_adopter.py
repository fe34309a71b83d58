"""Tests of a checkout that an adopter has filled in have the same repository."""

import adopter
from conftest import Origin


def test_with_the_values_of_the_tests(tmp_path, monkeypatch):
    def prepare(directory):
        origin = Origin(directory)
        origin.fill("http://127.0.0.1:8080/charts", "http://127.0.0.1:8081/issuer")
        return origin

    adopter.check(tmp_path, monkeypatch, prepare)
