"""The sidecar: its configuration, and that it ends after the service."""

import re
import subprocess

import pytest
import yaml
from rendering import EVERYTHING, MINIMAL, TOP, ci

from harness.process import ENVIRONMENT, wait_until

RENDERING = ci("filebeat")
STARTED = "filebeat -e -c /etc/shoutback-filebeat/filebeat.yml --strict.perms=false"
SHIPPED = (TOP / "observability/filebeat/filebeat.yml").read_text()


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
