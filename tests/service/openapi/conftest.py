"""Fixtures: the emulators, and services that require tokens."""

import contextlib

import pytest

from harness.shoutback import Emulators, Shoutback


@pytest.fixture(scope="module")
def emulators(tmp_path_factory):
    with Emulators(tmp_path_factory.mktemp("emulators") / "log") as emulators:
        yield emulators


@pytest.fixture(scope="module")
def token(emulators):
    return emulators.token()


@pytest.fixture
def start(emulators, tmp_path):
    """`start(**variables)`: an instance that asks for tokens."""
    with contextlib.ExitStack() as stack:

        def start(**variables):
            environment = {"SHOUTCLOUD_URL": f"http://{emulators.shoutcloud}/V1/SHOUT"} | emulators.authentication() | variables
            return stack.enter_context(Shoutback(tmp_path / f"log-{len(list(tmp_path.iterdir()))}", **environment))

        yield start
