"""Values that the schema and the templates reject, with messages that name the remedy."""

import re

import pytest
import yaml
from rendering import DEFAULTS, ENVIRONMENTS, EVERYTHING, FILLED, MINIMAL, TOP, Rendering, at, ci, merged, nested

DEVELOPMENT = ci("development")
FILEBEAT = ci("filebeat")
NOTHING = Rendering(())

INVALID = {
    "nothing is set": (NOTHING, {}, "/environment': value must be one of 'development', 'staging', 'production'"),
    "another environment": (MINIMAL, {"environment": "prod"}, "/environment': value must be one of"),
    "no pool": (NOTHING, {"environment": "staging", "image": {"tag": "1", "digest": "sha256:" + "0" * 64}}, "config.COGNITO_USER_POOL_IDS is required"),
    "no pool, set explicitly": (
        DEVELOPMENT,
        {"config": {"AUTH_MODE": "cognito"}},
        "config.COGNITO_CLIENT_IDS is required",
    ),
    "no authentication in staging": (
        MINIMAL,
        {"config": {"AUTH_MODE": "disabled"}},
        "in staging every client must have a token",
    ),
    "no authentication in production": (
        EVERYTHING,
        {"config": {"AUTH_MODE": "disabled"}},
        "in production every client must have a token",
    ),
    "sign-in without a client": (
        MINIMAL,
        {"config": {"DOCS_COGNITO_DOMAIN": "auth.example.com"}},
        "need each other: set both, or neither",
    ),
    "sign-in without a domain": (
        MINIMAL,
        {"config": {"DOCS_CLIENT_ID": "1example23456789"}},
        "need each other: set both, or neither",
    ),
    "a shared cache without a server": (MINIMAL, {"config": {"CACHE_SHARED": "on"}}, "config.CACHE_SHARED needs config.VALKEY_URL: set it, or remove this"),
    "a server that no replica can reach": (MINIMAL, {"config": {"VALKEY_URL": "redis://cache"}}, "networkPolicy.valkey is empty, so no replica can connect to config.VALKEY_URL: list its peers"),
    "a Secret for nothing": (MINIMAL, {"valkey": {"passwordSecret": {"name": "store"}}}, "valkey.passwordSecret needs config.VALKEY_URL: set it, or remove this"),
    "two files with a password": (EVERYTHING, {"config": {"VALKEY_PASSWORD_FILE": "/run/valkey"}}, "config.VALKEY_PASSWORD_FILE is set by the chart with valkey.passwordSecret: remove one"),
    "a password in a URL": (MINIMAL, {"config": {"VALKEY_URL": "redis://:s3cret@cache"}}, "config.VALKEY_URL has a password"),
    "a URL as sign-in domain": (
        MINIMAL,
        {"config": {"DOCS_COGNITO_DOMAIN": "https://auth.example.com", "DOCS_CLIENT_ID": "1example23456789"}},
        "config.DOCS_COGNITO_DOMAIN must be a host name such as",
    ),
    "no tag": (MINIMAL, {"image": {"tag": ""}}, 'image.tag is "": name a version or a commit'),
    "no tag in development": (DEVELOPMENT, {"image": {"tag": ""}}, 'image.tag is ""'),
    "latest": (EVERYTHING, {"image": {"tag": "latest"}}, 'image.tag is "latest": name a version or a commit'),
    "no digest": (MINIMAL, {"image": {"digest": ""}}, "image.digest is empty: in staging an image is named by its digest"),
    "no digest of Filebeat": (FILEBEAT, {"filebeat": {"image": {"digest": ""}}}, "filebeat.image.digest is empty"),
    "no digest of curl": (EVERYTHING, {"tests": {"image": {"digest": ""}}}, "crane digest registry.example.com/cache/quay.io/curl/curl:8.17.0"),
    "half a digest": (MINIMAL, {"image": {"digest": "sha256:0123"}}, "/image/digest': 'sha256:0123' does not match pattern"),
    "a digest in the repository": (MINIMAL, {"image": {"repository": "shoutback@sha256"}}, "/image/repository': "),
    "a pull policy": (MINIMAL, {"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy': value must be one of 'Always'"),
    "text for a number": (MINIMAL, {"replicaCount": "three"}, "/replicaCount': got string, want integer"),
    "no replica": (MINIMAL, {"replicaCount": 0}, "/replicaCount': minimum: got 0, want 1"),
    "an unknown variable": (MINIMAL, {"config": {"MAX_BODY": "1KiB"}}, "config.MAX_BODY is no variable of the service"),
    "a list as a variable": (MINIMAL, {"config": {"COGNITO_CLIENT_IDS": ["a"]}}, "/config/COGNITO_CLIENT_IDS': got array, want"),
    "a duration without unit": (MINIMAL, {"config": {"REQUEST_TIMEOUT": 30}}, 'config.REQUEST_TIMEOUT must be a duration from 100ms to 10m, but is "30"'),
    "a secret in a URL": (MINIMAL, {"config": {"SHOUTCLOUD_URL": "ftp://example.com/key"}}, "config.SHOUTCLOUD_URL must be an http: or https: URL without user or fragment, such as http://api.shoutcloud.io/V1/SHOUT\n"),
    "a client that is not accepted": (
        MINIMAL,
        {"config": {"DOCS_COGNITO_DOMAIN": "auth.example.com", "DOCS_CLIENT_ID": "other"}},
        "config.DOCS_CLIENT_ID must be one of config.COGNITO_CLIENT_IDS",
    ),
    "an unknown region": (MINIMAL, {"config": {"COGNITO_USER_POOL_IDS": "xx-east-2_a"}}, "has a pool in xx-east-2, a region of no known AWS partition"),
    "a region of another partition": (MINIMAL, {"config": {"COGNITO_ADDITIONAL_REGIONS": "cn-north-1"}}, "COGNITO_ADDITIONAL_REGIONS has cn-north-1"),
    "regions of another issuer": (
        MINIMAL,
        {"config": {"COGNITO_ADDITIONAL_REGIONS": "eu-west-1", "COGNITO_ENDPOINT": "https://idp.example.com"}},
        "config.COGNITO_ADDITIONAL_REGIONS must not be set together with config.COGNITO_ENDPOINT",
    ),
    "an attribute twice": (MINIMAL, {"config": {"OTEL_RESOURCE_ATTRIBUTES": "a=1,a=2"}}, "config.OTEL_RESOURCE_ATTRIBUTES has a twice"),
    "a deadline of the request's": (MINIMAL, {"config": {"REQUEST_TIMEOUT": "3s"}}, "config.SHOUTCLOUD_DEADLINE is 5s, but must be shorter than config.REQUEST_TIMEOUT, which is 3s"),
    "none for a group": (MINIMAL, {"config": {"AUTH_ALLOWED_GROUPS": "None"}}, 'but is "None": leave it out for none'),
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
    "off without quotes": (MINIMAL, {"config": {"RATE_LIMIT_PER_CLIENT": False}}, 'so write "off"'),
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
    "no requests": (MINIMAL, {"resources": {"requests": {"cpu": None}}}, "resources.requests.cpu is null: leave it out"),
    "no resources": (MINIMAL, {"resources": None}, "resources is null: leave it out"),
    "a cache above the limit": (
        MINIMAL,
        {"config": {"CACHE_CAPACITY": "1GiB"}, "resources": {"limits": {"memory": "640Mi"}}},
        "resources.limits.memory is 640Mi, but with this configuration a replica may need 4128Mi",
    ),
    "a request above the limit": (
        MINIMAL,
        {"resources": {"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}},
        "resources.requests.cpu is 2, above resources.limits.cpu, which is 1500m",
    ),
    "a request of storage above the limit": (
        FILEBEAT,
        {"filebeat": {"resources": {"requests": {"ephemeral-storage": "1G"}}}},
        "filebeat.resources.requests.ephemeral-storage is 1G, above",
    ),
    "a variable beside config": (MINIMAL, {"extraEnv": [{"name": "CACHE_CAPACITY", "value": "1GiB"}]}, "extraEnv has CACHE_CAPACITY: set it in config"),
    "a volume of the chart": (MINIMAL, {"extraVolumes": [{"name": "log", "emptyDir": {}}]}, "extraVolumes has log, a name of the chart's"),
    "a budget for all replicas": (MINIMAL, {"podDisruptionBudget": {"maxUnavailable": 3}}, "all 3 replicas may be evicted at once"),
    "a budget for all replicas, in percent": (MINIMAL, {"podDisruptionBudget": {"maxUnavailable": "100%"}}, "may be evicted at once"),
    "a spread twice": (MINIMAL, {"topologySpread": DEFAULTS["topologySpread"] * 2}, "kubernetes.io/hostname with ScheduleAnyway twice"),
    "a toleration of every value": (MINIMAL, {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}, 'the value "b" with the operator Exists'),
    "a toleration without a key": (MINIMAL, {"tolerations": [{"value": "b"}]}, "tolerations has an item without a key"),
    "a toleration of a time": (MINIMAL, {"tolerations": [{"key": "a", "tolerationSeconds": 1}]}, "tolerationSeconds, which needs effect: NoExecute"),
    "a scrape that outlasts its interval": (
        EVERYTHING,
        {"serviceMonitor": {"interval": "5s"}},
        "serviceMonitor.scrapeTimeout (10s) is longer than serviceMonitor.interval (5s)",
    ),
    "a probe that outlasts its attempts": (MINIMAL, {"probes": {"startup": {"timeoutSeconds": 31}}}, "probes.startup.timeoutSeconds (31) is longer"),
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
    "addresses without a range": (
        MINIMAL,
        {"networkPolicy": {"extraEgress": [{"to": [{"ipBlock": {}}], "ports": [{"port": 1}]}]}},
        "missing property 'cidr'",
    ),
}


@pytest.mark.parametrize(("rendering", "more", "message"), INVALID.values(), ids=INVALID)
def test_it_is_rejected_with_a_remedy(rendering, more, message):
    assert message in rendering.but(more).error


def test_each_message_of_the_templates_is_provoked():
    """Placeholders match any text; test_rendering.py of the ingress covers Ingress and Gateway."""
    messages = []
    text = (TOP / "helm/shoutback/templates/checks/values/all.yaml").read_text()
    messages += re.findall(r'append \$problems \(?(?:printf )?"((?:[^"\\]|\\.)*)"', text.partition("if .Values.ingress.enabled")[0])
    assert len(messages) > 25
    provoked = [rendering.but(more).error for rendering, more, _ in INVALID.values()]
    provoked += [Rendering(ENVIRONMENTS[name][:-1]).error for name in ENVIRONMENTS]
    for message in messages:
        pattern = re.sub(r"%[sdqv]", ".*", re.escape(message.replace('\\"', '"')).replace("%", "%"))
        assert any(re.search(pattern, text) for text in provoked), f"nothing provokes: {message}"


@pytest.mark.parametrize("name", ENVIRONMENTS)
class TestAnEnvironment:
    def test_is_not_rendered_with_placeholders(self, name):
        """Those of the file, which has none once it is filled in, and one more."""
        text = ENVIRONMENTS[name][0].read_text()
        error = Rendering(ENVIRONMENTS[name][:-1]).but({"config": {"OTEL_SERVICE_NAME": "REPLACE_WITH_NAME"}}).error
        placeholders = {"REPLACE_WITH_NAME", *re.findall(r"REPLACE_WITH_[A-Z0-9_]*[A-Z0-9]", text)}
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
        missing = to_fill | {("image", "tag"), ("image", "digest")}
        # Once the file is filled in, they replace its values.
        assert set(paths(filled)) == missing if to_fill else missing <= set(paths(filled))

    def test_is_not_rendered_before_the_first_release(self, name):
        error = Rendering(ENVIRONMENTS[name]).but({"image": {"tag": "", "digest": ""}}).error
        assert 'image.tag is ""' in error and "image.digest is empty" in error


def paths(values, path=()):
    for name, value in values.items():
        yield (*path, name)
        if isinstance(value, dict) and name not in {"podSelector", "requests", "limits", "scaleUp", "scaleDown"}:
            yield from paths(value, (*path, name))


NULLABLE = {"autoscaling.targetCPUUtilizationPercentage", "autoscaling.targetActiveRequests", "terminationGracePeriodSeconds"}


@pytest.mark.parametrize("base", [MINIMAL, EVERYTHING], ids=["minimal", "everything"])
def test_each_value_that_is_null_is_named(base):
    """A null removes the chart's default, so it would end in a nil pointer, or in a default of Kubernetes'."""
    nulls = [nested(path, None) for path in paths(DEFAULTS) if path != ("environment",) and not isinstance(at(DEFAULTS, path), dict) or at(DEFAULTS, path) == {}]
    error = base.but(merged(*nulls)).error
    for path in paths(DEFAULTS):
        name = ".".join(path)
        if not isinstance(at(DEFAULTS, path), dict) and name not in NULLABLE | {"environment"}:
            assert f"- {name} is null: leave it out" in error, (name, error)
    maps = [path for path in paths(DEFAULTS) if isinstance(at(DEFAULTS, path), dict)]
    assert error.count(" is null: ") > 90 and len(maps) > 30
    for path in maps:
        assert f"- {'.'.join(path)} is null: leave it out" in base.but(nested(path, None)).error


def test_a_null_where_it_means_none_is_accepted():
    for name in NULLABLE:
        more = {"autoscaling": {"enabled": True, "targetActiveRequests": 5}} if name.endswith("Percentage") else {}
        assert MINIMAL.but(merged(more, nested(name.split("."), None))).text


def test_filled_values_are_not_an_environment():
    assert "environment" not in merged(yaml.safe_load(FILLED.read_text()))
