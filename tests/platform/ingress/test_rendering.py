"""The chart's Ingress and HTTPRoute: the effect of each value, and helpful errors for invalid ones."""

import re

import pytest

import manifests
from manifests import Failed, merged

INGRESS = {"enabled": True, "host": manifests.HOST, "tls": {"secretName": "mine"}}
GATEWAY = {"enabled": True, "parentRefs": [{"name": "public", "sectionName": "https"}], "hostnames": [manifests.HOST]}


def render(ingress=None, config=None, gateway=None):
    file = manifests.CHART / "ci/minimal-values.yaml"
    return manifests.render(file, ingress=ingress or {}, gateway=gateway or {}, config=config or {})


def annotation(name, **values):
    return manifests.ingress_of(render(merged(INGRESS, values.pop("ingress", {})), **values))["metadata"]["annotations"].get(name)


def test_they_are_off_by_default():
    assert not {kind for kind, _ in render()} & {"Ingress", "HTTPRoute"}


@pytest.mark.parametrize(
    ("size", "limit", "buffer"),
    [(None, "65536", "81920"), ("1B", "1", "1"), ("100KiB", "102400", "128000"), ("1MiB", "1048576", "1048576")],
)
def test_the_body_limit_is_that_of_the_service(size, limit, buffer):
    config = {"MAX_BODY_BYTES": size} if size else {}
    assert annotation("nginx.org/client-max-body-size", config=config) == limit
    assert annotation("nginx.org/client-body-buffer-size", config=config) == buffer


@pytest.mark.parametrize(("timeout", "waits"), [(None, "35s"), ("5001ms", "11s"), ("5999ms", "11s"), ("6s", "11s"), ("10m", "605s")])
def test_nginx_waits_longer_than_the_service(timeout, waits):
    config = {"REQUEST_TIMEOUT": timeout} if timeout else {}
    assert annotation("nginx.org/proxy-read-timeout", config=config) == waits
    assert annotation("nginx.org/proxy-send-timeout", config=config) == waits
    (rule,) = render(config=config, gateway=GATEWAY)["HTTPRoute", "shoutback"]["spec"]["rules"]
    assert rule["timeouts"] == {"request": waits}


@pytest.mark.parametrize(
    ("tls", "block", "expected"),
    [
        (
            {"secretName": "mine"},
            [{"hosts": [manifests.HOST], "secretName": "mine"}],
            {"nginx.org/ssl-redirect": "true"},
        ),
        (
            {"certManager": {"issuer": "letsencrypt"}},
            [{"hosts": [manifests.HOST], "secretName": "shoutback-tls"}],
            {"nginx.org/ssl-redirect": "true", "cert-manager.io/cluster-issuer": "letsencrypt"},
        ),
        (
            {"certManager": {"issuer": "own", "kind": "Issuer", "http01": True}},
            [{"hosts": [manifests.HOST], "secretName": "shoutback-tls"}],
            {
                "nginx.org/ssl-redirect": "true",
                "cert-manager.io/issuer": "own",
                "acme.cert-manager.io/http01-edit-in-place": "true",
                "cert-manager.io/issue-temporary-certificate": "true",
            },
        ),
    ],
)
def test_tls_termination(tls, block, expected):
    ingress = manifests.ingress_of(render({"enabled": True, "host": manifests.HOST, "tls": tls}))
    assert ingress["spec"].get("tls") == block
    about_tls = ("cert-manager", "redirect-to", "ssl-redirect", "behind-proxy")
    annotations = {name: value for name, value in ingress["metadata"]["annotations"].items() if any(part in name for part in about_tls)}
    assert annotations == expected


@pytest.mark.parametrize(
    ("values", "name", "expected"),
    [
        ({"hsts": {"maxAge": 60}}, "hsts-max-age", "60"),
        ({"hsts": {"includeSubdomains": True}}, "hsts-include-subdomains", "true"),
        ({"keepalive": 8}, "keepalive", "8"),
        ({"rateLimit": {"perSecond": 7}}, "limit-req-rate", "7r/s"),
        ({"rateLimit": {"burst": 9}}, "limit-req-burst", "9"),
        ({"rateLimit": {"perSecond": 0}}, "limit-req-rate", None),
        ({"rateLimit": {"perSecond": 0}}, "limit-req-burst", None),
    ],
)
def test_a_value_becomes_an_annotation(values, name, expected):
    assert annotation(f"nginx.org/{name}", ingress=values) == expected


def test_responses_are_not_written_to_files():
    """Otherwise NGINX would write the response to a slow client to a file. test_log.py tests request bodies."""
    assert annotation("nginx.org/proxy-max-temp-file-size") == "0"


def test_additional_annotations_and_the_class():
    ingress = INGRESS | {"className": "other", "annotations": {"external-dns.kubernetes.io/ttl": "60"}}
    rendered = manifests.ingress_of(render(ingress))
    assert rendered["spec"]["ingressClassName"] == "other"
    assert rendered["metadata"]["annotations"]["external-dns.kubernetes.io/ttl"] == "60"


