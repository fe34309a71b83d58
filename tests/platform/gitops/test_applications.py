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


def test_each_lifecycle_has_its_own_commit(released, environment, applications):
    """The service is of its release, everything else of the platform's."""
    for application in applications.values():
        for source in application.sources:
            if source["repoURL"] != REPOSITORY:
                continue
            if source.get("ref") == "deployed":
                assert application.name in ("platform", "shoutback") and source == application.sources[0]
                assert source == {"repoURL": REPOSITORY, "targetRevision": f"deploy/{environment}", "ref": "deployed"}
            else:
                commit = released.builds[environment].tag if application.name == "shoutback" else released.platform
                assert source["targetRevision"] == commit, application.name


def test_a_rollback_of_the_service_changes_nothing_else(released):
    source, environment = released.source, "staging"
    run = released.source.run(released.builds[environment].tag)
    before = released.applications[environment]
    older, newer = released.builds["production"], released.builds[environment]
    run.prints("rollback", environment)
    try:
        after = Installation(source, environment).applications()
        deployment = str(after["shoutback"].one("Deployment"))
        assert older.digest in deployment and newer.digest not in deployment
        assert {name: one.manifest for name, one in after.items() if name != "shoutback"} == {
            name: one.manifest for name, one in before.items() if name != "shoutback"
        }
    finally:
        run.prints("deploy", environment, newer.tag, newer.digest)


def test_an_override_reaches_the_service_whatever_is_released(released):
    source, environment = released.source, "production"
    run = source.run(released.builds[environment].tag)
    deployed = run.prints("override", environment, "set", "SHOUTCLOUD_FALLBACK=local", "--reason", "Incident 42", PATH=os.environ["PATH"])
    try:
        overridden = Installation(source, environment).applications()["shoutback"]
        before = released.applications[environment]["shoutback"]
        config, template = (lambda one: one.one("ConfigMap", "shoutback")["data"]), (lambda one: one.one("Deployment")["spec"]["template"]["metadata"])
        assert config(overridden) == config(before) | {"SHOUTCLOUD_FALLBACK": "local"}
        # The pods restart, and Prometheus sees the label.
        assert template(overridden)["annotations"] != template(before)["annotations"]
        assert template(overridden)["labels"].keys() - template(before)["labels"].keys() == {"shoutback-override"}
        assert before.sources[0]["ref"] == "deployed" and deployed
    finally:
        run.prints("override", environment, "remove", "SHOUTCLOUD_FALLBACK", "--reason", "It is over", PATH=os.environ["PATH"])
    assert config(Installation(source, environment).applications()["shoutback"]) == config(before)


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
    documented = re.search(r"only the suite `charts` renders (.*?)\.\s", page("gitops/README.md"), re.S)[1]
    for applications in released.applications.values():
        assert {name for name, one in applications.items() if not one.rendered} == set(re.findall(r"`([a-z0-9-]+)`", documented))


def test_every_image_has_a_version(released):
    checked = set()
    for application in released.all:
        for image in images(without_definitions(application)):
            name = image.rpartition("/")[2]
            # The chart sets its version at publication.
            assert "@sha256:" in name or re.search(r":v?\d", name), f"{application.name}: {image}"
            checked.add(name.partition(":")[0])
    assert {"shoutback", "opentelemetry-collector-contrib", "curl", "external-dns", "cert-manager-controller"} <= checked


def test_no_image_comes_from_docker_hub(released, page):
    """It limits the pulls of an address, which all nodes share: in an incident no replica could be added."""
    for application in released.all:
        for image in images(without_definitions(application)):
            host = image.partition("/")[0]
            assert "." in host and host != "docker.io", f"{application.name}: {image}"
    for name in ("nginx-ingress", "nginx-internal"):
        assert values(page, name)["controller"]["image"] == {"repository": "public.ecr.aws/nginx/nginx-ingress"}


