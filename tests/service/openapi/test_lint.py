"""Redocly finds nothing in the documents of different configurations."""

import subprocess
from pathlib import Path

import pytest

from harness.process import ENVIRONMENT
from harness.shoutback import binary

HERE = Path(__file__).parent
# Neither usage data nor a search for updates.
OFFLINE = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}

CONFIGURATIONS = {
    "default": {},
    "without authentication": {"AUTH_MODE": "disabled"},
    "without authentication and quota": {"AUTH_MODE": "disabled", "RATE_LIMIT_PER_CLIENT": "off"},
    "without scopes": {"AUTH_REQUIRED_SCOPES": ""},
    "with sign-in": {
        "COGNITO_USER_POOL_IDS": "us-east-2_AbCdEfGhI",
        "COGNITO_CLIENT_IDS": "page",
        "DOCS_CLIENT_ID": "page",
        "DOCS_COGNITO_DOMAIN": "auth.example.com",
    },
}


def lint(document):
    command = ["redocly", "lint", "--config", HERE / "redocly.yaml", document]
    return subprocess.run(command, env=ENVIRONMENT | OFFLINE, capture_output=True, text=True)


@pytest.fixture
def document(tmp_path):
    """`document(**variables)` writes the document of a configuration and returns its file."""

    def document(**variables):
        printed = subprocess.run([binary(), "openapi"], env=ENVIRONMENT | variables, capture_output=True, text=True, check=True)
        file = tmp_path / "openapi.json"
        file.write_text(printed.stdout)
        return file

    return document


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_the_document_has_no_faults(document, configuration):
    done = lint(document(**CONFIGURATIONS[configuration]))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "replacement", "rule"),
    [
        ('"summary": "Reverse a text and convert it to upper case",', "", "operation-summary"),
        ('"data": "hello, world!"', '"text": "hello, world!"', "no-invalid-media-type-examples"),
        ('"#/components/headers/retry-after"', '"#/components/headers/wait"', "no-unresolved-refs"),
    ],
)
def test_faults_are_found(document, text, replacement, rule):
    file = document()
    assert text in file.read_text()
    file.write_text(file.read_text().replace(text, replacement))
    done = lint(file)
    assert done.returncode != 0 and f"the {rule} rule" in done.stdout + done.stderr, done.stdout + done.stderr