def test_the_public_listener_is_the_only_backend():
    (rule,) = manifests.ingress_of(render(INGRESS))["spec"]["rules"]
    backend = {"service": {"name": "shoutback", "port": {"name": "http"}}}
    assert rule == {"host": manifests.HOST, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}


def test_an_http_route():
    objects = render(gateway=GATEWAY | {"hstsMaxAge": 60})
    spec = objects["HTTPRoute", "shoutback"]["spec"]
    assert (spec["parentRefs"], spec["hostnames"]) == (GATEWAY["parentRefs"], [manifests.HOST])
    (rule,) = spec["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    # A route refers to a port of the Service by number.
    (port,) = objects["Service", "shoutback"]["spec"]["ports"]
    assert rule["backendRefs"] == [{"name": "shoutback", "port": port["port"]}]
    (header,) = [header for filter in rule["filters"] for header in filter["responseHeaderModifier"]["set"]]
    assert header == {"name": "strict-transport-security", "value": "max-age=60"}
    assert ("HTTPRoute", "shoutback-redirect") not in objects


def test_the_redirect_of_an_http_route():
    http = [{"name": "public", "sectionName": "http"}]
    spec = render(gateway=GATEWAY | {"redirectParentRefs": http})["HTTPRoute", "shoutback-redirect"]["spec"]
    assert (spec["parentRefs"], spec["hostnames"]) == (http, [manifests.HOST])
    assert spec["rules"] == [{"filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "statusCode": 301}}]}]


INVALID = [
    ({"ingress": INGRESS | {"host": ""}}, "ingress.host is empty: name the host"),
    ({"ingress": INGRESS | {"tls": {}}}, "ingress.tls needs a certificate: set either"),
    ({"ingress": merged(INGRESS, {"tls": {"certManager": {"issuer": "x"}}})}, "it is in a Secret\\), not both"),
    ({"ingress": merged(INGRESS, {"tls": {"certManager": {"http01": True}}})}, "http01 requires"),
    ({"ingress": INGRESS, "config": {"IDLE_TIMEOUT": "60s"}}, "config.IDLE_TIMEOUT is 60s: a replica would close"),
    ({"ingress": INGRESS | {"annotations": {"nginx.org/hsts": "false"}}}, "ingress.annotations may not have nginx.org/hsts"),
    ({"ingress": INGRESS | {"annotations": {"cert-manager.io/issuer": "x"}}}, "set ingress.tls.certManager.issuer"),
    ({"gateway": GATEWAY | {"parentRefs": []}}, "gateway.parentRefs is empty: name the Gateway"),
    ({"gateway": GATEWAY | {"hostnames": []}}, "gateway.hostnames is empty: name the hosts"),
    # Errors of the schema.
    ({"ingress": INGRESS | {"hosts": ["x"]}}, "hosts"),
    ({"ingress": merged(INGRESS, {"tls": {"secret": "x"}})}, "secret"),
    ({"ingress": INGRESS | {"host": "https://api.example.com"}}, "host"),
    ({"ingress": INGRESS | {"host": "*.example.com"}}, "host"),
    ({"ingress": merged(INGRESS, {"rateLimit": {"perSecond": -1}})}, "perSecond"),
    ({"ingress": merged(INGRESS, {"rateLimit": {"rate": "5r/s"}})}, "rate"),
    ({"ingress": merged(INGRESS, {"tls": {"certManager": {"kind": "Certificate"}}})}, "kind"),
    ({"ingress": INGRESS | {"annotations": {"a": True}}}, "annotations"),
    ({"gateway": GATEWAY | {"parentRefs": [{"namespace": "x"}]}}, "parentRefs"),
    ({"gateway": GATEWAY | {"hostnames": ["a b"]}}, "hostnames"),
    ({"gateway": GATEWAY | {"hstsMaxAge": "1y"}}, "hstsMaxAge"),
]


@pytest.mark.parametrize(("values", "message"), INVALID)
def test_invalid_values_are_explained(values, message):
    with pytest.raises(Failed, match=message.replace(".", r"\.")):
        render(**values)


def test_each_message_of_the_templates_is_provoked():
    provoked = []
    for values, _ in INVALID:
        with pytest.raises(Failed) as error:
            render(**values)
        provoked.append(str(error.value))
    text = (manifests.CHART / "templates/checks/values/all.yaml").read_text().partition("if .Values.ingress.enabled")[2]
    messages = re.findall(r'append \$problems \(?(?:printf )?"((?:[^"\\]|\\.)*)"', text)
    assert len(messages) >= 8
    for message in messages:
        pattern = re.sub("%[sdq]", ".*", re.escape(message))
        assert any(re.search(pattern, text) for text in provoked), f"nothing provokes: {message}"


def test_an_ingress_without_keep_alive_permits_any_idle_timeout():
    assert annotation("nginx.org/keepalive", ingress={"keepalive": 0}, config={"IDLE_TIMEOUT": "1s"}) == "0"
