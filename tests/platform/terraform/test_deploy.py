"""docs/deploy.md: what it says is run by a test is run here, and prints what it says."""

import json
import re
import shlex
import subprocess
from dataclasses import dataclass

import pytest
import yaml
from folders import ROOT, environment

PAGE = (ROOT / "docs/deploy.md").read_text()
DIGEST = "0123456789abcdef" * 4
SHA = DIGEST[:40]
RUN, NOT = "*Run by a test:*", "*Not run here:*"


@dataclass
class Command:
    text: str
    prints: list


def blocks():
    """Each block of commands: what stands above it, and its commands."""
    for mark, body in re.findall(r"([^\n]*)\n\n```console\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE):
        commands = []
        for line in body.splitlines():
            if line.startswith("$ "):
                commands.append(Command(line[2:], []))
            elif line.startswith("> "):
                commands[-1].text += "\n" + line[2:]
            else:
                commands[-1].prints.append(line)
        yield mark, commands


def test_every_block_says_whether_it_was_run():
    assert len(list(blocks())) == PAGE.count("```console") > 10
    assert {mark for mark, _ in blocks()} == {RUN, NOT}


def test_steps_are_numbered():
    numbers = [int(number) for number in re.findall(r"^## (\d+)\. ", PAGE, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) > 9


def test_commands_are_shell():
    for _, commands in blocks():
        for command in commands:
            done = subprocess.run(["bash", "-n"], input=command.text, capture_output=True, text=True)
            assert done.returncode == 0, command.text + done.stderr


def test_nothing_needs_eksctl_or_keys_that_last():
    for _, commands in blocks():
        for command in commands:
            assert not re.search(r"eksctl|AWS_ACCESS_KEY_ID|AWS_SECRET_ACCESS_KEY|create-access-key|aws configure(?! sso)", command.text), command.text


def test_what_is_read_from_outputs_is_an_output(everything):
    outputs = outputs_of(everything)
    asked = {name for _, commands in blocks() for command in commands for name in re.findall(r"\.(\w+)\.value\b|\$\(output (\w+)\)", command.text) for name in name if name}
    assert len(asked) > 8 and asked <= outputs.keys(), asked - outputs.keys()
    bootstrap = everything["bootstrap"]["bootstrap/example"].outputs
    for _, commands in blocks():
        for command in commands:
            for name in re.findall(r"bootstrap output (?:-json |-raw )?(\w+)", command.text):
                assert name in bootstrap, command.text


def outputs_of(everything):
    return next(run.outputs for run in everything["environments/staging"].values() if run.all("aws_eks_cluster"))


def test_values_files_and_folders_are_there():
    for _, commands in blocks():
        for command in commands:
            words = shlex.split(command.text.replace("$(", "( ").replace("<(", "( "), comments=False) if "<<" not in command.text else []
            for flag, word in zip(words, words[1:], strict=False):
                if flag in ("--values", "--kustomize") or word.startswith("helm/"):
                    assert (ROOT / word).exists(), command.text
            for folder in re.findall(r"-chdir=(\S+)", command.text):
                assert (ROOT / folder / "versions.tf").exists(), command.text


def test_the_image_gets_the_tag_by_which_the_registry_keeps_it(everything):
    [rule] = [rule for rule in kept(everything) if rule["selection"]["tagPatternList"] == ["staging-*"]]
    pushed = [command.text for _, commands in blocks() for command in commands if "$tool push" in command.text]
    assert rule and len(pushed) == 1 and '"staging-$sha"' in pushed[0]


def kept(everything):
    """The rules of the registry's lifecycle that match tags of deployed images."""
    policy = everything["modules/ecr"]["ecr/example"].one("aws_ecr_lifecycle_policy")["policy"]
    return [rule for rule in json.loads(policy)["rules"] if rule["selection"].get("tagPatternList", ["*"]) != ["*"]]


def test_nothing_is_installed_that_needs_what_is_not_there_yet():
    """Prometheus' operator, which would know what a ServiceMonitor is, comes later."""
    [command] = [command.text for _, commands in blocks() for command in commands if "upgrade --install nginx-ingress " in command.text]
    values = yaml.safe_load((ROOT / "gitops/base/nginx/values.yaml").read_text())
    assert values["prometheus"]["serviceMonitor"]["create"] is True
    assert "--set prometheus.serviceMonitor.create=false" in command


@pytest.fixture
def checkout(tmp_path, everything):
    """A copy of the checkout in which commands may change what they like, and Terraform's outputs."""
    for entry in ROOT.iterdir():
        if entry.name in ("terraform", "gitops", "scripts", "helm", "observability"):
            subprocess.run(["cp", "--recursive", entry, tmp_path], check=True)
    outputs = {name: {"value": value} for name, value in outputs_of(everything).items()}
    (tmp_path / "outputs.json").write_text(json.dumps(outputs))
    return tmp_path


def matches(printed, said):
    """Whether lines are as said, where … stands for any number of them."""
    pattern = "".join(r"(.*\n)*" if line == "…" else re.escape(line) + r"\n" for line in plain("\n".join(said)))
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in printed))


def test_what_is_run_prints_what_stands_there(checkout):
    commands = [command for mark, commands in blocks() if mark == RUN for command in commands]
    script = [f"sha={SHA} digest=sha256:{DIGEST}", "set -o pipefail"]
    for command in commands:
        script += [command.text, "status=$?", "echo", "echo === $status"]
    done = subprocess.run(["bash"], input="\n".join(script), cwd=checkout, env=environment(), capture_output=True, text=True)
    parts = re.split(r"^=== (\d+)\n", done.stdout, flags=re.MULTILINE)
    assert len(parts) == 2 * len(commands) + 1, done.stderr
    for command, printed, status in zip(commands, parts[::2], parts[1::2], strict=False):
        assert status == "0", f"{command.text}\n{printed}\n{done.stderr}"
        assert matches(plain(printed), command.prints), f"{command.text}\n{printed}"
    [issuer] = yaml.safe_load_all((checkout / "issuer.yaml").read_text())
    assert issuer["spec"]["acme"]["solvers"][0]["dns01"]["route53"] == {"hostedZoneID": "Z0STAGING", "region": "eu-central-1"}
    assert issuer["metadata"]["name"] == yaml.safe_load((ROOT / "gitops/staging/shoutback/values.yaml").read_text())["ingress"]["tls"]["certManager"]["issuer"]


def plain(text):
    """Lines without colours and without the empty ones at the end."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text).strip("\n").splitlines()


def test_the_chart_is_rendered_with_what_step_11_switches_off(checkout):
    [command] = [command.text for _, commands in blocks() for command in commands if "upgrade --install shoutback " in command.text]
    script = command.replace("helm upgrade --install", "helm template").replace(" --wait", "")
    filled = ROOT / "tests/platform/filled-values.yaml"
    done = subprocess.run(["bash"], input=f"{script} --values {filled}", cwd=checkout, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kinds = {thing["kind"] for thing in yaml.safe_load_all(done.stdout) if thing}
    assert "Ingress" in kinds and not kinds & {"ServiceMonitor", "PrometheusRule"} and "filebeat" not in done.stdout
    keys = set(re.findall(r"--from-file=([\w-]+)=", PAGE))
    assert keys == {"client-id", "client-secret"} and all(f"key: {key}" in done.stdout for key in keys)
