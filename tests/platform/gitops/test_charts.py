"""Our two charts, and Argo CD's notifications to GitHub."""

import json
import re
import subprocess
from datetime import UTC, datetime

import pytest
import yaml

from argocd import executed
from harness.process import ENVIRONMENT
from source import ROOT


def tree(application, mount, volumes, container):
    """Returns the files below a container's mount by their path there."""
    [volume] = [one for one in volumes if one["name"] == next(m["name"] for m in container["volumeMounts"] if m["mountPath"] == mount)]
    data = application.one("ConfigMap", volume["configMap"]["name"])["data"]
    items = volume["configMap"].get("items") or [{"key": key, "path": key} for key in data]
    return {item["path"]: data[item["key"]] for item in items}


@pytest.mark.parametrize("name", ["elasticsearch", "kibana"])
def test_the_loader_has_the_files(applications, name):
    logging = applications["logging"]
    spec = logging.one("Job")["spec"]["template"]["spec"]
    [container] = [one for one in spec["initContainers"] + spec["containers"] if one["name"] == name]
    folder = ROOT / "observability" / name
    files = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file() and path.suffix != ".md" and path.name != "generate"}
    assert tree(logging, "/load", spec["volumes"], container) == files
    assert container["command"] == ["sh", "/load/load"] and "load" in files
    # The comment at the top of the program lists its variables.
    given = {one["name"] for one in container["env"]}
    head = files["load"].partition("set -eu")[0]
    assert all(re.search(rf"\b{name}\b", head) for name in given)
    [address] = [one["value"] for one in container["env"] if one["name"].endswith("_URL")]
    kind = {"elasticsearch": "es", "kibana": "kb"}[name]
    assert address.startswith(f"https://{logging.one(name.capitalize())['metadata']['name']}-{kind}-http:")
    # In the cluster, the host names are those in the certificate.
    [authority] = [volume["secret"]["secretName"] for volume in spec["volumes"] if volume["name"] == f"{name}-ca"]
    assert authority == f"shoutback-{kind}-http-certs-public"


def test_the_loader_runs_when_both_are_healthy(applications):
    annotations = applications["logging"].one("Job")["metadata"]["annotations"]
    assert annotations["argocd.argoproj.io/hook"] == "PostSync"
    assert annotations["argocd.argoproj.io/hook-delete-policy"] == "BeforeHookCreation"


def test_copies_of_an_index_are_in_different_zones(released):
    """The operator copies the zone from the node, and Elasticsearch allocates by it."""
    elasticsearch = released.applications["production"]["logging"].one("Elasticsearch")
    [nodes] = elasticsearch["spec"]["nodeSets"]
    assert "zone" in nodes["config"]["cluster.routing.allocation.awareness.attributes"].split(",")
    assert nodes["config"]["node.attr.zone"] == "${ZONE}" and nodes["count"] == 3
    [container] = nodes["podTemplate"]["spec"]["containers"]
    label = elasticsearch["metadata"]["annotations"]["eck.k8s.elastic.co/downward-node-labels"]
    assert {"name": "ZONE", "valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['{label}']"}}} in container["env"]


def test_two_nodes_are_rejected():
    command = ["helm", "template", "logging", "gitops/platform/logging", "--set=elasticsearch.nodes=2,elasticsearch.storage=1Gi"]
    result = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert result.returncode != 0 and "one, or three and more" in result.stderr


def test_volumes_have_the_documented_sizes(released, page):
    [row] = [line for line in page("docs/cost.md").splitlines() if line.startswith("| Volumes of Elasticsearch, Prometheus and Alertmanager,")]
    documented = dict(zip(("staging", "production"), (int(cell) for cell in row.split("|")[3:6:2]), strict=True))
    for name, applications in released.applications.items():
        [nodes] = applications["logging"].one("Elasticsearch")["spec"]["nodeSets"]
        [claim] = nodes["volumeClaimTemplates"]
        own, shared = (yaml.safe_load(page(f"gitops/platform/{folder}/kube-prometheus-stack.yaml")) for folder in (name, "values"))
        prometheus, alertmanager = own["prometheus"]["prometheusSpec"], own.get("alertmanager", {}).get("alertmanagerSpec", {})
        sizes = [
            nodes["count"] * gibibytes(claim),
            prometheus.get("replicas", 1) * gibibytes(prometheus["storageSpec"]["volumeClaimTemplate"]),
            alertmanager.get("replicas", 1) * gibibytes(shared["alertmanager"]["alertmanagerSpec"]["storage"]["volumeClaimTemplate"]),
        ]
        assert sum(sizes) == documented[name]


