"""Tests of a checkout that an adopter has filled in have the same repository."""

import adopter
import argocd
from source import Source


def test_with_the_values_of_the_tests(tmp_path, monkeypatch):
    def prepare(directory):
        source = Source(directory)
        argocd.fill(source.work)
        return source

    adopter.check(tmp_path, monkeypatch, prepare)
