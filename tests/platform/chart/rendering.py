"""Renders the chart with Helm. Each combination is rendered once."""

import functools
import json
import re
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from harness.process import ENVIRONMENT

TOP = Path(__file__).parents[3]
CHART = TOP / "helm/shoutback"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
# The service's variables: default and accepted values, as documented.
VARIABLES = {
    name: (default, accepts)
    for name, default, accepts in re.findall(
        r"^\| `([A-Z0-9_]+)` \| [`*]([^`*]*)[`*] \| .* Accepts (.*)\. \|$", (TOP / "docs/configuration.md").read_text(), re.M
    )
}
FILLED = TOP / "tests/platform/filled-values.yaml"

CI = {path.name.removesuffix("-values.yaml"): (path,) for path in sorted((CHART / "ci").glob("*-values.yaml"))}
ENVIRONMENTS = {
    name: (TOP / f"gitops/service/{name}/values.yaml", FILLED)
    for name in ("staging", "production")
}


@dataclass(frozen=True)
class Rendering:
    """A rendering of the chart with the values `files` and a test's values `more`, as JSON."""

    files: tuple
    more: str = "{}"
    chart: Path = CHART
    release: str = "shoutback"
    namespace: str = "shoutback"

    def but(self, more=None, **other):
        """Returns the same rendering with more values, or of another chart, release or namespace."""
        return replace(self, more=json.dumps(merged(json.loads(self.more), more or {})), **other)

    @functools.cached_property
    def result(self):
        return template(self)

    @property
    def text(self):
        assert self.result.returncode == 0, self.result.stderr
        return self.result.stdout

    @property
    def error(self):
        assert self.result.returncode != 0, "it was rendered"
        return self.result.stderr

    @property
    def objects(self):
        return parsed(self.text)

    def of_kind(self, *kinds):
        return [thing for thing in self.objects if thing["kind"] in kinds]

    def one(self, kind, name=None):
        [thing] = [thing for thing in self.of_kind(kind) if name is None or thing["metadata"]["name"] == name]
        return thing

    @property
    def deployment(self):
        return self.one("Deployment")

    @property
    def pod(self):
        """Returns the pod template of the Deployment."""
        return self.deployment["spec"]["template"]

    @property
    def container(self):
        [container] = self.pod["spec"]["containers"]
        return container

    @property
    def test_pods(self):
        return self.of_kind("Pod")

    def pods(self):
        """Yields labels and spec of every pod that the objects create."""
        return [self.pod, *self.test_pods]

    def containers(self):
        return [
            container
            for pod in self.pods()
            for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
        ]

    def service(self, component):
        [service] = [s for s in self.of_kind("Service") if s["metadata"]["labels"]["app.kubernetes.io/component"] == component]
        return service

    def variables(self):
        """Returns the environment of the service's process, on a node with the name node-1."""
        fields = {"metadata.name": "shoutback-0", "metadata.namespace": self.namespace, "spec.nodeName": "node-1"}
        variables = {}
        for source in self.container["envFrom"]:
            if "configMapRef" in source:
                variables |= self.one("ConfigMap", source["configMapRef"]["name"])["data"]
        for entry in self.container["env"]:
            if "value" in entry:
                variables[entry["name"]] = expanded(entry["value"], variables)
            elif "fieldRef" in entry["valueFrom"]:
                variables[entry["name"]] = fields[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        return variables


def expanded(value, variables):
    """Expands $(NAME) as Kubernetes does: only variables that were defined before; $$ is an escaped $."""
    read, position = "", 0
    while position < len(value):
        if value.startswith("$$", position):
            read, position = read + "$", position + 2
        elif value.startswith("$(", position):
            name = value[position + 2 : value.index(")", position)]
            read, position = read + variables[name], position + len(name) + 3
        else:
            read, position = read + value[position], position + 1
    return read


@functools.cache
def template(rendering):
    command = ["helm", "template", rendering.release, rendering.chart, "--namespace", rendering.namespace]
    command += [part for path in rendering.files for part in ("--values", path)]
    return subprocess.run([*command, "--values", "-"], env=ENVIRONMENT, input=rendering.more, capture_output=True, text=True)


@functools.cache
def parsed(text):
    return [thing for thing in yaml.load_all(text, yaml.CSafeLoader) if thing]


def ci(name):
    return Rendering(CI[name])


ALL = {name: Rendering(files) for name, files in (CI | ENVIRONMENTS).items()}
MINIMAL, EVERYTHING = ci("minimal"), ci("everything")


def resolved(schema):
    while "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    return schema


def leaves(schema=SCHEMA, path=()):
    """Yields every leaf of the values with its schema: scalars, lists, and maps with arbitrary keys."""
    schema = resolved(schema)
    if "properties" not in schema:
        yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from leaves(part, (*path, name))


LEAVES_OF_SWITCHES = [path for path, _ in leaves() if path[-1] == "enabled"]


def nested(path, value):
    for name in reversed(path):
        value = {name: value}
    return value


def at(values, path):
    """Returns the value at the path, or None."""
    for name in path:
        if not isinstance(values, dict) or name not in values:
            return None
        values = values[name]
    return values


def merged(*parts):
    """Merges as Helm does: maps are merged, everything else is replaced."""
    result = {}
    for part in parts:
        for name, value in part.items():
            both = isinstance(value, dict) and isinstance(result.get(name), dict)
            result[name] = merged(result[name], value) if both else value
    return result


def matches(selector, labels):
    """Returns whether a selector matches. Without labels it matches everything."""
    assert not selector.get("matchExpressions")
    return (selector.get("matchLabels") or {}).items() <= labels.items()


# Without the large objects, which take half of the time.
SHORT = EVERYTHING.but({"dashboards": {"enabled": False}, "prometheusRule": {"enabled": False}})
