"""Terraform's folders, tried in a copy of `terraform/`: what `terraform test` says of one, and what it would have created."""

import functools
import json
import os
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

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
        # One after the other: a cache of providers is not made for two.
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


@functools.cache
def environment():
    """What Terraform inherits: where its providers are, no credentials, and no variables of whoever runs the tests."""
    given = {name: os.environ[name] for name in ("PATH", "HOME", "TF_CLI_CONFIG_FILE", "HTTPS_PROXY", "NO_PROXY") if name in os.environ}
    # Reading the provider's schema again for every run is most of the work, and much of that is collecting its garbage.
    given |= {"CHECKPOINT_DISABLE": "1", "GOGC": "400", "TF_IN_AUTOMATION": "1"}
    if not Path(given.get("TF_CLI_CONFIG_FILE", "")).is_file():
        # The provider is large and wanted a dozen times. A configuration of one's own may mean another provider than the
        # registry's, and keeps out of this.
        given.pop("TF_CLI_CONFIG_FILE", None)
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shoutback" / "terraform-providers"
        cache.mkdir(parents=True, exist_ok=True)
        given |= {"TF_PLUGIN_CACHE_DIR": str(cache), "TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE": "true"}
    return given


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
