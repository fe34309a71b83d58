"""The sidecar: its configuration, and that it ends after the service."""

import fnmatch
import re
import subprocess

import pytest
import yaml
from rendering import ALL, EVERYTHING, MINIMAL, TOP, ci

from harness.process import ENVIRONMENT, wait_until

RENDERING = ci("filebeat")
STARTED = "filebeat -e -c /etc/shoutback-filebeat/filebeat.yml --strict.perms=false"
SHIPPED = (TOP / "observability/filebeat/filebeat.yml").read_text()
NODE_TEXT = (TOP / "observability/filebeat/node.yml").read_text()
NODE = yaml.safe_load(NODE_TEXT)


def sidecar(rendering=RENDERING):
    [container] = rendering.pod["spec"]["initContainers"]
    return container


def test_it_is_a_native_sidecar():
    assert sidecar()["restartPolicy"] == "Always"


def test_its_configuration_is_the_shipped_one():
    [config] = [c for c in RENDERING.of_kind("ConfigMap") if "filebeat.yml" in c["data"]]
    assert yaml.safe_load(config["data"]["filebeat.yml"]) == yaml.safe_load(SHIPPED)
    [volume] = [v for v in RENDERING.pod["spec"]["volumes"] if "configMap" in v]
    assert volume["configMap"]["name"] == config["metadata"]["name"]
    [mount] = [m for m in sidecar()["volumeMounts"] if m["name"] == volume["name"]]
    assert f"-c {mount['mountPath']}/filebeat.yml" in sidecar()["args"][0]


def test_each_variable_without_a_default_is_set():
    required = {match[1] for match in re.finditer(r"\$\{([A-Z_]+)(:?)", SHIPPED) if not match[2]}
    variables = {entry["name"] for entry in sidecar()["env"]}
    assert required <= variables
    # The script reads this one.
    assert variables - {"LINGER"} <= set(re.findall(r"\$\{([A-Z_]+)", SHIPPED))


def test_it_reads_the_services_log_directory():
    for rendering in (RENDERING, EVERYTHING):
        directory, _, name = rendering.variables()["LOG_FILE"].rpartition("/")
        [service_mount] = [m for m in rendering.container["volumeMounts"] if m["mountPath"] == directory]
        [sidecar_mount] = [m for m in sidecar(rendering)["volumeMounts"] if m["name"] == service_mount["name"]]
        assert sidecar_mount["mountPath"] == directory and sidecar_mount["readOnly"] and "readOnly" not in service_mount
        assert f"${{LOG_DIRECTORY:{directory}}}/{name}" in SHIPPED
        assert rendering.pod["spec"]["securityContext"]["fsGroup"]


def test_its_registry_is_on_a_volume():
    [mount] = [m for m in sidecar()["volumeMounts"] if m["name"] == "filebeat-registry"]
    assert f"${{REGISTRY_DIRECTORY:{mount['mountPath']}}}" in SHIPPED


def test_it_trusts_the_configured_certificates():
    for rendering, kind, name in ((RENDERING, "secret", "secretName"), (EVERYTHING, "configMap", "name")):
        [volume] = [v for v in rendering.pod["spec"]["volumes"] if v["name"] == "elasticsearch-ca"]
        assert volume[kind][name] in ("shoutback-es-http-certs-public", "elasticsearch-ca")
        [file] = [e["value"] for e in sidecar(rendering)["env"] if e["name"] == "ELASTICSEARCH_CA_FILE"]
        [mount] = [m for m in sidecar(rendering)["volumeMounts"] if m["name"] == "elasticsearch-ca"]
        assert file == f"{mount['mountPath']}/{volume[kind]['items'][0]['path']}"


def test_it_does_not_make_its_pod_unready():
    """A pod is ready only while its sidecars are."""
    assert not any(name.endswith("Probe") for name in sidecar())


def test_without_it_there_is_no_log_file():
    assert "LOG_FILE" not in MINIMAL.variables()
    assert not {"initContainers", "volumes"} & MINIMAL.pod["spec"].keys()
    assert "volumeMounts" not in MINIMAL.container


class TestShutdown:
    """The script that is its command, with fakes of Filebeat and of `sleep`, so that the tests do not wait."""

    @pytest.fixture
    def commands(self, tmp_path):
        log = tmp_path / "log"
        self.command(tmp_path / "sleep", f'echo "sleep $1" >>{log}')
        self.command(
            tmp_path / "filebeat",
            f"""trap 'echo "filebeat ends" >>{log}; exit' TERM
echo "filebeat $*" >>{log}
while :; do /bin/sleep 0.02; done""",
        )
        return tmp_path

    @staticmethod
    def command(path, text):
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    @staticmethod
    def start(commands):
        command = [*sidecar()["command"], *sidecar()["args"]]
        linger = {entry["name"]: entry.get("value") for entry in sidecar()["env"]}["LINGER"]
        return subprocess.Popen(
            command, env={"PATH": f"{commands}:{ENVIRONMENT['PATH']}", "LINGER": linger}, stderr=subprocess.DEVNULL
        )

    @staticmethod
    def until(commands, *lines):
        log = commands / "log"
        wait_until(f"{lines} are logged", lambda: log.exists() and log.read_text().splitlines()[: len(lines)] == list(lines))

    def test_it_continues_for_a_while_after_the_signal(self, commands):
        process = self.start(commands)
        self.until(commands, STARTED)
        process.terminate()
        assert process.wait(timeout=30) == 0
        started, waited, ended = (commands / "log").read_text().splitlines()
        assert (started, ended) == (STARTED, "filebeat ends")
        # Longer than the maximum interval between reads of an idle file.
        longest = int(re.search(r"backoff.max: (\d+)s", SHIPPED)[1])
        assert int(waited.removeprefix("sleep ")) > longest

    def test_it_is_restarted_if_it_fails(self, commands):
        self.command(commands / "filebeat", f'echo "filebeat $*" >>{commands}/log; exit 3')
        process = self.start(commands)
        try:
            self.until(commands, STARTED, "sleep 10", STARTED, "sleep 10", STARTED)
            assert process.poll() is None
        finally:
            process.terminate()
        assert process.wait(timeout=30) == 0

    def test_the_pods_grace_period_includes_it(self):
        linger = {entry["name"]: entry.get("value") for entry in sidecar()["env"]}["LINGER"]
        stop = int(re.search(r"filebeat.shutdown_timeout: (\d+)s", SHIPPED)[1])
        without = MINIMAL.pod["spec"]["terminationGracePeriodSeconds"]
        assert RENDERING.pod["spec"]["terminationGracePeriodSeconds"] == without + int(linger) + stop


