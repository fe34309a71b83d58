"""The installed applications: revisions, order and permissions."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import yaml

from argocd import REPOSITORY, Installation, scalars
from source import ROOT

COMMIT = re.compile(r"[0-9a-f]{40}")
# Exact versions as in a chart index, with or without a `v`.
VERSION = re.compile(r"v?\d+\.\d+\.\d+")


def images(things):
    for thing in things:
        for name in ("image", "baseImage"):
            yield from found(thing, name)


def found(thing, name):
    if isinstance(thing, dict):
        if isinstance(thing.get(name), str) and "CustomResourceDefinition" not in str(thing.get("kind")):
            yield thing[name]
        for part in thing.values():
            yield from found(part, name)
    elif isinstance(thing, list):
        for part in thing:
            yield from found(part, name)


def without_definitions(application):
    return [thing for thing in application.objects if thing["kind"] != "CustomResourceDefinition"]


def test_the_image_is_the_deployed_digest(released, environment, applications):
    build = released.builds[environment]
    deployment = applications["shoutback"].one("Deployment")
    [service] = [one for one in deployment["spec"]["template"]["spec"]["containers"] if one["name"] == "shoutback"]
    assert service["image"] == f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/shoutback:{build.tag}@{build.digest}"
    assert released.builds["staging"].digest != released.builds["production"].digest


def test_our_sources_are_of_the_released_commit(released, environment, applications):
    for application in applications.values():
        for source in application.sources:
            if source["repoURL"] != REPOSITORY:
                continue
            if source.get("ref") == "deployed":
                # The label, not the image.
                assert (application.name, source) == ("shoutback", {"repoURL": REPOSITORY, "targetRevision": "deploy", "ref": "deployed"})
            else:
                assert source["targetRevision"] == released.builds[environment].tag, application.name


def test_a_rollback_reverts_everything(released):
    source, environment = released.source, "staging"
    before = released.builds[environment]
    last = source.deployments(f"gitops/{environment}")[-1]
    run = source.run(before.tag)
    back = run.prints("rollback", environment, last)
    try:
        applications = Installation(source, environment).applications()
        older = released.builds["production"]
        assert {one["targetRevision"] for one in applications["cluster"].sources} == {older.tag}
        assert older.digest in str(applications["shoutback"].one("Deployment"))
        assert before.digest not in str([application.objects for application in applications.values()])
    finally:
        run.prints("rollback", environment, back)


def test_third_party_charts_have_exact_versions(released):
    charts = {}
    for application in released.all:
        for source in application.sources:
            if "chart" in source:
                assert VERSION.fullmatch(source["targetRevision"]), source
                charts.setdefault(source["chart"], set()).add(source["targetRevision"])
    assert len(charts) >= 8
    assert all(len(versions) == 1 for versions in charts.values()), charts


def test_rendered_charts_are_the_installed_ones(released, page):
    modules = tomllib.loads(page("scripts/tools.toml"))["charts"]["modules"]
    assert len(modules) == 4
    for application in released.applications["production"].values():
        for source in application.sources:
            if source.get("chart") in modules:
                # cert-manager sets the version of its chart at publication; the version of its module is the same.
                own = yaml.safe_load((folder(source["chart"]) / "Chart.yaml").read_text())["version"]
                pinned = re.search(r"@(v\S+) ", modules[source["chart"]])[1]
                assert source["targetRevision"] == (pinned if own == "v0.0.0" else own)


def folder(chart):
    return Path(os.environ["CHARTS"]) / chart


def test_the_readme_lists_charts_that_are_not_rendered(released, page):
    documented = re.search(r"Not rendered here: (.*?)\.\s", page("gitops/README.md"), re.S)[1]
    for applications in released.applications.values():
        assert {name for name, one in applications.items() if not one.rendered} == set(re.findall(r"`([a-z-]+)`", documented))


def test_every_image_has_a_version(released):
    checked = set()
    for application in released.all:
        for image in images(without_definitions(application)):
            name = image.rpartition("/")[2]
            # The chart sets its version at publication.
            assert "@sha256:" in name or re.search(r":v?\d", name), f"{application.name}: {image}"
            checked.add(name.partition(":")[0])
    assert {"shoutback", "opentelemetry-collector-contrib", "curl", "external-dns", "cert-manager-controller"} <= checked


def test_no_image_is_latest(released, environment, applications):
    for application in applications.values():
        for thing in [application.manifest, *without_definitions(application)]:
            for text in scalars(thing):
                assert not re.search(r":latest\b(?!')|^latest", text), f"{application.name}: {text}"
    for file in ROOT.glob("gitops/**/*.yaml"):
        assert not re.search(r"^\s*(tag|version|targetRevision): *\"?(latest|main|master|HEAD)", file.read_text(), re.M), file


def test_the_projects_permit_them(released, environment, applications):
    projects = {thing["metadata"]["name"]: thing["spec"] for thing in applications["argocd-settings"].objects if thing["kind"] == "AppProject"}
    used = {name: set() for name in projects}
    for application in applications.values():
        project = projects[application.spec["project"]]
        for source in application.sources:
            assert source["repoURL"] in project["sourceRepos"], application.name
            used[application.spec["project"]].add(source["repoURL"])
        assert application.namespace in [destination["namespace"] for destination in project["destinations"]], application.name
        for thing in application.objects:
            namespace = thing["metadata"].get("namespace")
            if application.spec["project"] == "shoutback":
                assert namespace in (None, "shoutback")
                kind = {"group": thing["apiVersion"].rpartition("/")[0], "kind": thing["kind"]}
                assert kind in project["namespaceResourceWhitelist"], kind
    # Each permitted repository is used, except for those of optional parts.
    assert set(projects["platform"]["sourceRepos"]) - used["platform"] == {"https://argoproj.github.io/argo-helm", "https://sigstore.github.io/helm-charts"}
    assert set(projects["shoutback"]["sourceRepos"]) == used["shoutback"]


def test_the_service_is_deployed_with_the_deployers_permissions(applications):
    [project] = [thing for thing in applications["argocd-settings"].objects if thing["metadata"]["name"] == "shoutback"]
    [account] = project["spec"]["destinationServiceAccounts"]
    deployer = applications["cluster"].one("Role", "shoutback-deployer")
    assert account["defaultServiceAccount"] == applications["cluster"].one("ServiceAccount", "deployer")["metadata"]["name"]
    assert applications["argocd-settings"].one("ConfigMap", "argocd-cm")["data"]["application.sync.impersonation.enabled"] == "true"
    creatable = {group for rule in deployer["rules"] if "create" in rule["verbs"] for group in rule["apiGroups"]}
    assert creatable == {kind["group"] for kind in project["spec"]["namespaceResourceWhitelist"]}
    written = sum(len(rule["resources"]) for rule in deployer["rules"] if "create" in rule["verbs"])
    assert written == len(project["spec"]["namespaceResourceWhitelist"])


def test_dependencies_are_in_earlier_waves(applications):
    wave = {name: application.wave for name, application in applications.items()}
    # The applications with the definitions and webhooks for objects of others.
    for before, after in [
        ("argocd-settings", "cluster"),
        ("cluster", "shoutback"),
        ("aws-load-balancer-controller", "nginx-ingress"),
        ("cert-manager", "shoutback"),
        ("eck-operator", "logging"),
        ("kube-prometheus-stack", "shoutback"),
        ("kube-prometheus-stack", "nginx-ingress"),
        ("kube-prometheus-stack", "prometheus-adapter"),
        ("nginx-ingress", "shoutback"),
        ("otel-collector", "shoutback"),
        ("logging", "shoutback"),
    ]:
        assert wave[before] < wave[after], (before, after)
    issuer = applications["root"].one("ClusterIssuer")
    assert wave["cert-manager"] < int(issuer["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"]) < wave["shoutback"]
    # Without this health check, waves do not wait.
    settings = applications["argocd-settings"].one("ConfigMap", "argocd-cm")["data"]
    assert "hs.status = obj.status.health.status" in settings["resource.customizations.health.argoproj.io_Application"]


def test_each_values_file_is_read_by_an_application(released):
    existing = {str(path.relative_to(ROOT)) for path in ROOT.glob("gitops/*/*/values.yaml") if path.parts[-3] != "charts"}
    # Values of optional parts: test_switches.py.
    assert existing - released.read == {"gitops/base/argo-rollouts/values.yaml", "gitops/base/policy-controller/values.yaml"}


def test_each_folder_is_in_the_readme(page):
    rows = set(re.findall(r"^\| `([^`]+)`", page("gitops/README.md").partition("## ")[0], re.M))
    folders = {f"{path.relative_to(ROOT / 'gitops')}" for path in ROOT.glob("gitops/*/*") if path.is_dir() and path.parts[-2] in ("base", "charts")}
    folders |= {f"ENVIRONMENT/{path.name}" for path in ROOT.glob("gitops/production/*")} | {"argocd", "applications"}
    assert rows == folders


def test_environments_have_the_same_files():
    trees = [{str(path.relative_to(ROOT / "gitops" / name)) for path in (ROOT / "gitops" / name).rglob("*.yaml")} for name in ("staging", "production")]
    # Staging has its own quota and an additional permission: docs/teams.md.
    assert trees[0] - trees[1] == {"cluster/port-forward.yaml", "cluster/resource-quota.yaml"} and not trees[1] - trees[0]


def test_pods_with_aws_roles_are_those_of_terraform(applications, page):
    documented = set(re.findall(r"^\| `([a-z-]+/[a-z-]+)` \|", page("docs/deploy.md"), re.M))
    assert len(documented) == 3
    for pod in documented:
        namespace, account = pod.split("/")
        application = applications[account]
        assert application.namespace == namespace
        if application.rendered:
            assert application.one("ServiceAccount", account)["metadata"]["namespace"] == namespace
        else:
            assert yaml.safe_load(page(f"gitops/base/{account}/values.yaml"))["serviceAccount"]["name"] == account


def test_values_that_pods_cannot_read_from_the_node_are_set(applications):
    parameters = {one["name"]: one["value"] for one in applications["aws-load-balancer-controller"].sources[0]["helm"]["parameters"]}
    assert parameters == {"clusterName": applications["root"].sources[0] and parameters["clusterName"], "region": "eu-central-1", "vpcId": "vpc-0123456789abcdef0"}
    arguments = applications["external-dns"].one("Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--zone-id-filter=Z0123456789ABCDEFGHIJ" in arguments and f"--txt-owner-id={parameters['clusterName']}" in arguments
    issuer = applications["root"].one("ClusterIssuer")["spec"]["acme"]["solvers"][0]["dns01"]["route53"]
    assert issuer == {"hostedZoneID": "Z0123456789ABCDEFGHIJ", "region": "eu-central-1"}


def test_the_services_dependencies_exist(applications):
    """Host names in the service's values are those of installed Services."""
    config = applications["shoutback"].one("ConfigMap", "shoutback")["data"]
    collector = applications["otel-collector"].one("Service")
    ports = {port["port"] for port in collector["spec"]["ports"]}
    host, port = re.fullmatch(r"http://([a-z.-]+):(\d+)", config["OTEL_EXPORTER_OTLP_ENDPOINT"]).groups()
    assert host == f"{collector['metadata']['name']}.{collector['metadata']['namespace']}" and int(port) in ports
    elasticsearch = applications["logging"].one("Elasticsearch")["metadata"]
    assert f"https://{elasticsearch['name']}-es-http.{elasticsearch['namespace']}.svc:9200" in str(applications["shoutback"].objects)
    assert f"{elasticsearch['name']}-es-http-certs-public" in str(applications["shoutback"].objects)
    ingress = applications["shoutback"].one("Ingress")
    assert ingress["metadata"]["annotations"]["cert-manager.io/cluster-issuer"] == applications["root"].one("ClusterIssuer")["metadata"]["name"]
    labels = applications["shoutback"].one("ServiceMonitor")["metadata"]["labels"]
    assert labels["release"] == "kube-prometheus-stack" == applications["kube-prometheus-stack"].sources[0]["helm"]["releaseName"]


def test_the_adapter_serves_the_autoscalers_metric(released, page):
    [rule] = yaml.safe_load(page("gitops/base/prometheus-adapter/values.yaml"))["rules"]["custom"]
    requested = [metric["pods"]["metric"]["name"] for metric in released.applications["production"]["shoutback"].one("HorizontalPodAutoscaler")["spec"]["metrics"] if metric["type"] == "Pods"]
    assert requested == [rule["name"]["as"]]
    assert re.fullmatch(rule["name"]["matches"], rule["seriesQuery"].partition("{")[0])
    assert f"`{requested[0]}`" in page("docs/metrics.md")
    query = rule["metricsQuery"].replace("<<.LabelMatchers>>", 'namespace="shoutback",pod=~"a|b"').replace("<<.GroupBy>>", "pod")
    for text in (query, rule["seriesQuery"]):
        done = subprocess.run(["promtool", "--experimental", "promql", "format", text], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