def test_the_charts_own_images_are_admitted(applications, page):
    """`helm test`, and the sidecar if it is switched on."""
    admitted = yaml.safe_load(page("gitops/platform/values.yaml"))["otherImages"]
    chart = yaml.safe_load(page("helm/shoutback/values.yaml"))
    assert sorted(part["image"]["repository"] for part in (chart["filebeat"], chart["tests"])) == sorted(admitted)


def test_no_image_is_latest(released, environment, applications):
    for application in applications.values():
        for thing in [application.manifest, *without_definitions(application)]:
            for text in scalars(thing):
                assert not re.search(r":latest\b(?!')|^latest", text), f"{application.name}: {text}"
    for file in ROOT.glob("gitops/**/*.yaml"):
        assert not re.search(r"^\s*(tag|version|targetRevision): *\"?(latest|main|master|HEAD)", file.read_text(), re.M), file


def test_the_projects_permit_them(released, environment, applications):
    projects = {thing["metadata"]["name"]: thing["spec"] for thing in applications["argocd-settings"].objects if thing["kind"] == "AppProject"}
    # Comes with the installation.
    assert projects.pop("default") == {"sourceRepos": [], "destinations": []}
    used = {name: set() for name in projects}
    for application in applications.values():
        project = projects[application.spec["project"]]
        for source in application.sources:
            assert source["repoURL"] in project["sourceRepos"], application.name
            used[application.spec["project"]].add(source["repoURL"])
        assert {application.namespace, "*"} & {destination["namespace"] for destination in project["destinations"]}, application.name
        for thing in application.objects:
            namespace = thing["metadata"].get("namespace")
            if application.spec["project"] == "shoutback":
                assert namespace in (None, "shoutback")
                kind = {"group": thing["apiVersion"].rpartition("/")[0], "kind": thing["kind"]}
                assert kind in project["namespaceResourceWhitelist"], kind
    # Each permitted repository is used, except for that of the optional part.
    assert set(projects["platform"]["sourceRepos"]) - used["platform"] == {"https://argoproj.github.io/argo-helm"}
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
    # The applications with the definitions and webhooks for objects of others. The service is in no wave: it is another lifecycle.
    for before, after in [
        ("argocd", "cert-manager"),
        ("argocd-settings", "cluster"),
        ("cluster", "nginx-ingress"),
        ("cert-manager", "oauth2-proxy"),
        ("eck-operator", "logging"),
        ("kube-prometheus-stack", "nginx-ingress"),
        ("kube-prometheus-stack", "prometheus-adapter"),
    ]:
        assert wave[before] < wave[after], (before, after)
    issuer = applications["platform"].one("ClusterIssuer")
    assert wave["cert-manager"] < int(issuer["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"])
    # Namespaces come first, with their Pod Security.
    for thing in applications["platform"].objects:
        if thing["kind"] == "Namespace":
            assert int(thing["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"]) < min(wave.values())


def test_each_namespace_is_declared(applications):
    declared = {thing["metadata"]["name"] for thing in [*applications["platform"].objects, *applications["cluster"].objects] if thing["kind"] == "Namespace"}
    used = {application.namespace for application in applications.values()} | {
        thing["metadata"]["namespace"] for application in applications.values() for thing in application.objects if thing["metadata"].get("namespace")
    }
    assert used - declared == {"kube-system"}


def test_each_values_file_is_read_by_an_application(released):
    existing = {str(path.relative_to(ROOT)) for path in ROOT.glob("gitops/*/*/*.yaml")}
    existing = {path for path in existing if path.split("/")[2] in ("values", "staging", "production")}
    assert existing == released.read


def test_environments_have_the_same_files():
    trees = [
        {str(path.relative_to(ROOT)).replace(f"/{name}/", "/", 1) for folder in ROOT.glob(f"gitops/*/{name}") for path in folder.rglob("*.yaml")}
        for name in ("staging", "production")
    ]
    assert len(trees[1]) > 5
    # Staging has its own quota and an additional permission: docs/teams.md.
    assert trees[0] - trees[1] == {"gitops/platform/cluster/port-forward.yaml", "gitops/platform/cluster/resource-quota.yaml"} and not trees[1] - trees[0]


