"""Our two charts, and Argo CD's notifications to GitHub."""

import json
import re
import subprocess
from datetime import datetime
from types import SimpleNamespace

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


def test_two_nodes_are_rejected():
    command = ["helm", "template", "logging", "gitops/platform/logging", "--set=elasticsearch.nodes=2,elasticsearch.storage=1Gi"]
    result = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert result.returncode != 0 and "one, or three and more" in result.stderr


def test_volumes_have_the_documented_sizes(released, page):
    [row] = [line for line in page("docs/cost.md").splitlines() if line.startswith("| Volumes of Elasticsearch and Prometheus")]
    documented = dict(zip(("staging", "production"), (int(cell) for cell in row.split("|")[3:6:2]), strict=True))
    for name, applications in released.applications.items():
        [nodes] = applications["logging"].one("Elasticsearch")["spec"]["nodeSets"]
        [claim] = nodes["volumeClaimTemplates"]
        prometheus = yaml.safe_load(page(f"gitops/platform/{name}/kube-prometheus-stack.yaml"))["prometheus"]["prometheusSpec"]["storageSpec"]
        sizes = [nodes["count"] * gibibytes(claim), gibibytes(prometheus["volumeClaimTemplate"])]
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


def state(phase="Succeeded", health="Healthy", revisions=("d" * 40, "c" * 40), since="2026-11-23T10:00:30Z"):
    """Returns the status of an application in Argo CD: a sync that started at ten, and a health."""
    sync = {"phase": phase, "syncResult": {"revisions": list(revisions)}, "startedAt": "2026-11-23T10:00:00Z"}
    return {
        "metadata": {"name": "shoutback"},
        "spec": {"sources": [{"repoURL": "https://github.com/example/shoutback.git", "ref": "deployed"}, {"repoURL": "x"}]},
        "status": {"operationState": sync, "health": {"status": health, "lastTransitionTime": since}},
    }


@pytest.mark.parametrize("outcome", ["success", "failure"])
def test_the_status_is_that_of_the_pipeline(applications, environment, outcome, page):
    template = yaml.safe_load(notifications(applications)[f"template.{outcome}"])["github"]
    # The first source of the application is the branch `deploy`.
    sources = applications["shoutback"].sources
    assert (sources[0]["targetRevision"], sources[0]["ref"]) == ("deploy", "deployed") and "path" not in sources[0]
    assert executed(template["repoURLPath"], app=state()) == "https://github.com/example/shoutback.git"
    assert executed(template["revisionPath"], app=state()) == "d" * 40
    assert template["status"]["label"] == f"argocd/{environment}" and 'f"argocd/{environment}"' in page("scripts/release/wait")
    assert template["status"]["state"] == outcome
    assert executed(template["status"]["targetURL"], app=state()) == "https://argocd.example.com/applications/shoutback"


def test_each_notification_is_subscribed(applications):
    data = notifications(applications)
    for name, application in applications.items():
        marks = {mark for mark in application.manifest["metadata"].get("annotations", {}) if mark.startswith("notifications.")}
        assert marks == ({f"notifications.argoproj.io/subscribe.{trigger}.github" for trigger in ("deployed", "not-deployed")} if name == "shoutback" else set())
    assert {"service.github", "trigger.deployed", "trigger.not-deployed"} <= data.keys()
    for name in ("deployed", "not-deployed"):
        for condition in yaml.safe_load(data[f"trigger.{name}"]):
            assert all(f"template.{template}" in data for template in condition["send"])
    service = yaml.safe_load(data["service.github"])
    assert service == {"appID": 1234567, "installationID": 7654321, "privateKey": "$github-privateKey"}


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
        (state(phase="Failed"), "failure"),
        (state(phase="Error", health="Progressing"), "failure"),
        ({"metadata": {"name": "shoutback"}, "status": {"health": {"status": "Missing"}, "operationState": None}}, None),
    ],
)
def test_each_trigger_fires_in_its_states(applications, application, sent):
    """The triggers' conditions are valid Python after a few replacements."""

    class Object(dict):
        __getattr__ = dict.__getitem__

    fired = set()
    app = json.loads(json.dumps(application), object_hook=Object)
    for trigger in ("deployed", "not-deployed"):
        for condition in yaml.safe_load(notifications(applications)[f"trigger.{trigger}"]):
            when = condition["when"].replace("nil", "None").replace(".Before(", ".__lt__(")
            if eval(when, {"app": app, "time": SimpleNamespace(Parse=datetime.fromisoformat)}):
                fired |= set(condition["send"])
    assert fired == ({sent} if sent else set())
