"""Runs the commands of docs/deploy.md that are marked so, and compares their output with the document."""

import json
import re
import shlex
import subprocess
from dataclasses import dataclass

import pytest
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
    """Yields each block of commands with the text above it."""
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


def test_every_block_is_marked_as_run_or_not():
    assert len(list(blocks())) == PAGE.count("```console") > 10
    assert {mark for mark, _ in blocks()} == {RUN, NOT}


def test_steps_are_numbered():
    numbers = [int(number) for number in re.findall(r"^## (\d+)\. ", PAGE, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) > 9


def test_commands_are_valid_shell():
    for _, commands in blocks():
        for command in commands:
            done = subprocess.run(["bash", "-n"], input=command.text, capture_output=True, text=True)
            assert done.returncode == 0, command.text + done.stderr


def test_nothing_needs_eksctl_or_long_lived_keys():
    for _, commands in blocks():
        for command in commands:
            assert not re.search(r"eksctl|AWS_ACCESS_KEY_ID|AWS_SECRET_ACCESS_KEY|create-access-key|aws configure(?! sso)", command.text), command.text


def test_each_output_in_commands_exists(everything):
    outputs = outputs_of(everything)
    used = {name for _, commands in blocks() for command in commands for name in re.findall(r"\.(\w+)\.value\b|\$\(output (\w+)\)", command.text) for name in name if name}
    assert len(used) > 8 and used <= outputs.keys(), used - outputs.keys()
    bootstrap = everything["bootstrap"]["bootstrap/example"].outputs
    for _, commands in blocks():
        for command in commands:
            for name in re.findall(r"bootstrap output (?:-json |-raw )?(\w+)", command.text):
                assert name in bootstrap, command.text


def outputs_of(everything):
    return next(run.outputs for run in everything["environments/staging"].values() if run.all("aws_eks_cluster"))


def test_values_files_and_folders_exist():
    for _, commands in blocks():
        for command in commands:
            words = shlex.split(command.text.replace("$(", "( ").replace("<(", "( "), comments=False) if "<<" not in command.text else []
            for flag, word in zip(words, words[1:], strict=False):
                if flag in ("--values", "--kustomize") or word.startswith("helm/"):
                    assert (ROOT / word).exists(), command.text
            for folder in re.findall(r"-chdir=(\S+)", command.text):
                assert (ROOT / folder / "versions.tf").exists(), command.text


def test_the_tag_of_the_image_is_retained_by_the_registry(everything):
    [rule] = [rule for rule in retention_rules(everything) if rule["selection"]["tagPatternList"] == ["staging-*"]]
    assert rule and 'f"{given.environment}-{given.tag}"' in (ROOT / "scripts/release/keep").read_text()


def retention_rules(everything):
    """Returns the rules of the registry's lifecycle policy for tags of deployed images."""
    policy = everything["modules/ecr"]["ecr/example"].one("aws_ecr_lifecycle_policy")["policy"]
    return [rule for rule in json.loads(policy)["rules"] if rule["selection"].get("tagPatternList", ["*"]) != ["*"]]


@pytest.fixture
def checkout(tmp_path, everything):
    """Returns a copy of the checkout for the commands, with Terraform's outputs."""
    for entry in ROOT.iterdir():
        if entry.name in ("terraform", "gitops", "scripts", "helm", "observability"):
            subprocess.run(["cp", "--recursive", entry, tmp_path], check=True)
    outputs = {name: {"value": value} for name, value in outputs_of(everything).items()}
    (tmp_path / "outputs.json").write_text(json.dumps(outputs))
    return tmp_path


def matches(printed, documented):
    """Returns whether the printed lines are the documented ones, where … stands for any number of lines."""
    pattern = "".join(r"(.*\n)*" if line == "…" else re.escape(line) + r"\n" for line in plain("\n".join(documented)))
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in printed))


def test_commands_print_the_documented_output(checkout):
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
    # No placeholder remains, so Argo CD's settings are complete.
    settings = (checkout / "argocd-settings.yaml").read_text()
    assert "REPLACE_WITH" not in settings and "https://github.com/example/shoutback.git" in settings


def plain(text):
    """Returns the lines without colours and without trailing empty lines."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text).strip("\n").splitlines()


def test_manual_secrets_are_those_of_the_gitops_readme():
    """Compares the keys of each secret."""
    page = (ROOT / "gitops/README.md").read_text().partition("## Secrets")[2]
    documented = {}
    for namespace, name, keys in re.findall(r"^\| `([a-z]+)` \| `([a-z0-9-]+)` \| ([^|]*) \|", page, re.MULTILINE):
        documented[namespace, name] = set(re.findall(r"`([^`]+)`", keys))
    created = {}
    for _, commands in blocks():
        for command in commands:
            for namespace, name, rest in re.findall(r"--namespace (\w+) create secret generic (\S+)(.*)", command.text, re.DOTALL):
                created[namespace, name] = set(re.findall(r"--from-(?:file|literal)=\"?([\w.-]+)=", rest))
    assert created.pop(("argocd", "repository")) == {"url", "githubAppID", "githubAppInstallationID", "githubAppPrivateKey"}
    # The copy of the certificate.
    assert "get secret shoutback-es-http-certs-public" in PAGE and "kubectl --namespace shoutback apply" in PAGE
    assert documented.pop(("shoutback", "shoutback-es-http-certs-public")) == {"ca.crt"}
    assert created == documented and len(created) == 5
