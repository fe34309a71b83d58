"""docs/deploy.md: what it says is run by a test is run here, and prints what it says."""

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
    # No placeholder is left, so Argo CD's settings are whole.
    settings = (checkout / "argocd-settings.yaml").read_text()
    assert "REPLACE_WITH" not in settings and "https://github.com/example/shoutback.git" in settings


def plain(text):
    """Lines without colours and without the empty ones at the end."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text).strip("\n").splitlines()


def test_secrets_that_people_make_are_those_of_the_page_of_gitops():
    """By namespace and name: the keys."""
    page = (ROOT / "gitops/README.md").read_text().partition("## Secrets")[2]
    said = {}
    for namespace, name, keys in re.findall(r"^\| `([a-z]+)` \| `([a-z0-9-]+)` \| ([^|]*) \|", page, re.MULTILINE):
        said[namespace, name] = set(re.findall(r"`([^`]+)`", keys))
    made = {}
    for _, commands in blocks():
        for command in commands:
            for namespace, name, rest in re.findall(r"--namespace (\w+) create secret generic (\S+)(.*)", command.text, re.DOTALL):
                made[namespace, name] = set(re.findall(r"--from-(?:file|literal)=\"?([\w.-]+)=", rest))
    assert made.pop(("argocd", "repository")) == {"url", "githubAppID", "githubAppInstallationID", "githubAppPrivateKey"}
    # The copy of the certificate.
    assert "get secret shoutback-es-http-certs-public" in PAGE and "kubectl --namespace shoutback apply" in PAGE
    assert said.pop(("shoutback", "shoutback-es-http-certs-public")) == {"ca.crt"}
    assert made == said and len(made) == 5