def test_pods_with_aws_roles_are_those_of_terraform(applications, page):
    section = page("gitops/README.md").partition("\n## Pods with AWS roles\n")[2].partition("\n## ")[0]
    documented = set(re.findall(r"^\| `([a-z-]+/[a-z-]+)` \|", section, re.M))
    assert len(documented) == 3
    for pod in documented:
        namespace, account = pod.split("/")
        application = applications[account]
        assert application.namespace == namespace
        assert application.one("ServiceAccount", account)["metadata"]["namespace"] == namespace


def test_values_that_pods_cannot_read_from_the_node_are_set(released, applications, environment):
    # Those of the examples, or an adopter's.
    cluster = yaml.safe_load((released.source.work / f"gitops/platform/{environment}/values.yaml").read_text())["cluster"]
    arguments = applications["external-dns"].one("Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert f"--zone-id-filter={cluster['zoneId']}" in arguments and f"--txt-owner-id=shoutback-{environment}" in arguments
    issuer = applications["platform"].one("ClusterIssuer")["spec"]["acme"]["solvers"][0]["dns01"]["route53"]
    assert issuer == {"hostedZoneID": cluster["zoneId"], "region": cluster["region"]}


def test_the_services_dependencies_exist(applications):
    """Host names in the service's values are those of installed Services."""
    config = applications["shoutback"].one("ConfigMap", "shoutback")["data"]
    collector = applications["otel-collector"].one("Service")
    ports = {port["port"] for port in collector["spec"]["ports"]}
    host, port = re.fullmatch(r"http://([a-z.-]+):(\d+)", config["OTEL_EXPORTER_OTLP_ENDPOINT"]).groups()
    assert host == f"{collector['metadata']['name']}.{collector['metadata']['namespace']}" and int(port) in ports
    elasticsearch = applications["logging"].one("Elasticsearch")["metadata"]
    assert f"https://{elasticsearch['name']}-es-http.{elasticsearch['namespace']}.svc:9200" in str(applications["filebeat"].objects)
    assert f"{elasticsearch['name']}-es-http-certs-public" in str(applications["filebeat"].objects)
    ingress = applications["shoutback"].one("Ingress")
    assert ingress["metadata"]["annotations"]["cert-manager.io/cluster-issuer"] == applications["platform"].one("ClusterIssuer")["metadata"]["name"]
    labels = applications["shoutback"].one("ServiceMonitor")["metadata"]["labels"]
    assert labels["release"] == "kube-prometheus-stack" == applications["kube-prometheus-stack"].sources[0]["helm"]["releaseName"]


def values(page, name):
    """Returns the values of both environments."""
    base = yaml.safe_load(page("gitops/platform/values.yaml"))["applications"][name].get("base")
    own = yaml.safe_load(page(f"gitops/platform/values/{name}.yaml"))
    return merged(yaml.safe_load(page(f"gitops/platform/values/{base}.yaml")), own) if base else own


def merged(one, other):
    both = {name: merged(one[name], other[name]) for name in one.keys() & other.keys() if isinstance(one[name], dict)}
    return one | other | both


def test_narrow_roles_replace_those_of_charts(applications, page):
    """The charts' own read every Secret of the cluster."""
    roles = {thing["metadata"]["name"]: thing["rules"] for thing in applications["platform"].objects if thing["kind"] == "ClusterRole"}
    assert not [name for name, rules in roles.items() for rule in rules if {"secrets", "*"} & set(rule["resources"])]
    assert values(page, "kube-prometheus-stack")["grafana"]["rbac"]["useExistingClusterRole"] in roles
    for name in ("nginx-ingress", "nginx-internal"):
        assert values(page, name)["rbac"]["clusterrole"] == {"create": False} and name in roles


def test_the_request_path_is_evicted_last(applications, page):
    [priority] = [thing["metadata"]["name"] for thing in applications["cluster"].objects if thing["kind"] == "PriorityClass"]
    for name, kind in (("shoutback", "Deployment"), ("otel-collector", "DaemonSet")):
        assert applications[name].one(kind)["spec"]["template"]["spec"]["priorityClassName"] == priority
    assert values(page, "nginx-ingress")["controller"]["priorityClassName"] == priority


def test_the_collector_runs_where_replicas_run(applications):
    """And is evicted from a drained node after them: Karpenter evicts no pod that tolerates its taint, and ends the node with its traces."""
    replicas, collector = applications["shoutback"].one("Deployment"), applications["otel-collector"].one("DaemonSet")
    assert replicas["spec"]["template"]["spec"].get("tolerations", []) == collector["spec"]["template"]["spec"].get("tolerations", []) == []
    [pool] = [thing for thing in applications["platform"].objects if thing["kind"] == "NodePool"]
    assert not pool["spec"]["template"]["spec"].get("taints")


def test_nodes_have_the_architectures_of_the_image(applications, page):
    [pool] = [thing for thing in applications["platform"].objects if thing["kind"] == "NodePool"]
    [nodes] = [one["values"] for one in pool["spec"]["template"]["spec"]["requirements"] if one["key"] == "kubernetes.io/arch"]
    assert nodes == re.findall(r"- architecture: (\w+)", page(".github/workflows/main.yml")) == ["amd64", "arm64"]


def test_a_drained_node_holds_up_no_ingress_controller(page):
    for name in ("nginx-ingress", "nginx-internal"):
        for constraint in values(page, name)["controller"]["topologySpreadConstraints"]:
            assert constraint["whenUnsatisfiable"] == "ScheduleAnyway" or constraint["nodeTaintsPolicy"] == "Honor"


def test_rendering_the_ingress_controllers_needs_no_other_server(applications):
    """The chart's schema refers to files on the internet."""
    for application in applications.values():
        for source in application.sources:
            assert source.get("chart") != "nginx-ingress" or source["helm"]["skipSchemaValidation"] is True


def test_a_sync_has_a_time_limit(applications):
    """Longer than the retries of an add-on, so that a sync is not terminated before they are over."""
    limit = int(applications["argocd-settings"].one("ConfigMap", "argocd-cmd-params-cm")["data"]["controller.sync.timeout.seconds"])
    for name, most in (("shoutback", 180), ("logging", limit)):
        retry = applications[name].spec["syncPolicy"]["retry"]
        first, longest = int(retry["backoff"]["duration"].removesuffix("s")), 60 * int(retry["backoff"]["maxDuration"].removesuffix("m"))
        assert 0 < sum(min(first * retry["backoff"]["factor"] ** number, longest) for number in range(retry["limit"])) < most


def test_external_dns_deletes_no_record(applications):
    """With `sync` it takes the API off the DNS as soon as the Ingress has no address for a moment."""
    arguments = applications["external-dns"].one("Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert [argument for argument in arguments if argument.startswith("--policy")] == ["--policy=upsert-only"]


def test_the_adapter_serves_the_autoscalers_metric(released, page):
    [rule] = yaml.safe_load(page("gitops/platform/values/prometheus-adapter.yaml"))["rules"]["custom"]
    requested = [metric["pods"]["metric"]["name"] for metric in released.applications["production"]["shoutback"].one("HorizontalPodAutoscaler")["spec"]["metrics"] if metric["type"] == "Pods"]
    assert requested == [rule["name"]["as"]]
    assert re.fullmatch(rule["name"]["matches"], rule["seriesQuery"].partition("{")[0])
    assert f"`{requested[0]}`" in page("docs/metrics.md")
    query = rule["metricsQuery"].replace("<<.LabelMatchers>>", 'namespace="shoutback",pod=~"a|b"').replace("<<.GroupBy>>", "pod")
    for text in (query, rule["seriesQuery"]):
        done = subprocess.run(["promtool", "--experimental", "promql", "format", text], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