def gibibytes(claim):
    return int(claim["spec"]["resources"]["requests"]["storage"].removesuffix("Gi"))


def collector(applications):
    return applications["otel-collector"].one("DaemonSet")["spec"]["template"]["spec"]


def test_the_collector_accepts_its_configuration(applications, tmp_path):
    """Validated by the real program with the arguments and variables of its container."""
    spec = collector(applications)
    [container] = spec["containers"]
    files = tree(applications["otel-collector"], "/etc/otelcol", spec["volumes"], container)
    for name, text in files.items():
        assert text == (ROOT / "observability/otel-collector" / name).read_text()
        (tmp_path / name).write_text(text)
    arguments = [argument.replace("/etc/otelcol", str(tmp_path)) for argument in container["args"]]
    given = {one["name"]: one.get("value", "node-1") for one in container["env"]}
    # Provided in a pod: the address of the API server, and credentials.
    given |= {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}
    given |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    done = subprocess.run(["otelcol-shoutback", "validate", *arguments], env=ENVIRONMENT | given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    del given["ENVIRONMENT"]
    done = subprocess.run(["otelcol-shoutback", "validate", *arguments], env=ENVIRONMENT | given, capture_output=True, text=True)
    assert done.returncode != 0 and "? ENVIRONMENT is" in done.stderr


def test_the_collector_has_the_tested_version(applications, page):
    builder = yaml.safe_load(page("observability/otel-collector/builder.yaml"))
    [container] = collector(applications)["containers"]
    assert container["image"].endswith(f":{builder['dist']['version']}")
    memory = container["resources"]["limits"]["memory"]
    assert f"Give the container {memory.removesuffix('Mi')} MiB, and `GOMEMLIMIT=400MiB`" in page("observability/otel-collector/README.md")
    assert {"name": "GOMEMLIMIT", "value": "400MiB"} in container["env"]


def test_spans_stay_on_their_node(applications):
    assert applications["otel-collector"].one("Service")["spec"]["internalTrafficPolicy"] == "Local"
    rules = applications["otel-collector"].one("ClusterRole")["rules"]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list", "watch"}


def notifications(applications):
    return applications["argocd-settings"].one("ConfigMap", "argocd-notifications-cm")["data"]


def state(phase="Succeeded", health="Healthy", revisions=("d" * 40, "c" * 40), since="2026-11-23T10:00:30Z", name="shoutback", sync="Synced"):
    """Returns an application of Argo CD: a sync that started at ten, and a health."""
    operation = {"operation": {}, "phase": phase, "syncResult": {"revision": "", "revisions": list(revisions)}, "startedAt": "2026-11-23T10:00:00Z"}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": name, "namespace": "argocd"},
        "spec": {"project": name, "destination": {}, "sources": [{"repoURL": "https://github.com/example/shoutback.git", "ref": "deployed"}, {"repoURL": "x"}]},
        "status": {"operationState": operation, "health": {"status": health} | ({"lastTransitionTime": since} if since else {}), "sync": {"status": sync}},
    }


