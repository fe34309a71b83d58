"""Common findings in reviews of charts. Each check runs on every rendering, and on a chart with the fault."""

import re
import shutil

import pytest
import yaml
from rendering import ALL, CHART, EVERYTHING, SHORT, matches

CHECKS, MUTANTS = {}, []


def fault(*mutants):
    """A check. Each of `mutants` is a file of the chart, a text in it, and the replacement that causes the fault."""

    def register(check):
        CHECKS[check.__name__] = check
        MUTANTS.extend((check.__name__, *mutant) for mutant in mutants)
        return check

    return register


HELPERS, POD, DEPLOYMENT = "templates/_helpers.tpl", "templates/_pod.tpl", "templates/deployment.yaml"
POLICY, TEST, VALUES = "templates/networkpolicy.yaml", "templates/tests/shout.yaml", "values.yaml"
SELECTOR = '{{- include "shoutback.selectorLabels" . | nindent 4 }}'
SELECTOR_6 = '{{- include "shoutback.selectorLabels" . | nindent 6 }}'
WRONG = "app.kubernetes.io/name: shoutbacks"


def selectors(r):
    """Returns every selector of the replicas."""
    yield "Deployment", r.deployment["spec"]["selector"]
    for service in r.of_kind("Service"):
        yield f"Service {service['metadata']['name']}", {"matchLabels": service["spec"]["selector"]}
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
        for thing in r.of_kind(kind):
            yield kind, thing["spec"].get("selector", thing["spec"].get("podSelector"))
    for constraint in r.pod["spec"].get("topologySpreadConstraints", []):
        yield "topologySpreadConstraints", constraint["labelSelector"]


@fault(
    ("templates/service.yaml", SELECTOR, WRONG),
    ("templates/service-admin.yaml", SELECTOR, WRONG),
    ("templates/pdb.yaml", SELECTOR_6, WRONG),
    (POLICY, SELECTOR_6, WRONG),
    (DEPLOYMENT, '{{- include "shoutback.selectorLabels" $ | nindent 14 }}', WRONG),
    (DEPLOYMENT, SELECTOR_6, WRONG),
)
def a_selector_misses_the_replicas(r):
    for what, selector in selectors(r):
        assert matches(selector, r.pod["metadata"]["labels"]), what


@fault((HELPERS, "app.kubernetes.io/component: api", ""), (POLICY, SELECTOR_6, ""))
def a_selector_takes_other_pods(r):
    """The test pods, which would get requests, or count for the disruption budget."""
    test = {
        "app.kubernetes.io/name": "shoutback",
        "app.kubernetes.io/instance": r.release,
        "app.kubernetes.io/component": "test",
    }
    for pod in r.test_pods:
        assert test.items() <= pod["metadata"]["labels"].items()
    for what, selector in selectors(r):
        assert not matches(selector, test), what


@fault((HELPERS, "app.kubernetes.io/component: api", "app.kubernetes.io/component: api\nhelm.sh/chart: x"))
def a_selector_has_labels_that_change(r):
    """A Deployment's selector is immutable: with a version in it, every upgrade would fail."""
    for what, selector in selectors(r):
        assert set(selector["matchLabels"]) == {f"app.kubernetes.io/{name}" for name in ("name", "instance", "component")}, what


@fault((DEPLOYMENT, 'checksum/config: {{ include "shoutback.configData" . | sha256sum }}', "checksum/none: x"))
def a_change_of_the_configuration_restarts_nothing(r):
    changed = r.but({"config": {"IDLE_TIMEOUT": "99s"}})
    assert changed.pod["metadata"]["annotations"] != r.pod["metadata"]["annotations"]


@fault((DEPLOYMENT, "app.kubernetes.io/part-of: {{ .Chart.Name }}", "helm.sh/chart: {{ .Chart.Version }}"))
def a_new_version_of_the_chart_restarts_pods(r, copy):
    chart = copy(r.chart, ("Chart.yaml", "version: 0.1.0", "version: 0.1.1"))
    assert r.but(chart=chart).text != r.text
    assert r.but(chart=chart).pod == r.pod