class TestOnTheNode:
    """The chart that runs Filebeat apart from the replicas, so that neither its image nor its Secrets are on their start path."""

    DIGEST = "sha256:" + "0" * 64

    @pytest.fixture(scope="class")
    def objects(self):
        [chart] = TOP.glob("gitops/*/filebeat/Chart.yaml")
        command = ["helm", "template", "filebeat", chart.parent, "--namespace=filebeat", f"--set=environment=staging,image.tag=9.2.1@{self.DIGEST}"]
        result = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return {thing["kind"]: thing for thing in yaml.safe_load_all(result.stdout)}

    @pytest.fixture
    def container(self, objects):
        [container] = objects["DaemonSet"]["spec"]["template"]["spec"]["containers"]
        return container

    @pytest.mark.parametrize("name", ["staging", "production"])
    def test_replicas_of_the_environments_start_without_filebeat(self, name):
        """Kubernetes starts a pod's containers only once its sidecars run, and calls it ready only while all of them are."""
        assert not any("filebeat" in container["image"] for container in ALL[name].containers())
        assert "LOG_FILE" not in ALL[name].variables()

    def test_it_reads_what_kubelet_writes_for_the_replicas(self, container):
        """kubelet: /var/log/pods/NAMESPACE_POD_UID/CONTAINER/N.log, rotated ones N.log.TIME, then N.log.TIME.gz."""
        [input] = NODE["filebeat.inputs"]
        variables = {entry["name"]: entry.get("value") for entry in container["env"]}
        [pattern] = [expand(path, variables) for path in input["paths"]]
        service = f"/var/log/pods/shoutback_{RENDERING.deployment['metadata']['name']}-6d-x_u-i-d/{RENDERING.container['name']}/0.log"
        skipped = [re.compile(text) for text in input["prospector.scanner.exclude_files"]]
        read = [path for path in (service, f"{service}.20261129-120000", f"{service}.20261129-120000.gz", service.replace("shoutback_", "other_"))
                if fnmatch.fnmatch(path, pattern) and not any(each.search(path) for each in skipped)]  # fmt: skip
        assert read == [service, f"{service}.20261129-120000"]
        [mount] = [mount for mount in container["volumeMounts"] if pattern.startswith(mount["mountPath"] + "/")]
        assert mount["readOnly"]

    def test_each_line_has_the_pod_of_its_file(self, container):
        [tokenizer] = [step["dissect"]["tokenizer"] for step in NODE["processors"] if "dissect" in step]
        pattern = re.sub(r"%\{([a-z.]*)\}", lambda match: f"(?P<{match[1].replace('.', '_')}>[^_/]*)" if match[1] else ".*", expand(tokenizer, {}))
        found = re.fullmatch(pattern, "/var/log/pods/shoutback_shoutback-6d5f-x2z_0f3a-11/shoutback/0.log")
        assert found.groupdict() == {"namespace": "shoutback", "pod_name": "shoutback-6d5f-x2z", "pod_uid": "0f3a-11"}

    def test_its_options_are_the_sidecars(self):
        """Only where lines come from differs."""
        sidecar = yaml.safe_load(SHIPPED)
        differing = {name for name in NODE.keys() | sidecar.keys() if NODE.get(name) != sidecar.get(name)}
        assert differing == {"filebeat.inputs", "processors"}
        [mine], [other] = NODE["filebeat.inputs"], sidecar["filebeat.inputs"]
        assert {name for name in mine.keys() | other.keys() if mine.get(name) != other.get(name)} == {"paths", "parsers", "prospector.scanner.exclude_files"}
        assert mine["parsers"] == [{"container": None}, *other["parsers"]]

    def test_each_variable_without_a_default_is_set(self, container):
        required = {match[1] for match in re.finditer(r"\$\{([A-Z_]+)(:?)", NODE_TEXT) if not match[2]}
        assert required <= {entry["name"] for entry in container["env"]}

    def test_it_can_change_nothing_on_the_node(self, objects, container):
        spec = objects["DaemonSet"]["spec"]["template"]["spec"]
        assert [volume["hostPath"]["path"] for volume in spec["volumes"] if "hostPath" in volume] == ["/var/log/pods"]
        assert spec["automountServiceAccountToken"] is False and not {"hostNetwork", "hostPID"} & spec.keys()
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] and context["capabilities"] == {"drop": ["ALL"]} and not context["allowPrivilegeEscalation"]
        assert container["image"] == f"docker.elastic.co/beats/filebeat:9.2.1@{self.DIGEST}"


def expand(text, variables):
    return re.sub(r"\$\{([A-Z_]+)(?::([^}]*))?\}", lambda match: variables.get(match[1]) or match[2], text)