@pytest.fixture
def argocd(applications, tmp_path):
    """`argocd(*arguments, thing)` runs `argocd admin` with the settings on an object, and returns its output. Needs no cluster."""
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "none", "cluster": {"server": "https://127.0.0.1:1"}}],
        "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none", "namespace": "argocd"}}],
        "users": [{"name": "none", "user": {"token": "none"}}],
        "current-context": "none",
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
    for thing in applications["argocd-settings"].objects:
        if thing["kind"] == "ConfigMap":
            # It would authenticate to GitHub.
            thing = thing | {"data": {name: value for name, value in thing["data"].items() if name != "service.github"}}
            (tmp_path / f"{thing['metadata']['name']}.yaml").write_text(json.dumps(thing))

    def argocd(*arguments, thing=None):
        (tmp_path / "thing.yaml").write_text(json.dumps(thing))
        command = ["argocd", "admin", *(argument.format(settings=tmp_path, thing=tmp_path / "thing.yaml") for argument in arguments)]
        environment = ENVIRONMENT | {"KUBECONFIG": str(tmp_path / "kubeconfig"), "HOME": str(tmp_path)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    return argocd


def fired(argocd, applications, application):
    """Returns the templates that the triggers of the application's annotations send."""
    sent = set()
    for trigger in ("platform-deployed",) if application["metadata"]["name"] == "platform" else ("deployed", "not-deployed"):
        done = argocd(*f"notifications trigger run {trigger} {{thing}} --secret :empty --config-map {{settings}}/argocd-notifications-cm.yaml".split(), thing=application)
        results = re.findall(r"^app\..* (true|false) *$", done.stdout, re.M)
        conditions = yaml.safe_load(notifications(applications)[f"trigger.{trigger}"])
        assert done.returncode == 0 and len(results) == len(conditions), done.stdout + done.stderr
        for condition, result in zip(conditions, results, strict=True):
            sent |= set(condition["send"]) if result == "true" else set()
    return sent


@pytest.mark.parametrize("outcome", ["success", "failure"])
@pytest.mark.parametrize(("name", "suffix"), [("shoutback", ""), ("platform", "/platform")])
def test_the_status_is_that_of_the_pipeline(applications, environment, outcome, name, suffix, page):
    template = yaml.safe_load(notifications(applications)[f"template.{outcome}"])["github"]
    # The first source of the application is the branch of deployments.
    sources = applications[name].sources
    assert (sources[0]["targetRevision"], sources[0]["ref"]) == (f"deploy/{environment}", "deployed") and "path" not in sources[0]
    app = state(name=name)
    assert executed(template["repoURLPath"], app=app) == "https://github.com/example/shoutback.git"
    assert executed(template["revisionPath"], app=app) == "d" * 40
    assert executed(template["status"]["label"], app=app) == f"argocd/{environment}{suffix}"
    assert 'f"argocd/{environment}" + ("/platform" if lifecycle is PLATFORM else "")' in page("scripts/release/statuses.py")
    assert template["status"]["state"] == outcome
    assert executed(template["status"]["targetURL"], app=app) == f"https://tools.example.com/argocd/applications/{name}"


def test_each_notification_is_subscribed(released, applications, environment):
    data = notifications(applications)
    subscribed = {"shoutback": ("deployed", "not-deployed"), "platform": ("platform-deployed", "not-deployed")}
    for name, application in applications.items():
        marks = {mark for mark in application.manifest["metadata"].get("annotations", {}) if mark.startswith("notifications.")}
        assert marks == {f"notifications.argoproj.io/subscribe.{trigger}.github" for trigger in subscribed.get(name, ())}
    for trigger in {trigger for triggers in subscribed.values() for trigger in triggers}:
        for condition in yaml.safe_load(data[f"trigger.{trigger}"]):
            assert all(f"template.{template}" in data for template in condition["send"])
    service = yaml.safe_load(data["service.github"])
    # Those of the examples, or an adopter's.
    github = yaml.safe_load((released.source.work / f"gitops/platform/{environment}/values.yaml").read_text())["github"]
    assert service == {"appID": github["appId"], "installationID": github["installationId"], "privateKey": "$github-privateKey"}


NOW = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("application", "sent"),
    [
        (state(), "success"),
        # The previous replicas are healthy, and the new ones are not checked yet.
        (state(since="2026-11-23T09:00:00Z"), None),
        (state(since=None), None),
        (state(health="Progressing"), None),
        (state(phase="Running"), None),
        (state(phase="Running", health="Degraded"), "failure"),
        (state(health="Degraded"), "failure"),
        # A passing state is no verdict: an autoscaler is Degraded while Prometheus restarts.
        (state(health="Degraded", since=NOW), None),
        (state(phase="Failed"), "failure"),
        (state(phase="Error", health="Progressing"), "failure"),
        (state(name="platform", health="Degraded"), "success"),
        (state(name="platform", sync="OutOfSync"), None),
        (state(name="platform", phase="Running"), None),
    ],
)
def test_each_trigger_fires_in_its_states(argocd, applications, application, sent):
    assert fired(argocd, applications, application) == ({sent} if sent else set())


