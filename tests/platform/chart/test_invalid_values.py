"""Values that the schema and the templates reject, with messages that name the remedy."""

import re

import pytest
import yaml
from rendering import ENVIRONMENTS, EVERYTHING, FILLED, MINIMAL, SCHEMA, TOP, Rendering, at, ci, merged

DEVELOPMENT = ci("development")
FILEBEAT = ci("filebeat")
NOTHING = Rendering(())

INVALID = {
    "nothing is set": (NOTHING, {}, "/environment': value must be one of 'development', 'staging', 'production'"),
    "another environment": (MINIMAL, {"environment": "prod"}, "/environment': value must be one of"),
    "no pool": (NOTHING, {"environment": "staging"}, "missing properties 'COGNITO_USER_POOL_IDS', 'COGNITO_CLIENT_IDS'"),
    "no pool, set explicitly": (
        DEVELOPMENT,
        {"config": {"AUTH_MODE": "cognito"}},
        "missing properties 'COGNITO_USER_POOL_IDS', 'COGNITO_CLIENT_IDS'",
    ),
    "no authentication in staging": (
        MINIMAL,
        {"config": {"AUTH_MODE": "disabled"}},
        "/config/AUTH_MODE': value must be 'cognito'",
    ),
    "no authentication in production": (
        EVERYTHING,
        {"config": {"AUTH_MODE": "disabled"}},
        "/config/AUTH_MODE': value must be 'cognito'",
    ),
    "sign-in without a client": (
        MINIMAL,
        {"config": {"DOCS_COGNITO_DOMAIN": "auth.example.com"}},
        "'DOCS_CLIENT_ID' required, if 'DOCS_COGNITO_DOMAIN' exists",
    ),
    "sign-in without a domain": (
        MINIMAL,
        {"config": {"DOCS_CLIENT_ID": "1example23456789"}},
        "'DOCS_COGNITO_DOMAIN' required, if 'DOCS_CLIENT_ID' exists",
    ),
    "a URL as sign-in domain": (
        MINIMAL,
        {"config": {"DOCS_COGNITO_DOMAIN": "https://auth.example.com", "DOCS_CLIENT_ID": "1example23456789"}},
        "/config/DOCS_COGNITO_DOMAIN': 'https://auth.example.com' does not match pattern",
    ),
    "no tag": (MINIMAL, {"image": {"tag": ""}}, "image.tag is empty: it must be the full SHA of the commit"),
    "no tag in development": (DEVELOPMENT, {"image": {"tag": ""}}, "image.tag is empty"),
    "a version as tag": (MINIMAL, {"image": {"tag": "1.2.3"}}, 'image.tag is "1.2.3", but in staging it must be the full SHA'),
    "latest": (EVERYTHING, {"image": {"tag": "latest"}}, 'image.tag is "latest", but in production it must be the full SHA'),
    "no digest": (
        MINIMAL,
        {"image": {"digest": ""}},
        "image.digest is empty, but in staging the image must be named by its digest",
    ),
    "half a digest": (MINIMAL, {"image": {"digest": "sha256:0123"}}, "/image/digest': 'sha256:0123' does not match pattern"),
    "a digest in the repository": (MINIMAL, {"image": {"repository": "shoutback@sha256"}}, "/image/repository': "),
    "a pull policy": (MINIMAL, {"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy': value must be one of 'Always'"),
    "text for a number": (MINIMAL, {"replicaCount": "three"}, "/replicaCount': got string, want integer"),
    "no replica": (MINIMAL, {"replicaCount": 0}, "/replicaCount': minimum: got 0, want 1"),
    "an unknown variable": (
        MINIMAL,
        {"config": {"MAX_BODY": "1KiB"}},
        "/config': additional properties 'MAX_BODY' not allowed",
    ),
    "a duration without unit": (
        MINIMAL,
        {"config": {"REQUEST_TIMEOUT": 30}},
        "/config/REQUEST_TIMEOUT': got number, want string",
    ),
    "a duration of another format": (
        MINIMAL,
        {"config": {"REQUEST_TIMEOUT": "1m30s"}},
        "/config/REQUEST_TIMEOUT': '1m30s' does not match",
    ),
    "a size of another format": (
        MINIMAL,
        {"config": {"MAX_BODY_BYTES": "64kB"}},
        "/config/MAX_BODY_BYTES': '64kB' does not match",
    ),
    "a ratio above one": (
        MINIMAL,
        {"config": {"BREAKER_SLOW_RATE": 1.5}},
        "/config/BREAKER_SLOW_RATE': maximum: got 1.5, want 1",
    ),
    "a number above its bound": (MINIMAL, {"config": {"BREAKER_PROBES": 2000000}}, "/config/BREAKER_PROBES': maximum"),
    "an unknown choice": (MINIMAL, {"config": {"SHOUTCLOUD_FALLBACK": "remote"}}, "value must be one of 'none', 'local'"),
    "a pool's ARN": (MINIMAL, {"config": {"COGNITO_USER_POOL_IDS": "arn:aws:cognito"}}, "/config/COGNITO_USER_POOL_IDS': "),
    "an issuer without TLS": (
        MINIMAL,
        {"config": {"COGNITO_ENDPOINT": "http://idp.example.com"}},
        "/config/COGNITO_ENDPOINT': ",
    ),
    "the public port": (MINIMAL, {"config": {"HTTP_ADDR": "0.0.0.0:80"}}, "config.HTTP_ADDR is set by the chart"),
    "the admin port": (MINIMAL, {"config": {"ADMIN_ADDR": "0.0.0.0:81"}}, "config.ADMIN_ADDR is set by the chart"),
    "the log file": (
        MINIMAL,
        {"config": {"LOG_FILE": "/tmp/x"}},
        "config.LOG_FILE is set by the chart: the root file system is read-only",
    ),
    "headers for the collector": (
        MINIMAL,
        {"config": {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=x"}},
        "config.OTEL_EXPORTER_OTLP_HEADERS would put credentials into a ConfigMap",
    ),
    "headers for spans": (
        MINIMAL,
        {"config": {"OTEL_EXPORTER_OTLP_TRACES_HEADERS": "authorization=x"}},
        "config.OTEL_EXPORTER_OTLP_TRACES_HEADERS would put credentials into a ConfigMap",
    ),
    "a resource attribute of the chart": (
        MINIMAL,
        {"config": {"OTEL_RESOURCE_ATTRIBUTES": "a=b, k8s.pod.name = x"}},
        "config.OTEL_RESOURCE_ATTRIBUTES has k8s.pod.name, which the chart sets",
    ),
    "off without quotes": (MINIMAL, {"config": {"RATE_LIMIT_PER_CLIENT": False}}, 'Write "off"'),
    "a label of the chart": (MINIMAL, {"podLabels": {"app.kubernetes.io/name": "x"}}, "podLabels has app.kubernetes.io/name"),
    "too short a grace": (
        MINIMAL,
        {"terminationGracePeriodSeconds": 34},
        "terminationGracePeriodSeconds is 34, but shutdown takes up to 35 s",
    ),
    "too short a grace for Filebeat": (FILEBEAT, {"terminationGracePeriodSeconds": 45}, "shutdown takes up to 46 s"),
    "a budget that blocks": (
        MINIMAL,
        {"podDisruptionBudget": {"maxUnavailable": 0}},
        "/podDisruptionBudget/maxUnavailable': minimum",
    ),
    "a budget that blocks, in percent": (
        MINIMAL,
        {"podDisruptionBudget": {"maxUnavailable": "0%"}},
        "/podDisruptionBudget/maxUnavailable': '0%' does not match",
    ),
    "no requests": (MINIMAL, {"resources": {"requests": {"cpu": None}}}, "/resources/requests': missing property 'cpu'"),
    "no memory limit": (
        MINIMAL,
        {"resources": {"limits": {"memory": None}}},
        "/resources/limits': missing property 'memory'",
    ),
    "a minimum above the maximum": (
        MINIMAL,
        {"autoscaling": {"enabled": True, "minReplicas": 5, "maxReplicas": 4}},
        "autoscaling.minReplicas (5) is above autoscaling.maxReplicas (4)",
    ),
    "scaling without a metric": (
        MINIMAL,
        {"autoscaling": {"enabled": True, "targetCPUUtilizationPercentage": None}},
        "autoscaling has no metric",
    ),
    "no service account": (MINIMAL, {"serviceAccount": {"create": False}}, "set serviceAccount.name to the one to use"),
    "Filebeat without Elasticsearch": (MINIMAL, {"filebeat": {"enabled": True}}, "/filebeat/hosts': minItems: got 0, want 1"),
    "Filebeat without a key": (
        FILEBEAT,
        {"filebeat": {"apiKeySecret": {"name": ""}}},
        "/filebeat/apiKeySecret/name': minLength",
    ),
    "Filebeat without certificates": (
        FILEBEAT,
        {"filebeat": {"caSecret": {"name": ""}}},
        "filebeat needs the certificates to trust",
    ),
    "Filebeat with two sources of certificates": (FILEBEAT, {"filebeat": {"caConfigMap": {"name": "x"}}}, "not both"),
    "rules without runbooks": (MINIMAL, {"prometheusRule": {"enabled": True}}, "/prometheusRule/runbookBaseUrl': minLength"),
    "dashboards without Kibana": (MINIMAL, {"dashboards": {"enabled": True}}, "/dashboards/kibanaBaseUrl': minLength"),
    "an address with a slash": (
        EVERYTHING,
        {"prometheusRule": {"runbookBaseUrl": "https://x/"}},
        "/prometheusRule/runbookBaseUrl': ",
    ),
    "credentials for no endpoint": (MINIMAL, {"tests": {"credentialsSecret": {"name": "x"}}}, "/tests/tokenUrl': minLength"),
    "an invalid CIDR": (
        MINIMAL,
        {"networkPolicy": {"extraEgressCIDRs": [{"cidr": "10.0.0.1", "ports": [1]}]}},
        "/cidr': '10.0.0.1'",
    ),
}


@pytest.mark.parametrize(("rendering", "more", "message"), INVALID.values(), ids=INVALID)
def test_it_is_rejected_with_a_remedy(rendering, more, message):
    assert message in rendering.but(more).error


def test_each_message_of_the_templates_is_provoked():
    """Placeholders match any text; test_rendering.py of the ingress covers Ingress and Gateway."""
    messages = []
    for name in ("_checks.tpl", "_helpers.tpl"):
        text = (TOP / "helm/shoutback/templates" / name).read_text()
        messages += re.findall(r'fail \(?(?:printf )?"((?:[^"\\]|\\.)*)"', text)
    assert len(messages) > 12
    provoked = [rendering.but(more).error for rendering, more, _ in INVALID.values()]
    provoked += [Rendering(ENVIRONMENTS[name][:-1]).error for name in ENVIRONMENTS]
    for message in messages:
        pattern = re.sub(r"%[sdq]", ".*", re.escape(message.replace('\\"', '"')).replace("%", "%"))
        assert any(re.search(pattern, text) for text in provoked), f"nothing provokes: {message}"


@pytest.mark.parametrize("name", ENVIRONMENTS)
class TestAnEnvironment:
    def test_is_not_rendered_with_placeholders(self, name):
        text = ENVIRONMENTS[name][0].read_text()
        error = Rendering(ENVIRONMENTS[name][:-1]).error
        placeholders = set(re.findall(r"REPLACE_WITH_[A-Z0-9_]*[A-Z0-9]", text))
        assert placeholders
        assert "the values contain placeholders: " + ", ".join(sorted(placeholders)) in error

    def test_has_test_values_for_all_placeholders(self, name):
        """They change nothing else, so the tested values are the deployed ones."""

        def paths(values, path=()):
            if isinstance(values, dict):
                for key, part in values.items():
                    yield from paths(part, (*path, key))
            else:
                yield path

        values, filled = (yaml.safe_load(path.read_text()) for path in ENVIRONMENTS[name])
        to_fill = {path for path in paths(values) if "REPLACE_WITH_" in str(at(values, path))}
        to_fill |= {("image", "tag"), ("image", "digest")}
        assert set(paths(filled)) == to_fill

    def test_is_not_rendered_before_the_first_release(self, name):
        nothing = Rendering(ENVIRONMENTS[name]).but({"image": {"tag": "", "digest": ""}})
        assert "The release pipeline sets it" in nothing.error
        only_the_tag = nothing.but({"image": {"tag": "f" * 40}})
        assert "The release pipeline sets it" in only_the_tag.error


def test_the_schema_accepts_each_default_of_the_service_and_rejects_nonsense():
    page = (TOP / "docs/configuration.md").read_text()
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \| [`*]([^`*]*)[`*] \| .*Accepts (.*)\. \|", page, re.M)
    schemas = SCHEMA["properties"]["config"]["properties"]
    constrained = {name: (default, accepts) for name, default, accepts in rows if schemas[name].keys() != {"description"}}
    no_values = {"required", "unset", *constrained}
    defaults = {
        name: default
        for name, (default, accepts) in constrained.items()
        if default not in no_values or default in re.split(r", | or ", accepts)
    }
    assert len(defaults) > 45
    assert MINIMAL.but({"config": defaults}).text
    error = MINIMAL.but({"config": {name: "=\n=" for name in constrained}}).error
    # The service validates these more precisely than a pattern could.
    free = {"AUTH_REQUIRED_SCOPES", "AUTH_ALLOWED_GROUPS", "RUST_LOG"}
    assert {name for name in constrained if f"at '/config/{name}'" not in error} == free


def test_filled_values_are_not_an_environment():
    assert "environment" not in merged(yaml.safe_load(FILLED.read_text()))
