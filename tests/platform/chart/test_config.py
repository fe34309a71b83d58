"""The variables that the chart sets, read by the service."""

import re
import subprocess

import pytest
from rendering import ALL, CHART, EVERYTHING, MINIMAL, TOP, ci, expanded

from harness.process import ENVIRONMENT
from harness.shoutback import binary


def checked(variables):
    result = subprocess.run([binary(), "check-config"], env=ENVIRONMENT | variables, capture_output=True, text=True)
    return result.returncode, result.stdout + result.stderr


@pytest.mark.parametrize("name", ALL)
def test_the_service_accepts_them(name):
    code, output = checked(ALL[name].variables())
    assert code == 0, output
    assert "no variable of shoutback" not in output


def test_the_service_rejects_a_wrong_one():
    code, output = checked(MINIMAL.variables() | {"REQUEST_TIMEOUT": "soon"})
    assert code == 2 and "REQUEST_TIMEOUT" in output


def test_the_chart_computes_with_the_services_defaults():
    page = (TOP / "docs/configuration.md").read_text()
    documented = dict(re.findall(r"^\| `([A-Z0-9_]+)` \| [`*]([^`*]*)[`*] \|", page, re.M))
    text = (CHART / "templates/_units.tpl").read_text()
    block = text[text.index('define "shoutback.defaults"') :]
    defaults = re.findall(r'^([A-Z0-9_]+): "?([^"\n]*)"?$', block[: block.index("end -")], re.M)
    assert len(defaults) > 8
    for name, default in defaults:
        assert (documented[name] if documented[name] != "unset" else "") == default


def test_numbers_are_not_reformatted():
    variables = EVERYTHING.variables()
    assert variables["MAX_CONNECTIONS"] == "1000000"
    assert variables["SHOUTCLOUD_RETRY_BUDGET"] == "0.1"


class TestResourceAttributes:
    def test_they_identify_the_pod_and_its_node(self):
        attributes = MINIMAL.variables()["OTEL_RESOURCE_ATTRIBUTES"].split(",")
        assert set(attributes) == {
            "deployment.environment.name=staging",
            "k8s.namespace.name=shoutback",
            "k8s.node.name=node-1",
            "k8s.pod.name=shoutback-0",
            "service.instance.id=shoutback-0",
        }

    def test_those_of_the_values_stay(self):
        attributes = EVERYTHING.variables()["OTEL_RESOURCE_ATTRIBUTES"].split(",")
        assert attributes[:2] == ["service.namespace=consumers", "team=it%20costs%20$5"]
        assert "k8s.pod.name=shoutback-0" in attributes

    @pytest.mark.parametrize("value", ["", "a=b,", "a=b , c=d", "a=$(POD_NAME)"])
    def test_the_service_can_read_it(self, value):
        variables = MINIMAL.but({"config": {"OTEL_RESOURCE_ATTRIBUTES": value}}).variables()
        if "$" in value:
            # The service rejects brackets; this only checks that $(POD_NAME) is not expanded.
            assert variables["OTEL_RESOURCE_ATTRIBUTES"].startswith(value)
        else:
            assert checked(variables)[0] == 0, variables["OTEL_RESOURCE_ATTRIBUTES"]

    def test_variables_are_expanded_as_in_kubernetes(self):
        assert expanded("$(A)-$$(A)-$$$(A)$", {"A": "x"}) == "x-$(A)-$x$"


def seconds(**config):
    return MINIMAL.but({"config": config}).pod["spec"]["terminationGracePeriodSeconds"]


class TestTerminationGracePeriod:
    """SHUTDOWN_GRACE, SHUTDOWN_TIMEOUT, and 5 s."""

    @pytest.mark.parametrize(
        ("config", "expected"),
        [
            ({}, 35),
            ({"SHUTDOWN_GRACE": "500ms"}, 31),
            ({"SHUTDOWN_GRACE": "1001ms", "SHUTDOWN_TIMEOUT": "0ms"}, 7),
            ({"SHUTDOWN_TIMEOUT": "2m"}, 130),
            ({"SHUTDOWN_GRACE": "0s", "SHUTDOWN_TIMEOUT": "1h"}, 3605),
            ({"SHUTDOWN_GRACE": "1d"}, 86430),
        ],
    )
    def test_it_follows_from_the_variables(self, config, expected):
        assert seconds(**config) == expected

    def test_a_longer_one_may_be_set(self):
        assert MINIMAL.but({"terminationGracePeriodSeconds": 36}).pod["spec"]["terminationGracePeriodSeconds"] == 36

    def test_it_includes_the_time_of_filebeat(self):
        assert ci("filebeat").pod["spec"]["terminationGracePeriodSeconds"] == 46


@pytest.mark.parametrize(
    ("size", "expected"),
    [("64KiB", 65536), ("1MiB", 1 << 20), ("1 GiB", 1 << 30), (131072, 131072), ("131072B", 131072)],
)
def test_the_logs_volume_holds_all_of_the_log(size, expected):
    rendering = ci("filebeat").but({"config": {"LOG_FILE_MAX_BYTES": size}})
    [volume] = [volume for volume in rendering.pod["spec"]["volumes"] if volume["name"] == "log"]
    assert int(volume["emptyDir"]["sizeLimit"]) == expected + expected // 16 + (1 << 20)
    assert checked(rendering.variables())[0] == 0