def health(argocd, kind, spec=None, **status):
    group = {"Elasticsearch": "elasticsearch.k8s.elastic.co/v1", "Kibana": "kibana.k8s.elastic.co/v1", "Application": "argoproj.io/v1alpha1"}[kind]
    thing = {"apiVersion": group, "kind": kind, "metadata": {"name": "x"}, "spec": spec or {}} | ({"status": status} if status else {})
    done = argocd(*"settings resource-overrides health {thing} --argocd-cm-path {settings}/argocd-cm.yaml".split(), thing=thing)
    assert done.returncode == 0, done.stderr
    return re.search(r"STATUS: (\w+)", done.stdout)[1]


@pytest.mark.parametrize("kind", ["Elasticsearch", "Kibana"])
def test_the_operators_resources_have_a_health(argocd, kind):
    assert health(argocd, kind) == "Progressing"
    for colour, expected in {"green": "Healthy", "yellow": "Progressing", "red": "Degraded", "unknown": "Progressing"}.items():
        assert health(argocd, kind, health=colour) == expected, colour
    assert health(argocd, kind, health="green", phase="ApplyingChanges") == "Progressing"


def test_waves_order_only_the_first_installation(argocd):
    """An add-on that was deployed before never delays the others, whatever its health."""
    assert health(argocd, "Application") == "Progressing"
    assert health(argocd, "Application", operationState={"phase": "Running"}) == "Progressing"
    assert health(argocd, "Application", operationState={"phase": "Failed"}) == "Degraded"
    for later in ("Progressing", "Degraded"):
        assert health(argocd, "Application", history=[{"id": 0}], health={"status": later}) == "Healthy"


@pytest.mark.parametrize(
    ("action", "target", "teams"),
    [
        ("get", "platform/logging", {"developers", "auditors", "sre", "break-glass"}),
        ("sync", "shoutback/shoutback", {"sre", "break-glass"}),
        ("sync", "platform/logging", {"sre", "break-glass"}),
        ("sync", "platform/probe", {"sre", "break-glass"}),
        # To pause the automatic sync.
        ("update", "shoutback/shoutback", {"sre", "break-glass"}),
        ("update", "platform/logging", set()),
        ("override", "shoutback/shoutback", set()),
        ("delete", "shoutback/shoutback", set()),
        ("create", "platform/more", set()),
        ("create", "default/more", set()),
    ],
)
def test_permissions_in_argo_cd(argocd, action, target, teams):
    for team in ("developers", "auditors", "sre", "break-glass", "someone-else"):
        group = team if team == "someone-else" else f"shoutback-{team}"
        done = argocd(*f"settings rbac can {group} {action} applications {target} --policy-file {{settings}}/argocd-rbac-cm.yaml".split())
        assert (done.stdout.strip() == "Yes") == (team in teams), (team, done.stdout, done.stderr)


def test_people_sign_in_with_the_user_pool_of_operators(applications):
    settings = applications["argocd-settings"].one("ConfigMap", "argocd-cm")["data"]
    sign_in = yaml.safe_load(settings["oidc.config"])
    assert sign_in["issuer"] == "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Operators"
    # A public client has no secret, and proves itself by PKCE.
    assert sign_in["enablePKCEAuthentication"] and "clientSecret" not in sign_in
    assert settings["admin.enabled"] == "false"
    # What Cognito calls a user's groups.
    assert yaml.safe_load(applications["argocd-settings"].one("ConfigMap", "argocd-rbac-cm")["data"]["scopes"]) == ["cognito:groups"]