@fault(
    (DEPLOYMENT, "{{- if not .Values.autoscaling.enabled }}", "{{- if true }}"),
    ("templates/hpa.yaml", "kind: Deployment", "kind: ReplicaSet"),
)
def replicas_conflict_with_the_autoscaler(r):
    scalers = r.of_kind("HorizontalPodAutoscaler")
    assert ("replicas" in r.deployment["spec"]) == (not scalers)
    for scaler in scalers:
        target = scaler["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) == ("Deployment", r.deployment["metadata"]["name"])


@fault(("templates/hpa.yaml", "container: shoutback", "container: app"))
def the_autoscaler_uses_a_metric_that_is_not_reported(r):
    for scaler in r.of_kind("HorizontalPodAutoscaler"):
        for metric in scaler["spec"]["metrics"]:
            if metric["type"] == "ContainerResource":
                assert metric["containerResource"]["container"] == r.container["name"]
                assert "cpu" in r.container["resources"]["requests"]
            else:
                assert metric["pods"]["metric"]["name"] in (CHART.parents[1] / "docs/metrics.md").read_text()


@fault(
    (DEPLOYMENT, "livenessProbe:\n            httpGet: {path: /livez", "livenessProbe:\n            httpGet: {path: /readyz"),
    (DEPLOYMENT, "readinessProbe:\n            httpGet: {path: /readyz", "readinessProbe:\n            httpGet: {path: /livez"),
)
def a_liveness_probe_depends_on_another_service(r):
    """/readyz needs Cognito's keys once, and fails during shutdown; a restart would not help."""
    for probe, path in (("startup", "/livez"), ("liveness", "/livez"), ("readiness", "/readyz")):
        assert r.container[f"{probe}Probe"]["httpGet"] == {"path": path, "port": "admin"}


@fault((VALUES, "  liveness:\n    periodSeconds: 10", "  liveness:\n    periodSeconds: 2"))
def a_slow_replica_is_restarted_before_it_is_unready(r):
    liveness, readiness = r.container["livenessProbe"], r.container["readinessProbe"]
    for probe in (liveness, readiness, r.container["startupProbe"]):
        assert probe["timeoutSeconds"] >= 2
    assert liveness["periodSeconds"] * liveness["failureThreshold"] > readiness["periodSeconds"] * readiness["failureThreshold"]


@fault(
    ("templates/pdb.yaml", "maxUnavailable: {{ .Values.podDisruptionBudget.maxUnavailable }}", "minAvailable: 100%"),
    ("templates/pdb.yaml", "unhealthyPodEvictionPolicy: AlwaysAllow", ""),
)
def the_budget_blocks_a_drain(r):
    for budget in r.of_kind("PodDisruptionBudget"):
        assert "minAvailable" not in budget["spec"]
        assert str(budget["spec"]["maxUnavailable"]) not in ("0", "0%")
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@fault(
    (POD, "(mergeOverwrite $computed (deepCopy .Values.resources))", "dict"),
    (TEST, "        limits:\n          memory: 64Mi", "        limits:"),
    ("templates/_filebeat.tpl", "{{- toYaml $filebeat.resources | nindent 4 }}", "{}"),
    (POD, '"requests" (dict "ephemeral-storage"', '"requests" (dict "x"'),
)
def a_container_has_no_requests_or_limits(r):
    for container in r.containers():
        resources = container["resources"]
        assert {"cpu", "memory", "ephemeral-storage"} <= set(resources["requests"]), container["name"]
        assert {"memory", "ephemeral-storage"} <= set(resources["limits"]), container["name"]


@fault((VALUES, "  limits: {}", "  limits:\n    cpu: 1"))
def a_cpu_limit_throttles(r):
    for container in r.containers():
        assert "cpu" not in container["resources"]["limits"], container["name"]


def ports(rule):
    return {(port["port"], port["protocol"]) for port in rule["ports"]}


@fault((POLICY, "        - port: 53\n          protocol: UDP\n", ""), (POLICY, "policy.dns", "policy.monitoring"))
def names_cannot_be_resolved(r):
    for policy in r.of_kind("NetworkPolicy"):
        # Environments add the address of a DNS server that is no pod.
        rules = [rule for rule in policy["spec"]["egress"] if ports(rule) == {(53, "UDP"), (53, "TCP")}]
        [peer] = [peer for rule in rules for peer in rule["to"] if "podSelector" in peer]
        assert peer["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}
        assert peer["podSelector"] == {"matchLabels": {"k8s-app": "kube-dns"}}


@fault(
    (POLICY, "              - 169.254.0.0/16\n", ""),
    (POLICY, "policyTypes: [Ingress, Egress]", "policyTypes: [Ingress]"),
    (POLICY, "              - 10.0.0.0/8\n", ""),
)
def the_service_reaches_private_addresses(r):
    for policy in r.of_kind("NetworkPolicy"):
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        for rule in policy["spec"]["egress"]:
            assert rule["to"] and rule["ports"]
            for block in [peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer]:
                if block["cidr"] == "0.0.0.0/0":
                    assert ports(rule) == {(80, "TCP"), (443, "TCP")}
                    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"} <= set(
                        block["except"]
                    )


@fault(
    (POLICY, '        {{- include "shoutback.peer" $policy.ingressController | nindent 8 }}\n', "        - {}\n"),
    (POLICY, "        - port: admin\n          protocol: TCP", "        - port: http\n          protocol: TCP"),
    (POLICY, "        - port: http\n", "        - port: web\n"),
    (POLICY, "              app.kubernetes.io/component: test", "              app.kubernetes.io/component: tests"),
)
def the_network_policy_accepts_others_or_blocks_clients(r):
    named = {port["name"] for port in r.container["ports"]}
    for policy in r.of_kind("NetworkPolicy"):
        rules = {}
        for rule in policy["spec"]["ingress"]:
            assert rule["from"] and all(rule["from"]), "every pod is accepted"
            [(port, protocol)] = ports(rule)
            assert port in named and protocol == "TCP"
            assert port not in rules
            rules[port] = rule["from"]
        assert set(rules) == {"http", "admin"}

        def namespaces(peers):
            return {
                p["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for p in peers if "namespaceSelector" in p
            }

        assert namespaces(rules["admin"]) == {"monitoring"} and len(rules["admin"]) == 1
        assert "nginx-ingress" in namespaces(rules["http"]) and "monitoring" not in namespaces(rules["http"])
        for pod in r.test_pods:
            assert any(matches(p["podSelector"], pod["metadata"]["labels"]) for p in rules["http"] if set(p) == {"podSelector"})


@fault(
    (HELPERS, '{{- printf "%s:%s" $image.repository $image.tag -}}', "{{- $image.repository -}}"),
    (HELPERS, "{{- with $image.digest -}}@{{ . }}{{- end -}}", ""),
)
def an_image_is_not_pinned(r):
    for container in r.containers():
        repository, _, tag = container["image"].partition("@")[0].rpartition(":")
        assert repository and tag != "latest", container["image"]
        if "pullPolicy: Never" not in r.files[0].read_text():
            assert re.search(r":[\w.-]+@sha256:[0-9a-f]{64}$", container["image"])


@fault(
    (DEPLOYMENT, "automountServiceAccountToken: false", ""),
    (TEST, "automountServiceAccountToken: false", "automountServiceAccountToken: true"),
    ("templates/serviceaccount.yaml", "automountServiceAccountToken: false", ""),
    (DEPLOYMENT, "      enableServiceLinks: false\n", ""),
)
def a_token_is_mounted(r):
    for pod in r.pods():
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["enableServiceLinks"] is False
    for account in r.of_kind("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


@fault((DEPLOYMENT, 'serviceAccountName: {{ include "shoutback.serviceAccountName" . }}', "serviceAccountName: other"))
def the_account_does_not_exist(r):
    accounts = {account["metadata"]["name"] for account in r.of_kind("ServiceAccount")}
    for pod in r.pods():
        assert pod["spec"]["serviceAccountName"] in accounts


@fault(
    (HELPERS, "runAsNonRoot: true", ""),
    (HELPERS, "runAsUser: 65532", "runAsUser: 0"),
    (HELPERS, "allowPrivilegeEscalation: false", "privileged: true"),
    (HELPERS, "readOnlyRootFilesystem: true", ""),
    (HELPERS, "drop: [ALL]", "add: [NET_ADMIN]"),
    (HELPERS, "type: RuntimeDefault", "type: Unconfined"),
    (TEST, '{{- include "shoutback.containerSecurityContext" . | nindent 8 }}', "{}"),
    ("templates/_filebeat.tpl", "runAsUser: 1000", "runAsUser: 0"),
    (DEPLOYMENT, "      enableServiceLinks: false\n", "      enableServiceLinks: false\n      hostNetwork: true\n"),
)
def a_container_has_too_many_privileges(r):
    for pod in r.pods():
        context = pod["spec"]["securityContext"]
        assert context["runAsNonRoot"] is True and context["runAsUser"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod["spec"].keys()
        for volume in pod["spec"].get("volumes", []):
            assert len({"emptyDir", "configMap", "secret"} & volume.keys()) == 1
    for container in r.containers():
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False and context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert not context.get("privileged") and context.get("runAsUser", 1) > 0
        assert not any("hostPort" in port for port in container.get("ports", []))


@fault(
    ("templates/configmap.yaml", "data:\n", "data:\n  OTEL_EXPORTER_OTLP_HEADERS: authorization=x\n"),
    ("templates/configmap.yaml", "kind: ConfigMap", "kind: Secret"),
)
def a_secret_is_in_the_manifests(r):
    assert not r.of_kind("Secret")
    for config in r.of_kind("ConfigMap"):
        for name in config["data"]:
            assert not re.search(r"SECRET|PASSWORD(?!_FILE$)|TOKEN|HEADERS$|API_KEY", name), name
    for container in r.containers():
        for entry in container.get("env", []):
            if re.search(r"SECRET|PASSWORD(?!_FILE$)|TOKEN$|HEADERS$|API_KEY|CLIENT_ID", entry["name"]):
                assert "secretKeyRef" in entry["valueFrom"], entry["name"]


@fault(
    (HELPERS, "namespace: {{ $root.Release.Namespace }}", "namespace: shoutback"),
    ("templates/serviceaccount.yaml", "  namespace: {{ .Release.Namespace }}\n", ""),
    (HELPERS, "namespace: {{ $root.Release.Namespace }}\n", ""),
)
def the_namespace_is_fixed(r):
    elsewhere = r.but(namespace="elsewhere")
    assert {thing["metadata"].get("namespace") for thing in elsewhere.objects} == {"elsewhere"}
    for kind, path in (("ServiceMonitor", ("namespaceSelector", "matchNames")),):
        for thing in elsewhere.of_kind(kind):
            assert thing["spec"][path[0]][path[1]] == ["elsewhere"]


def milliseconds(text):
    number, unit = re.fullmatch(r"(\d+) *(ms|s|m|h|d)", text).groups()
    return int(number) * {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}[unit]


@fault((DEPLOYMENT, '{{ .Values.terminationGracePeriodSeconds | default (include "shoutback.neededGrace" .) | int64 }}', "30"))
def the_grace_period_is_too_short(r):
    variables = r.variables()
    needed = milliseconds(variables.get("SHUTDOWN_GRACE", "5s")) + milliseconds(variables.get("SHUTDOWN_TIMEOUT", "25s")) + 5000
    needed += 11_000 if "LOG_FILE" in variables else 0
    assert r.pod["spec"]["terminationGracePeriodSeconds"] * 1000 >= needed


@fault(
    (TEST, "helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded", "x: y"),
    (TEST, "  activeDeadlineSeconds: 120\n", ""),
)
def the_test_pod_is_never_deleted(r):
    for pod in r.test_pods:
        annotations = pod["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "test"
        assert set(annotations["helm.sh/hook-delete-policy"].split(",")) == {"before-hook-creation", "hook-succeeded"}
        assert pod["spec"]["activeDeadlineSeconds"] and pod["spec"]["restartPolicy"] == "Never"


@fault(
    (HELPERS, "{{- .Release.Name | trunc 40 |", "{{- .Release.Name | trunc 53 |"),
    (HELPERS, "{{- .Values.image.tag | trunc 63 |", "{{- .Values.image.tag |"),
)
def a_name_is_too_long(r):
    """53 characters is Helm's limit for the name of a release."""
    more = {"nameOverride": "", "fullnameOverride": ""}
    if "pullPolicy: Never" in r.files[0].read_text() or r.files == EVERYTHING.files:
        more |= {"environment": "development", "image": {"tag": "t" * 128, "digest": ""}}
    for release in ("shoutback-" + "x" * 43, "x" * 53, "shoutback-" + "y" * 29 + "-" + "z" * 13):
        for thing in r.but(more, release=release).objects:
            name = thing["metadata"]["name"]
            assert len(name) <= 63 and re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name), name
            for value in thing["metadata"]["labels"].values():
                assert len(value) <= 63 and re.fullmatch(r"[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?", value), value


@fault(
    ("templates/service.yaml", "targetPort: http", "targetPort: web"),
    ("templates/service-admin.yaml", "targetPort: admin", "targetPort: metrics"),
    (DEPLOYMENT, "- name: admin", "- name: metrics"),
    (DEPLOYMENT, "containerPort: 5000", "containerPort: 8080"),
)
def a_port_has_no_target(r):
    named = {port["name"]: port["containerPort"] for port in r.container["ports"]}
    variables = r.variables()
    assert variables["HTTP_ADDR"].endswith(f":{named['http']}") and variables["ADMIN_ADDR"].endswith(f":{named['admin']}")
    for service in r.of_kind("Service"):
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in named
    for container in r.pod["spec"].get("initContainers", []) + r.pod["spec"]["containers"]:
        own = {port["name"] for port in container.get("ports", [])}
        assert all(probe["httpGet"]["port"] in own for name, probe in container.items() if name.endswith("Probe"))


@fault(
    ("templates/service.yaml", "    - name: http\n", "    - {name: admin, port: 9090, targetPort: admin}\n    - name: http\n"),
    ("templates/service.yaml", "type: ClusterIP", "type: LoadBalancer"),
)
def the_admin_port_is_public(r):
    for service in r.of_kind("Service"):
        assert service["spec"]["type"] == "ClusterIP"
    public = r.service("api")
    assert [port["targetPort"] for port in public["spec"]["ports"]] == ["http"]
    for ingress in r.of_kind("Ingress", "HTTPRoute"):
        assert r.service("admin")["metadata"]["name"] not in yaml.safe_dump(ingress["spec"])


@fault(
    (HELPERS, "app.kubernetes.io/instance: {{ .Release.Name }}", "app.kubernetes.io/instance: shoutback"),
    (HELPERS, 'name: {{ include "shoutback.fullname" $root }}', "name: shoutback"),
)
def two_releases_collide(r):
    more = {"nameOverride": "", "serviceAccount": {"name": ""}}
    one, two = r.but(more, release="blue"), r.but(more, release="green")

    def names(rendering):
        return {(thing["kind"], thing["metadata"]["name"]) for thing in rendering.objects}

    assert not names(one) & names(two)
    for what, selector in selectors(one):
        assert not matches(selector, two.pod["metadata"]["labels"]), what
    for monitor in one.of_kind("ServiceMonitor"):
        assert not any(matches(monitor["spec"]["selector"], s["metadata"]["labels"]) for s in two.of_kind("Service"))


@fault((DEPLOYMENT, "maxUnavailable: 0", "maxUnavailable: 1"), (DEPLOYMENT, "type: RollingUpdate", "type: Recreate"))
def a_rollout_removes_replicas_first(r):
    assert r.deployment["spec"]["strategy"]["type"] == "RollingUpdate"
    assert r.deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def mebibytes(quantity):
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi|)", str(quantity)).groups()
    return int(number) * {"Mi": 1, "Gi": 1024, "": 1 / (1 << 20)}[unit]


@fault(
    ("templates/_filebeat.tpl", '    sizeLimit: {{ include "shoutback.logVolumeBytes" . | quote }}', "    medium: Memory"),
    ("templates/_filebeat.tpl", "sizeLimit: 16Mi", "sizeLimit: 1Gi"),
)
def a_volume_grows_without_bound_or_evicts_the_pod(r):
    if r.pod["spec"].get("volumes"):
        r = r.but({"config": {"LOG_FILE_MAX_BYTES": "400MiB"}})
    dirs = {volume["name"]: volume["emptyDir"] for volume in r.pod["spec"].get("volumes", []) if "emptyDir" in volume}
    containers = r.pod["spec"].get("initContainers", []) + r.pod["spec"]["containers"]
    limit = sum(mebibytes(container["resources"]["limits"]["ephemeral-storage"]) for container in containers)
    # Besides the volumes, kubelet stores some 50 MiB of each container's output.
    assert sum(mebibytes(directory["sizeLimit"]) for directory in dirs.values()) + 50 * len(containers) <= limit
    assert all("medium" not in directory for directory in dirs.values())


@fault((POD, "- name: POD_NAME\n", "- name: PODNAME\n"), ("templates/_filebeat.tpl", "$filebeat.logLevel", '"$(NOBODY)"'))
def a_variable_refers_to_an_undefined_one(r):
    for container in r.containers():
        defined = set()
        for entry in container.get("env", []):
            for name in re.findall(r"(?<!\$)\$\(([A-Z_]+)\)", entry.get("value", "")):
                assert name in defined, f"{entry['name']} refers to {name}"
            assert entry["name"] not in defined, f"{entry['name']} is defined twice"
            defined.add(entry["name"])


@fault(
    (
        DEPLOYMENT,
        '- configMapRef:\n                name: {{ include "shoutback.fullname" . }}',
        "- configMapRef:\n                name: shoutback-env",
    ),
    ("templates/_filebeat.tpl", 'name: {{ include "shoutback.fullname" . }}-filebeat', "name: filebeat"),
    (
        "templates/hpa.yaml",
        '    name: {{ include "shoutback.fullname" . }}\n  minReplicas',
        "    name: shoutback\n  minReplicas",
    ),
)
def a_reference_is_dangling(r):
    given = [values for file in r.files for values in [yaml.safe_load(file.read_text())]]
    outside = set(re.findall(r"(?:[nN]ame|existingSecret): (\S+)", yaml.safe_dump(given)))
    existing = {(thing["kind"], thing["metadata"]["name"]) for thing in r.objects}

    def refers(kind, name):
        assert (kind, name) in existing or name in outside, f"{kind} {name}"

    for pod in r.pods():
        for volume in pod["spec"].get("volumes", []):
            if "configMap" in volume:
                refers("ConfigMap", volume["configMap"]["name"])
            if "secret" in volume:
                refers("Secret", volume["secret"]["secretName"])
    for container in r.containers():
        mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
        assert mounted <= {volume["name"] for pod in r.pods() for volume in pod["spec"].get("volumes", [])}
        for source in container.get("envFrom", []):
            for kind, reference in source.items():
                refers({"configMapRef": "ConfigMap", "secretRef": "Secret"}[kind], reference["name"])
        for entry in container.get("env", []):
            if "secretKeyRef" in entry.get("valueFrom", {}):
                refers("Secret", entry["valueFrom"]["secretKeyRef"]["name"])
    for scaler in r.of_kind("HorizontalPodAutoscaler"):
        refers(scaler["spec"]["scaleTargetRef"]["kind"], scaler["spec"]["scaleTargetRef"]["name"])


@fault(("templates/_helpers.tpl", '  {{- include "shoutback.labels" . | nindent 2 }}', "  app: shoutback"))
def the_common_labels_are_missing(r):
    expected = {f"app.kubernetes.io/{name}" for name in ("name", "instance", "version", "component", "part-of", "managed-by")}
    for thing in r.objects:
        assert expected | {"helm.sh/chart"} <= set(thing["metadata"]["labels"]), thing["metadata"]["name"]


@fault(
    (DEPLOYMENT, "whenUnsatisfiable: {{ .whenUnsatisfiable }}", "whenUnsatisfiable: DoNotSchedule"),
    (VALUES, "- topologyKey: topology.kubernetes.io/zone", "- topologyKey: topology.kubernetes.io/region"),
)
def replicas_are_not_spread_or_cannot_be_scheduled(r):
    spread = {c["topologyKey"]: c["whenUnsatisfiable"] for c in r.pod["spec"]["topologySpreadConstraints"]}
    assert {"topology.kubernetes.io/zone", "kubernetes.io/hostname"} <= spread.keys()
    assert set(spread.values()) == {"ScheduleAnyway"}


@pytest.fixture
def copy(tmp_path):
    """Returns a function that copies a chart with one text replaced."""
    numbers = iter(range(9))

    def copied(chart, mutant):
        directory = tmp_path / f"chart-{next(numbers)}"
        shutil.copytree(chart, directory)
        name, old, new = mutant
        text = (directory / name).read_text()
        assert old in text, f"{name} has no {old!r}: update the mutant"
        (directory / name).write_text(text.replace(old, new))
        return directory

    return copied


def run_check(check, rendering, copy):
    CHECKS[check](*([rendering, copy] if CHECKS[check].__code__.co_argcount == 2 else [rendering]))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("check", CHECKS)
def test_the_chart_does_not_have_the_fault(check, name, copy):
    run_check(check, ALL[name], copy)


BASES = (SHORT, ALL["minimal"], EVERYTHING)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant[0]}-{mutant[1]}")
def test_the_fault_is_found(mutant, copy):
    check, *change = mutant
    faulty = copy(CHART, change)
    for base in BASES:
        rendering = base.but(chart=faulty)
        # A chart that cannot be rendered proves nothing.
        assert rendering.text
        try:
            run_check(check, rendering, copy)
        except (AssertionError, LookupError, TypeError, ValueError):
            return
    pytest.fail("the check passes")


def test_each_check_has_a_mutant():
    assert set(CHECKS) == {check for check, *_ in MUTANTS}
    assert len(CHECKS) >= 25
