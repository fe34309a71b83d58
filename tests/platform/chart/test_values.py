"""Each value has an effect and is in the README, and misspelt values are rejected."""

import json
import re

import pytest
import yaml
from variables import EXAMPLES
from rendering import CHART, DEFAULTS, EVERYTHING, MINIMAL, SCHEMA, SHORT, VARIABLES, at, ci, leaves, merged, nested, resolved

LEAVES = dict(leaves())
EVERYTHING_SET = merged(DEFAULTS, yaml.safe_load((CHART / "ci/everything-values.yaml").read_text()))

REJECTED = {
    "HTTP_ADDR",
    "ADMIN_ADDR",
    "LOG_FILE",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
}

# Values that have no effect, and why they exist.
WITHOUT_EFFECT = {("global",): "Helm passes it to every subchart"}

# The changed values whose type the schema does not define.
OTHER = {
    "image.digest": "sha256:" + "f" * 64,
    "filebeat.image.digest": "sha256:" + "f" * 64,
    "tests.image.digest": "sha256:" + "f" * 64,
    "imagePullSecrets": [{"name": "other"}],
    "podDisruptionBudget.maxUnavailable": "50%",
    "topologySpread": [],
    "tolerations": [],
    "resources.requests.cpu": "124m",
    "terminationGracePeriodSeconds": 300,
    "networkPolicy.extraEgress": [],
    "networkPolicy.valkey": [{"podSelector": {}}],
    "networkPolicy.extraIngress": [],
    "filebeat.hosts": ["https://other.example.com"],
    "affinity.nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []},
    "affinity.podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []},
    "affinity.podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []},
    "autoscaling.behavior.scaleUp.policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
    "autoscaling.behavior.scaleDown.policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
    "ingress.host": "other.example.com",
    "gateway.parentRefs": [{"name": "other"}],
    "gateway.redirectParentRefs": [],
    "gateway.hostnames": ["other.example.com"],
    "image.repository": "other",
    "serviceMonitor.interval": "17s",
    "image.tag": "v2",
    "imageRegistry": "other.example.com",
    "config": {},
    "extraEnv": [{"name": "OTHER", "value": "1"}],
    "extraVolumes": [],
    "extraVolumeMounts": [],
    "resources.requests.memory": "123Mi",
    "resources.requests.ephemeral-storage": "123Mi",
    "resources.limits.cpu": "123",
    "resources.limits.memory": "20Gi",
    "resources.limits.ephemeral-storage": "1Gi",
    "filebeat.resources.requests.cpu": "123m",
    "filebeat.resources.requests.memory": "123Mi",
    "filebeat.resources.requests.ephemeral-storage": "123Mi",
    "filebeat.resources.limits.cpu": "123",
    "filebeat.resources.limits.memory": "1Gi",
    "filebeat.resources.limits.ephemeral-storage": "1Gi",
}

# Renderings in which a value has an effect, if not with everything on; or values to set with it.
WHERE = {
    "replicaCount": MINIMAL,
    "filebeat.caSecret.name": ci("filebeat"),
    "filebeat.caSecret.key": ci("filebeat"),
    "tests.tokenSecret.key": EVERYTHING.but({"tests": {"tokenSecret": {"name": "ready"}}}),
}

# Values to change together with a value.
TOGETHER = {
    "ingress.tls.secretName": {"ingress": {"tls": {"certManager": {"issuer": "", "http01": False}}}},
}


def other(name, schema, current):
    """Returns another valid value."""
    if name in OTHER:
        return OTHER[name]
    if "enum" in schema:
        return next(value for value in schema["enum"] if value != current)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    pattern = schema.get("pattern", "")
    if "boolean" in kinds:
        return not current
    if "integer" in kinds:
        return 7 if current != 7 else 8
    if "number" in kinds:
        return 0.3 if current != 0.3 else 0.4
    if "object" in kinds:
        return (current or {}) | {"example.com/other": "value"}
    candidates = ["other", "7s", "https://other.example.com", "a_b", "eu-west-1"]
    return next(text for text in candidates if re.search(pattern, text) and text != current)


@pytest.mark.parametrize("path", [path for path in LEAVES if path not in WITHOUT_EFFECT], ids=".".join)
def test_each_value_changes_the_rendering(path):
    name = ".".join(path)
    base = WHERE.get(name, EVERYTHING if path[0] in ("dashboards", "prometheusRule") else SHORT)
    files = [yaml.safe_load(file.read_text()) for file in base.files]
    current = at(merged(DEFAULTS, *files, json.loads(base.more)), path)
    value = other(name, LEAVES[path], current)
    value = {"RUST_LOG": "debug"} if name == "config" else value
    assert value != current
    changed = base.but(merged(nested(path, value), TOGETHER.get(name, {})))
    assert changed.text != base.text


