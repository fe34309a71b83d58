"""The variables that the chart sets, read by the service."""

import re
import subprocess

import pytest
from rendering import ALL, EVERYTHING, MINIMAL, VARIABLES, ci, expanded
from variables import candidates

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


# URLs that the service accepts, but not as they are written; the chart rejects them.
REWRITTEN = {"http://1.2.3", "http://h/a b", "https:///a", "HTTPS://h"}


def rejected(config):
    """Returns the variables that the chart names in its problems, each with the sentence; none if it renders."""
    rendering = FREE.but({"config": config})
    if rendering.result.returncode == 0:
        return {}
    return dict(re.findall(r"^- config\.([A-Z0-9_]+) (.*(?:\n(?!- |\n).*)*)", rendering.error, re.M))


FREE = ci("development")


def test_chart_and_service_agree_about_every_value():
    """Each round sets all variables, each to another value of its kind, which chart and service check at once."""
    names = [name for name in VARIABLES if name not in ("HTTP_ADDR", "ADMIN_ADDR", "LOG_FILE") and not name.endswith("_HEADERS")]
    values = {name: candidates(name) for name in names}
    tried, wrong = 0, []
    for number in range(max(map(len, values.values()))):
        # Cognito's variables are checked whatever the mode is.
        config = {name: each[number] for name, each in values.items() if number < len(each) and name != "AUTH_MODE"}
        code, output = checked(FREE.variables() | config)
        by_service = dict(re.findall(r"^(?:error: )?\W*([A-Z0-9_]+): (must .*|is required.*)$", output, re.M))
        by_chart = rejected(config | {"AUTH_MODE": "disabled"})
        assert (code == 0) == (not by_service), output
        tried += len(config)
        for name, value in config.items():
            mine, its = name in by_chart, name in by_service
            # Of conflicts between two variables each names one.
            conflict = re.search("must not be|must be shorter|change one of|need each other|is required if", by_service.get(name, "") + by_chart.get(name, ""))
            if mine != its and not conflict and not (mine and value in REWRITTEN):
                wrong.append((name, value, by_chart.get(name), by_service.get(name)))
    assert wrong == []
    assert tried > 2000


CONFLICTS = {
    "an attempt longer than the deadline": {"SHOUTCLOUD_ATTEMPT_TIMEOUT": "6s"},
    "a deadline of the request's": {"SHOUTCLOUD_DEADLINE": "30s"},
    "a deadline in another unit": {"SHOUTCLOUD_DEADLINE": "29999ms", "REQUEST_TIMEOUT": "29s"},
    "a slow call longer than the attempt": {"BREAKER_SLOW_CALL": "2001ms"},
    "keys that expire before they are fetched": {"COGNITO_JWKS_MAX_STALE": "599s"},
    "batches larger than the queue": {"OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "11"},
    "sign-in by an unknown client": {"DOCS_COGNITO_DOMAIN": "a.example.com", "DOCS_CLIENT_ID": "nobody"},
    "sign-in without a client": {"DOCS_COGNITO_DOMAIN": "a.example.com"},
    "a pool in no region": {"COGNITO_USER_POOL_IDS": "us-east-2_a,moon-base-1_b"},
    "a replica in another partition": {"COGNITO_ADDITIONAL_REGIONS": "us-gov-west-1"},
    "a shared cache nowhere": {"CACHE_SHARED": "on"},
    "a password for nothing": {"VALKEY_PASSWORD_FILE": "/run/secrets/valkey"},
    "replicas of another issuer": {"COGNITO_ENDPOINT": "https://a.example.com", "COGNITO_ADDITIONAL_REGIONS": "eu-west-1"},
}
HARMONY = {
    "a short attempt": {"SHOUTCLOUD_ATTEMPT_TIMEOUT": "1s"},
    "a shared cache": {"VALKEY_URL": "redis://cache", "CACHE_SHARED": "on", "VALKEY_PASSWORD_FILE": "/run/secrets/valkey"},
    "a small queue": {"OTEL_BSP_MAX_QUEUE_SIZE": "10"},
    "an attempt of the deadline": {"SHOUTCLOUD_ATTEMPT_TIMEOUT": "5s"},
    "a pool elsewhere": {"COGNITO_USER_POOL_IDS": "local_a", "COGNITO_ENDPOINT": "https://a.example.com"},
    "a pool of each partition": {"COGNITO_USER_POOL_IDS": "us-east-2_a,cn-north-1_b", "COGNITO_ADDITIONAL_REGIONS": "cn-northwest-1, eu-west-1"},
    "sign-in by a client": {"DOCS_COGNITO_DOMAIN": "a.example.com", "DOCS_CLIENT_ID": "1example23456789"},
}


@pytest.mark.parametrize("config", [*CONFLICTS.values(), *HARMONY.values()], ids=[*CONFLICTS, *HARMONY])
def test_chart_and_service_agree_about_conflicts(config):
    rendering = MINIMAL.but({"config": config, "networkPolicy": {"enabled": False}})
    accepted = checked(MINIMAL.variables() | config)[0] == 0
    assert accepted == (config in HARMONY.values())
    assert (rendering.result.returncode == 0) == accepted, rendering.result.stderr


def test_a_password_is_not_put_into_a_config_map():
    rendering = MINIMAL.but({"config": {"VALKEY_URL": "rediss://app:s3cret@cache"}})
    assert rendering.result.returncode != 0
    assert "VALKEY_PASSWORD_FILE" in rendering.error and "s3cret" not in rendering.error


def test_the_chart_computes_with_the_services_defaults():
    """Without config, it derives the same as with each default set explicitly."""
    explicit = {name: default for name, (default, _) in VARIABLES.items() if default not in ("required", "unset") and not default.startswith(("COGNITO_", "OTEL_EXP"))}
    explicit = {name: default for name, default in explicit.items() if name not in ("HTTP_ADDR", "ADMIN_ADDR")}
    assert len(explicit) > 45
    assert MINIMAL.but({"config": explicit}).pod["spec"]["terminationGracePeriodSeconds"] == 35
    assert MINIMAL.but({"config": explicit}).container["resources"] == MINIMAL.container["resources"]


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

    @pytest.mark.parametrize("value", ["", "a=b,", "a=b , c=d"])
    def test_the_service_can_read_it(self, value):
        variables = MINIMAL.but({"config": {"OTEL_RESOURCE_ATTRIBUTES": value}}).variables()
        assert checked(variables)[0] == 0, variables["OTEL_RESOURCE_ATTRIBUTES"]

    def test_it_refers_to_no_variable(self):
        """The service accepts the value, and Kubernetes would otherwise expand it."""
        variables = MINIMAL.but({"config": {"OTEL_RESOURCE_ATTRIBUTES": "a=$(POD_NAME)"}}).variables()
        assert variables["OTEL_RESOURCE_ATTRIBUTES"].startswith("a=$(POD_NAME)")

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
            ({"SHUTDOWN_GRACE": "0s", "SHUTDOWN_TIMEOUT": "10m"}, 605),
            ({"SHUTDOWN_GRACE": "5m"}, 330),
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
