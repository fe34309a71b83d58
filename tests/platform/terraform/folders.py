"""Terraform's folders, tried in a copy of `terraform/`: what `terraform test` says of one, and what it would have created."""

import json
import os
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from harness.terraform import environment

# The checkout, or a copy of it that has faults.
ROOT = Path(os.environ.get("SHOUTBACK_ROOT") or Path(__file__).resolve().parents[3])
SHIPPED = ROOT / "terraform"

# Each is a module of its own with tests of its own; examples are part of their module.
FOLDERS = sorted(
    str(file.parent.relative_to(SHIPPED)) for pattern in ("bootstrap", "modules/*", "environments/*") for file in SHIPPED.glob(f"{pattern}/versions.tf")
)


@dataclass
class Resource:
    address: str
    type: str
    name: str
    index: object
    values: dict


@dataclass
class Run:
    """A run of a test file: how it ended, and all that Terraform knew of it then: what it planned, or applied."""

    status: str = ""
    complaints: list = field(default_factory=list)
    resources: list = field(default_factory=list)
    outputs: dict = field(default_factory=dict)

    def all(self, kind):
        return [resource for resource in self.resources if resource.type == kind]

    def one(self, kind, index=None):
        """The values of the only resource of this type, or of the only one with this index."""
        found = [resource for resource in self.all(kind) if index is None or resource.index == index]
        assert len(found) == 1, f"{len(found)} of {kind} {index or ''}, not one"
        return found[0].values


class Copy:
    """A copy of the shipped folders, in which Terraform may leave what it likes. Beside it is the rest of the checkout."""

    def __init__(self, directory):
        self.terraform = directory / "terraform"
        shutil.copytree(SHIPPED, self.terraform, ignore=shutil.ignore_patterns(".terraform*", "terraform.tfstate*"))
        for entry in ROOT.iterdir():
            if entry.name != "terraform" and not entry.name.startswith("."):
                (directory / entry.name).symlink_to(entry)

    def run(self, folder, *arguments):
        return subprocess.run(["terraform", *arguments], cwd=self.terraform / folder, env=environment(), capture_output=True, text=True)

    def init(self, folder):
        # One after the other: the cache that the real provider is downloaded to is not safe for two at once.
        with _INIT:
            return self.run(folder, "init", "-backend=false", "-input=false", "-no-color")

    def test(self, folder):
        """Every run of the folder's tests, by "FILE/RUN"."""
        prepared = self.init(folder)
        assert prepared.returncode == 0, prepared.stderr
        done = self.run(folder, "test", "-json", "-verbose", "-no-color")
        runs = {}
        for line in done.stdout.splitlines():
            _read(json.loads(line), runs)
        assert runs, done.stdout + done.stderr
        return runs


_INIT = threading.Lock()


def _read(message, runs):
    if "@testrun" in message:
        run = runs.setdefault(f"{Path(message['@testfile']).name.removesuffix('.tftest.hcl')}/{message['@testrun']}", Run())
    else:
        # What is wrong with a file as a whole.
        run = runs.setdefault("files", Run(status="pass"))
    kind = message["type"]
    if kind == "test_run" and message["test_run"]["progress"] == "complete":
        run.status = message["test_run"]["status"]
    elif kind == "diagnostic" and message["diagnostic"]["severity"] == "error":
        run.complaints.append(f"{message['diagnostic']['summary']}: {message['diagnostic'].get('detail', '')}")
        if "@testrun" not in message:
            run.status = "error"
    elif kind == "test_plan":
        run.resources = [
            Resource(change["address"], change["type"], change["name"], change.get("index"), _planned(change["change"]))
            for change in message["test_plan"].get("resource_changes", [])
            # A run that plans after one that applied may take things away again.
            if change["mode"] == "managed" and change["change"]["after"] is not None
        ]
        run.outputs = {name: change["after"] for name, change in message["test_plan"].get("output_changes", {}).items()}
    elif kind == "test_state":
        run.resources = list(_resources(message["test_state"].get("root_module", {})))
        run.outputs = {name: output["value"] for name, output in message["test_state"].get("outputs", {}).items()}


def _planned(change):
    """What is not known before it is applied is left out of a plan: here it is None."""
    unknown = change.get("after_unknown") or {}
    return change["after"] | {name: None for name, value in unknown.items() if value is True}


def _resources(module):
    for resource in module.get("resources", []):
        if resource["mode"] == "managed":
            yield Resource(resource["address"], resource["type"], resource["name"], resource.get("index"), resource["values"])
    for child in module.get("child_modules", []):
        yield from _resources(child)


class Results:
    """What takes long and is wanted by many tests: two at a time, each once."""

    def __init__(self):
        self._pool = ThreadPoolExecutor(2)
        self._begun = {}

    def begin(self, name, function, *arguments):
        if name not in self._begun:
            self._begun[name] = self._pool.submit(function, *arguments)

    def __getitem__(self, name):
        return self._begun[name].result()

    def close(self):
        self._pool.shutdown(cancel_futures=True)