def test_each_variable_reaches_the_service():
    """Other valid values than the defaults: those of the variables' examples."""
    given = {name: value for name, value in EXAMPLES.items() if name != "AUTH_MODE"}
    assert set(given) | {"AUTH_MODE"} | REJECTED == set(VARIABLES)
    for names in (set(given) - {"COGNITO_ENDPOINT"}, set(given) - {"COGNITO_ADDITIONAL_REGIONS"}):
        chosen = {name: given[name] for name in names}
        variables = EVERYTHING.but({"config": chosen, "valkey": {"passwordSecret": {"name": ""}}}).variables()
        for name, value in chosen.items():
            assert value != VARIABLES[name][0]
            # The chart adds to this one.
            assert variables[name].split(",")[0] == value if name == "OTEL_RESOURCE_ATTRIBUTES" else variables[name] == value
    assert ci("development").variables()["AUTH_MODE"] == "disabled"


def test_values_without_effect_exist():
    assert set(WITHOUT_EFFECT) <= set(LEAVES)
    assert EVERYTHING.but({"global": {"x": "y"}}).text == EVERYTHING.text


def test_everything_has_each_value():
    """Each option is on in one of the values files for everything, and each list and map is not empty."""
    off = [path for path, schema in LEAVES.items() if schema.get("type") == "boolean" and at(EVERYTHING_SET, path) is False]
    assert all(path[-1] != "enabled" for path in off), off
    empty = [
        ".".join(path)
        for path, schema in LEAVES.items()
        if schema.get("type") in ("array", "object")
        and not at(EVERYTHING_SET, path)
        and at(DEFAULTS, path) is not None
        # All pods of the namespace.
        and path[-1] != "podSelector"
    ]
    assert empty == []


def test_each_default_is_in_the_schema():
    """Rendering validates the types of the defaults; this test finds values that the schema lacks."""

    def compare(values, schema, path=()):
        schema = resolved(schema)
        for name, value in values.items():
            assert name in schema["properties"], (*path, name)
            if isinstance(value, dict) and "properties" in resolved(schema["properties"][name]):
                compare(value, schema["properties"][name], (*path, name))

    compare(DEFAULTS, SCHEMA)


def objects(schema=SCHEMA, path=()):
    """Yields the paths of the maps with fixed keys."""
    schema = resolved(schema)
    if "properties" in schema:
        assert schema["additionalProperties"] is False, f"{path} accepts any key"
        yield path
        for name, part in schema["properties"].items():
            yield from objects(part, (*path, name))


def test_a_misspelt_value_is_rejected_at_every_level():
    paths = list(objects())
    assert len(paths) > 30
    error = MINIMAL.but(merged(*(nested((*path, "misspelt"), "x") for path in paths))).error
    for path in paths:
        assert f"at '{''.join('/' + name for name in path)}': additional properties 'misspelt' not allowed" in error


def test_misspelt_keys_in_lists_are_rejected():
    lists = {
        "imagePullSecrets": {"name": "x"},
        "topologySpread": {"topologyKey": "x", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"},
        "tolerations": {"key": "x"},
    }
    error = MINIMAL.but({name: [item | {"misspelt": 1}] for name, item in lists.items()}).error
    for name in lists:
        assert f"at '/{name}/0': additional properties 'misspelt' not allowed" in error


README = (CHART / "README.md").read_text()
ROWS = dict(re.findall(r"^\| `([a-zA-Z0-9.-]+)` \| (.*?) \|", README, re.M))


def test_the_readme_has_every_value():
    rows = [tuple(name.split(".")) for name in ROWS]
    missing = [
        ".".join(path) for path in LEAVES if path not in WITHOUT_EFFECT and not any(path[: len(row)] == row for row in rows)
    ]
    assert missing == []


def test_the_readme_has_no_other_value():
    def is_known(path, schema=SCHEMA):
        schema = resolved(schema)
        return not path or (path[0] in schema.get("properties", {}) and is_known(path[1:], schema["properties"][path[0]]))

    assert [name for name in ROWS if not is_known(tuple(name.split(".")))] == []


@pytest.mark.parametrize("name", ROWS)
def test_the_readme_has_the_defaults(name):
    default = at(DEFAULTS, tuple(name.split(".")))
    cell = ROWS[name]
    if cell == "below":
        assert isinstance(default, dict | list) and default
    elif cell in ("required", "computed", "none"):
        assert default in ("", None)
    else:
        assert yaml.safe_load(cell.strip("`")) == default


def test_the_readme_explains_why_there_is_no_cpu_limit():
    assert "cpu" not in DEFAULTS["resources"]["limits"]
    assert "No CPU limit" in README
