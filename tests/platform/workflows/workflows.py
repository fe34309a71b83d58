"""The workflows as data. All scalars are strings."""

import re
from pathlib import Path
from typing import NamedTuple

import yaml

TOP = Path(__file__).resolve().parents[3]


class Job(NamedTuple):
    workflow: str
    name: str
    data: dict

    def __str__(self):
        return f"{self.workflow}, job {self.name}"

    @property
    def steps(self):
        return self.data.get("steps", [])

    @property
    def environment(self):
        named = self.data.get("environment", "")
        return named if isinstance(named, str) else named["name"]

    def commands(self):
        return [step["run"] for step in self.steps if "run" in step]

    def using(self, action):
        return [step for step in self.steps if step.get("uses", "").startswith(f"{action}@")]


class Workflow(NamedTuple):
    name: str
    text: str

    @property
    def data(self):
        return yaml.load(self.text, yaml.BaseLoader)

    @property
    def jobs(self):
        return [Job(self.name, name, data) for name, data in self.data["jobs"].items()]

    @property
    def triggers(self):
        on = self.data["on"]
        return on if isinstance(on, dict) else {on: ""}


def read():
    return {path.name: Workflow(path.name, path.read_text()) for path in sorted((TOP / ".github/workflows").glob("*.yml"))}


def jobs(workflows):
    return [job for workflow in workflows.values() for job in workflow.jobs]


def texts(node):
    """Yields every string in the data."""
    if isinstance(node, dict):
        for value in node.values():
            yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)
    else:
        yield node


def expressions(node, context):
    """Returns the names that the data uses of a context, such as `secrets`."""
    inside = (found for text in texts(node) for found in re.findall(r"\$\{\{(.*?)\}\}", text, re.DOTALL))
    return {name for text in inside for name in re.findall(rf"\b{context}\.(\w+)", text)}
