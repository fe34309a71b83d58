"""Clients that two generators make of the document compile, and shout in both formats."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.process import ENVIRONMENT, http_request

HERE = Path(__file__).parent
EXPECTED = {"json": {"data": "!DLROW ,OLLEH"}, "text": "!DLROW ,OLLEH", "problem": "/docs#unauthenticated"}


def run(directory, *command, **variables):
    done = subprocess.run(command, cwd=directory, env=ENVIRONMENT | variables, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def document(emulators, tmp_path):
    status, text = http_request("GET", f"{emulators.public}/openapi.json")
    assert status == 200
    file = tmp_path / "openapi.json"
    file.write_text(text)
    return file


@pytest.fixture
def service(emulators, token):
    return {"SHOUTBACK": emulators.public, "TOKEN": token}


def test_the_typescript_client_shouts(document, service, tmp_path):
    directory = shutil.copytree(HERE / "typescript", tmp_path / "client")
    shutil.copy(HERE / "package.json", directory)
    (directory / "node_modules").symlink_to(Path(os.environ["NPM_DIRECTORY"], "node_modules"))
    run(directory, "openapi-typescript", document, "--output", "api.ts")
    run(directory, "tsc", "--project", ".")
    assert json.loads(run(directory, "node", "client.js", **service)) == EXPECTED


def test_the_go_client_shouts(document, service, tmp_path):
    directory = shutil.copytree(HERE / "go", tmp_path / "client")
    (directory / "api").mkdir()
    (directory / "api/api.go").write_text(run(directory, "oapi-codegen", "-generate", "types,client", "-package", "api", document))
    go = {name: os.environ[name] for name in ("HOME", "GOPATH", "GOCACHE", "GOMODCACHE", "GOPROXY", "GOTOOLCHAIN") if name in os.environ}
    run(directory, "go", "build", "-o", "client", ".", **go)
    assert json.loads(run(directory, "./client", **service)) == EXPECTED
