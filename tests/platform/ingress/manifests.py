"""The Ingress of the chart and the controller's ConfigMap of an environment."""

import functools
import json
import subprocess
from pathlib import Path

import yaml

from harness.process import ENVIRONMENT

CHART = Path("helm/shoutback")
GITOPS = Path("gitops")
ENVIRONMENTS = ["staging", "production"]
HOST = "api.example.com"

# Placeholders for the values of an account and a release.
FILLED = Path("tests/platform/filled-values.yaml")

class Failed(Exception):
    """Helm failed to render the chart."""


def render(*files, **values):
    """Returns every object by kind and name, with `values` over those of the files."""
    result = template(files, json.dumps(values, sort_keys=True))
    if result.returncode:
        raise Failed(result.stderr)
    objects = [document for document in yaml.load_all(result.stdout, yaml.CSafeLoader) if document]
    return {(document["kind"], document["metadata"]["name"]): document for document in objects}


@functools.cache
def template(files, values):
    command = ["helm", "template", "shoutback", CHART, "--namespace", "shoutback"]
    command += [part for file in files for part in ("--values", file)]
    return subprocess.run([*command, "--values", "-"], env=ENVIRONMENT, input=values, capture_output=True, text=True)


def merged(*trees):
    """Merges values as Helm does; later ones win."""
    result = {}
    for tree in trees:
        for name, value in tree.items():
            below = result.get(name)
            result[name] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def of_environment(environment, config=None, **ingress):
    """Returns the chart's objects of an environment, with these values over its own."""
    return render(GITOPS / "service" / environment / "values.yaml", FILLED, config=config or {}, ingress=ingress)


def ingress_of(objects):
    return objects["Ingress", "shoutback"]


def config_of(objects):
    """Returns the service's variables."""
    return objects["ConfigMap", "shoutback"]["data"]


def controller_values(environment):
    """Returns the values of the controller's chart."""
    files = [GITOPS / "platform/values/nginx.yaml", GITOPS / "platform/values/nginx-ingress.yaml", GITOPS / "platform" / environment / "nginx-ingress.yaml"]
    return merged(*(yaml.safe_load(file.read_text()) for file in files))


def entries_of(environment):
    """Returns the entries of the controller's ConfigMap."""
    return controller_values(environment)["controller"]["config"]["entries"]
