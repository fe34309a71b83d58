"""The variables that the chart sets, as the service reads them."""

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
def test_the_service_takes_them(name):
    code, said = checked(ALL[name].variables())
    assert code == 0, said
    assert "no variable of shoutback" not in said


def test_the_service_would_say_so():
    code, said = checked(MINIMAL.variables() | {"REQUEST_TIMEOUT": "soon"})
    assert code == 2 and "REQUEST_TIMEOUT" in said


def test_the_chart_computes_with_the_services_defaults():
    page = (TOP / "docs/configuration.md").read_text()
    documented = dict(re.findall(r"^\| `([A-Z0-9_]+)` \| `([^`]*)` \|", page, re.M))
    text = (CHART / "templates/_units.tpl").read_text()
    block = text[text.index('define "shoutback.defaults"') :]
    ours = re.findall(r'^([A-Z0-9_]+): "?([^"\n]*)"?$', block[: block.index("end -")], re.M)
    assert len(ours) > 8
    for name, default in ours:
        assert (documented[name] if documented[name] != "none" else "") == default


def test_numbers_are_written_as_they_are():
    variables = EVERYTHING.variables()
    assert variables["MAX_CONNECTIONS"] == "1000000"
    assert variables["SHOUTCLOUD_RETRY_BUDGET"] == "0.1"


class TestWhatTheProcessSaysOfItself:
    def test_it_is_who_and_where_it_is(self):
        said = MINIMAL.variables()["OTEL_RESOURCE_ATTRIBUTES"].split(",")
        assert set(said) == {
            "deployment.environment.name=staging",
            "k8s.namespace.name=shoutback",
            "k8s.node.name=node-1",
            "k8s.pod.name=shoutback-0",
            "service.instance.id=shoutback-0",
        }

    def test_what_the_values_say_stays(self):
        said = EVERYTHING.variables()["OTEL_RESOURCE_ATTRIBUTES"].split(",")
        assert said[:2] == ["service.namespace=consumers", "team=it%20costs%20$5"]
        assert "k8s.pod.name=shoutback-0" in said

    @pytest.mark.parametrize("given", ["", "a=b,", "a=b , c=d", "a=$(POD_NAME)"])
    def test_the_service_can_read_it(self, given):
        variables = MINIMAL.but({"config": {"OTEL_RESOURCE_ATTRIBUTES": given}}).variables()
        if "$" in given:
            # The service takes no brackets; that none was filled in is what counts here.
            assert variables["OTEL_RESOURCE_ATTRIBUTES"].startswith(given)
        else:
            assert checked(variables)[0] == 0, variables["OTEL_RESOURCE_ATTRIBUTES"]

    def test_kubernetes_is_read_here_as_it_is(self):
        assert expanded("$(A)-$$(A)-$$$(A)$", {"A": "x"}) == "x-$(A)-$x$"


def seconds(**config):
    return MINIMAL.but({"config": config}).pod["spec"]["terminationGracePeriodSeconds"]


class TestTheGraceOfAStop:
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

    def test_filebeat_has_its_time_after_that(self):
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
