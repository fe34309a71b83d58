"""Values of the charts, without rendering: the schema is valid, values files validate, templates refer to existing values."""

import json
import re

import jsonschema
import pytest
import yaml
from files import TOP, ending

CHART = TOP / "helm/shoutback"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
FILLED = TOP / "tests/platform/filled-values.yaml"
CHARTS = sorted((TOP / name).parent for name in ending("/Chart.yaml"))
# Values files for the service's chart; each is merged over the chart's defaults.
VALUES = sorted([*CHART.glob("ci/*-values.yaml"), *TOP.glob("gitops/service/*/values.yaml")])


def read(path):
    return yaml.safe_load(path.read_text()) or {}


def merged(*parts):
    """Merges as Helm does: maps are merged, anything else is replaced."""
    result = {}
    for part in parts:
        for name, value in part.items():
            both = isinstance(value, dict) and isinstance(result.get(name), dict)
            result[name] = merged(result[name], value) if both else value
    return result


def violations(values):
    """Returns the validation errors, by path."""
    return {"/".join(map(str, error.path)): error.message for error in jsonschema.Draft7Validator(SCHEMA).iter_errors(values)}


def test_the_schema_is_valid():
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    # Validation notices a dangling reference only when it follows it.
    for reference in re.findall(r'"\$ref": *"([^"]+)"', json.dumps(SCHEMA)):
        assert reference.removeprefix("#/definitions/") in SCHEMA["definitions"], reference


def test_an_invalid_schema_is_found():
    with pytest.raises(jsonschema.SchemaError):
        jsonschema.Draft7Validator.check_schema(SCHEMA | {"required": "environment"})


def test_defaults_lack_only_required_values():
    assert violations(read(CHART / "values.yaml")).keys() == {"environment"}


@pytest.mark.parametrize("path", VALUES, ids=lambda path: str(path.relative_to(TOP)))
def test_values_validate(path):
    assert violations(merged(read(CHART / "values.yaml"), read(path))) == {}
    if "gitops" in path.parts:
        assert violations(merged(read(CHART / "values.yaml"), read(path), read(FILLED))) == {}


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"replicas": 3}, ""),
        ({"replicaCount": "3"}, "replicaCount"),
        ({"environment": "prod"}, "environment"),
        ({"config": {"auth-mode": "disabled"}}, "config"),
        ({"config": {"AUTH_MODE": []}}, "config/AUTH_MODE"),
        ({"image": {"digest": "sha256:0"}}, "image/digest"),
    ],
)
def test_wrong_values_are_found(wrong, where):
    values = merged(read(CHART / "values.yaml"), read(CHART / "ci/minimal-values.yaml"))
    assert violations(values) == {}
    assert where in violations(merged(values, wrong))


NAME = r"[A-Za-z_]\w*"


def references(text):
    """Yields the paths of the values that a template refers to, directly or by a variable assigned from `.Values.x`."""
    code = "\n".join(re.findall(r"\{\{-?\s*(?!/\*)(.*?)\}\}", text, re.DOTALL))
    code = re.sub(r'"(?:[^"\\]|\\.)*"|`[^`]*`', '""', code)
    variables = {}
    for name, path in re.findall(rf"^(?!range\b).*\$({NAME})\s*:?=\s*(?:\$(?:{NAME})?)?\.Values((?:\.{NAME})+)(?=\s*$)", code, re.MULTILINE):
        variables[name] = path
    for path in re.findall(rf"\.Values((?:\.{NAME})+)", code):
        yield tuple(path[1:].split("."))
    for name, path in re.findall(rf"\$({NAME})((?:\.{NAME})+)", code):
        if name in variables:
            yield tuple((variables[name] + path)[1:].split("."))


def known(path, values, schema):
    """Returns whether the path has a default or is in the schema."""
    node = values
    for name in path:
        if not isinstance(node, dict) or name not in node:
            break
        node = node[name]
    else:
        return True
    for name in path:
        while "$ref" in schema:
            schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
        if name not in schema.get("properties", {}):
            return False
        schema = schema["properties"][name]
    return True


def unknown(chart, text):
    values = read(chart / "values.yaml")
    file = chart / "values.schema.json"
    schema = json.loads(file.read_text()) if file.exists() else {}
    return {".".join(path) for path in references(text) if not known(path, values, schema)}


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: str(chart.relative_to(TOP)))
def test_templates_refer_to_existing_values(chart):
    templates = [path for path in sorted((chart / "templates").rglob("*")) if path.is_file()]
    assert any(list(references(path.read_text())) for path in templates)
    assert {path.name: unknown(chart, path.read_text()) for path in templates if unknown(chart, path.read_text())} == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{{ .Values.replicas }}", {"replicas"}),
        ("{{- if and $.Values.image.tagg .Values.image.tag }}", {"image.tagg"}),
        ("{{- $scaling := .Values.autoscaling }}\n{{ $scaling.maxReplica }}{{ $scaling.maxReplicas }}", {"autoscaling.maxReplica"}),
        # The values of each are its own.
        ("{{- range $name, $one := .Values.config }}{{ $one.size }}{{ end }}", set()),
        ('{{/* .Values.gone */}}{{ fail "set .Values.gone" }}{{ .Values.filebeat.caSecret.name }}', set()),
    ],
)
def test_references_to_missing_values_are_found(text, found):
    assert unknown(CHART, text) == found
