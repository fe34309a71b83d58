"""Runs `terraform test` in a copy of `terraform/`; returns results and planned resources per folder."""

import atexit
import json
import os
import shutil
import subprocess
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from harness.terraform import environment

# The checkout, or a copy with faults.
CHECKOUT = Path(os.environ.get("SHOUTBACK_ROOT") or Path(__file__).resolve().parents[3])
# The values with which the roots are shipped.
EXAMPLES = {f"terraform/{'bootstrap' if path.name.startswith('bootstrap') else 'environment'}/{path.name}": path.read_text() for path in Path(__file__).with_name("examples").iterdir()}


def filled_in():
    """Returns whether the values in the checkout are an adopter's: the account of the examples is gone from some file."""
    return any("111122223333" not in (CHECKOUT / name).read_text() for name in EXAMPLES)


def with_examples():
    """Returns the checkout; if its values are an adopter's, a copy with the examples, because the tests know what these lead to."""
    if not filled_in():
        return CHECKOUT
    directory = Path(tempfile.mkdtemp(prefix="shoutback-examples-"))
    atexit.register(shutil.rmtree, directory)
    for entry in CHECKOUT.iterdir():
        if entry.name in ("gitops", "helm", "observability", "scripts", "terraform"):
            # Tests copy and change these.
            shutil.copytree(entry, directory / entry.name, symlinks=True, ignore=shutil.ignore_patterns(".terraform*", "terraform.tfstate*"))
        else:
            (directory / entry.name).symlink_to(entry)
    for name, text in EXAMPLES.items():
        (directory / name).write_text(text)
    return directory


ROOT = with_examples()
SHIPPED = ROOT / "terraform"

# Each is a module with its own tests. A root is tested with the values of each of its `.tfvars`.
FOLDERS = sorted(str(file.parent.relative_to(SHIPPED)) for pattern in ("*", "modules/*") for file in SHIPPED.glob(f"{pattern}/versions.tf"))
ENVIRONMENTS = ["staging", "production"]


@dataclass
class Resource:
    address: str
    type: str
    name: str
    index: object
    values: dict


@dataclass
class Run:
    """A run of a test file: its status, and the planned or applied state."""

    status: str = ""
    complaints: list = field(default_factory=list)
    resources: list = field(default_factory=list)
    outputs: dict = field(default_factory=dict)

    def all(self, kind):
        return [resource for resource in self.resources if resource.type == kind]

    def one(self, kind, index=None):
        """Returns the values of the only resource of this type, or with this index."""
        found = [resource for resource in self.all(kind) if index is None or resource.index == index]
        assert len(found) == 1, f"{len(found)} of {kind} {index or ''}, not one"
        return found[0].values


class Copy:
    """A copy of the shipped folders for Terraform's working files, next to the rest of the checkout."""

    def __init__(self, directory):
        self.terraform = directory / "terraform"
        shutil.copytree(SHIPPED, self.terraform, ignore=shutil.ignore_patterns(".terraform*", "terraform.tfstate*"))
        for entry in ROOT.iterdir():
            if entry.name == ".github" or entry.name != "terraform" and not entry.name.startswith("."):
                (directory / entry.name).symlink_to(entry)

    def run(self, folder, *arguments):
        return subprocess.run(["terraform", *arguments], cwd=self.terraform / folder, env=environment(), capture_output=True, text=True)

    def init(self, folder):
        # Serialized: Terraform's plugin cache does not support concurrent downloads.
        with _INIT:
            return self.run(folder, "init", "-backend=false", "-input=false", "-no-color")

    def test(self, folder):
        """Returns every run of the folder's tests, by "FILE/RUN"; those of a root by "VALUES/RUN"."""
        prepared = self.init(folder)
        assert prepared.returncode == 0, prepared.stderr
        runs = {}
        for values in sorted(path.stem for path in (self.terraform / folder).glob("*.tfvars")) or [None]:
            options = [f"-var-file={values}.tfvars"] if values else []
            done = self.run(folder, "test", "-json", "-verbose", "-no-color", *options)
            found = {}
            for line in done.stdout.splitlines():
                _read(json.loads(line), found)
            assert found, done.stdout + done.stderr
            runs |= {f"{values}/{name.rpartition('/')[2]}" if values else name: run for name, run in found.items()}
        return runs


_INIT = threading.Lock()


def _read(message, runs):
    if "@testrun" in message:
        run = runs.setdefault(f"{Path(message['@testfile']).name.removesuffix('.tftest.hcl')}/{message['@testrun']}", Run())
    else:
        # Errors of a whole file.
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
            # A plan after an apply may delete resources.
            if change["mode"] == "managed" and change["change"]["after"] is not None
        ]
        run.outputs = {name: change.get("after") for name, change in message["test_plan"].get("output_changes", {}).items()}
    elif kind == "test_state":
        run.resources = list(_resources(message["test_state"].get("root_module", {})))
        run.outputs = {name: output["value"] for name, output in message["test_state"].get("outputs", {}).items()}


def _planned(change):
    """Returns the planned values, with None for values that are unknown until apply."""
    unknown = change.get("after_unknown") or {}
    return change["after"] | {name: None for name, value in unknown.items() if value is True}


def _resources(module):
    for resource in module.get("resources", []):
        if resource["mode"] == "managed":
            yield Resource(resource["address"], resource["type"], resource["name"], resource.get("index"), resource["values"])
    for child in module.get("child_modules", []):
        yield from _resources(child)


class Results:
    """Runs slow jobs that several tests share, once each, two at a time."""

    def __init__(self):
        self._pool = ThreadPoolExecutor(2)
        self._started = {}

    def start(self, name, function, *arguments):
        if name not in self._started:
            self._started[name] = self._pool.submit(function, *arguments)

    def __getitem__(self, name):
        return self._started[name].result()

    def close(self):
        self._pool.shutdown(cancel_futures=True)
