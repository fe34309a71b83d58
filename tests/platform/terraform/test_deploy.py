"""Runs the commands of docs/deploy.md that are marked so, and compares their output with the document. And what docs/undo.md and others must have."""

import json
import re
import shlex
import subprocess

import pytest
import yaml
from folders import ROOT, SHIPPED, environment

from harness import pages
from harness.pages import matches, plain

PAGE = (ROOT / "docs/deploy.md").read_text()
DIGEST = "0123456789abcdef" * 4
SHA = DIGEST[:40]
# The suite gitops-live runs those on a simulated cluster.
RUN, SIMULATED, NOT = "*Run by a test:*", "*Run on a simulated cluster:*", "*Not run here:*"


def blocks():
    return pages.blocks(PAGE)


def test_every_block_is_marked_as_run_or_not():
    assert len(list(blocks())) == PAGE.count("```console") > 10
    assert {mark for mark, _ in blocks()} == {RUN, SIMULATED, NOT}


def test_steps_are_numbered():
    numbers = [int(number) for number in re.findall(r"^## (\d+)\. ", PAGE, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) > 9


def test_commands_are_valid_shell():
    for _, commands in blocks():
        for command in commands:
            done = subprocess.run(["bash", "-n"], input=command.text, capture_output=True, text=True)
            assert done.returncode == 0, command.text + done.stderr


SHELL = set("cat cd cut echo export for grep head if kill mkdir printf rm sed sleep test until wait [ then do done fi machine scripts/aws/preflight scripts/fill-values".split())


def test_every_program_is_named_before_the_first_step():
    needed = PAGE.partition("Needed:")[2].partition("\n## ")[0].lower()
    used = set()
    for _, commands in blocks():
        for command in commands:
            text = re.sub(r"'[^']*'|\s#.*", " ", command.text.replace("\\\n", " "))
            for program in re.findall(r"(?:^|[|;]|&&|\$\(|<\(|\bdo )\s*(?:[A-Za-z_]+=[^\s$(]*\s+)*([a-z][a-z0-9/-]*)(?=\s|$)", text, re.MULTILINE):
                used.add(program)
    assert {"terraform", "aws", "kubectl", "helm", "gh", "jq"} <= used
    assert sorted(program for program in used - SHELL if program.removesuffix("3") not in needed) == []


def test_values_are_merged_after_the_settings_of_github():
    """GitHub makes an environment that a workflow names, without reviewers: a merge before would be applied without approval."""
    before, _, rest = PAGE.partition("## 8. The image")
    assert not re.search(r"\bmerge the\b|gh pr", before, re.IGNORECASE) and "without reviewers" in before
    section = rest.partition("\n## ")[0]
    assert section.index("scripts/github/settings apply") < section.index("Only then merge") < section.index("gh pr create")
    # Until its turn, production has the examples' account, so the pipeline does not plan it.
    assert "111122223333" in (SHIPPED / "environment/production.tfvars").read_text() and "Leave `production.tfvars`" in before


def test_nothing_needs_eksctl_or_long_lived_keys():
    for _, commands in blocks():
        for command in commands:
            assert not re.search(r"eksctl|AWS_ACCESS_KEY_ID|AWS_SECRET_ACCESS_KEY|create-access-key|aws configure(?! sso)", command.text), command.text


def test_each_output_in_commands_exists(everything):
    outputs = outputs_of(everything)
    used = {name for _, commands in blocks() for command in commands for name in re.findall(r"\.(\w+)\.value\b|\$\(output (\w+)\)", command.text) for name in name if name}
    assert len(used) > 4 and used <= outputs.keys(), used - outputs.keys()
    bootstrap = everything["bootstrap"]["bootstrap/shipped_values"].outputs
    for _, commands in blocks():
        for command in commands:
            for name in re.findall(r"(?:bootstrap|terraform) output (?:-json |-raw )(\w+)", command.text):
                assert name in bootstrap, command.text
    # Paths into an output, such as .cluster.value.name.
    for path in re.findall(r"-r (?:'[^']*)?\.(\w+(?:\.\w+)+) outputs\.json", PAGE):
        value = outputs[path.split(".")[0]]
        for name in path.split(".")[2:]:
            value = value[name]


def outputs_of(everything):
    return everything["environment"]["staging/shipped_values"].outputs


def test_values_files_and_folders_exist():
    for _, commands in blocks():
        for command in commands:
            words = shlex.split(command.text.replace("$(", "( ").replace("<(", "( "), comments=False) if "<<" not in command.text else []
            for flag, word in zip(words, words[1:], strict=False):
                if flag in ("--values", "--kustomize") or word.startswith("helm/"):
                    assert (ROOT / word).exists(), command.text
            for folder in re.findall(r"-chdir=(\S+)", command.text):
                assert "$" in folder or (ROOT / folder / "versions.tf").exists(), command.text
            for file in re.findall(r"(?:-var-file|-backend-config)=([a-z.0-9]+)", command.text):
                assert list(ROOT.glob(f"terraform/*/{file}")), command.text


def test_the_tag_of_the_image_is_retained_by_the_registry(everything):
    [rule] = [rule for rule in retention_rules(everything) if rule["selection"]["tagPatternList"] == ["staging-*"]]
    assert rule and 'f"{given.environment}-{given.tag}"' in (ROOT / "scripts/release/keep").read_text()


def retention_rules(everything):
    """Returns the rules of the registry's lifecycle policy for tags of deployed images."""
    policy = everything["modules/ecr"]["ecr/shared"].one("aws_ecr_lifecycle_policy")["policy"]
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


@pytest.mark.skipif(not re.search("REPLACE_WITH_[A-Z]", (ROOT / "gitops/service/staging/values.yaml").read_text()), reason="the placeholders are filled in")
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
    assert "get secret shoutback-es-http-certs-public" in PAGE and "kubectl --namespace filebeat apply" in PAGE
    assert documented.pop(("filebeat", "shoutback-es-http-certs-public")) == {"ca.crt"}
    assert created == documented and len(created) == 8


def test_no_command_pushes_an_image():
    """Nothing that a person pushed verifies, and a tag cannot be replaced. The pipeline builds the first image, too."""
    commands = [command.text for _, commands in blocks() for command in commands]
    assert not [text for text in commands if re.search(r"make image|(?<!git )\bpush\b", text)]
    assert any("gh run rerun" in text for text in commands)


UNDO = (ROOT / "docs/undo.md").read_text()


def test_every_protection_has_a_line_in_undo_that_turns_it_off():
    """Of Terraform, and of the load balancer, which the cluster creates."""
    protections = {
        "prevent_destroy": "terraform state rm module.state module.guard_rails.module.bucket 'module.kms.aws_kms_key.kept'",
        "deletion_protection": "-var=deletion_protection=false",
        "deletion_protection.enabled=true": "aws-load-balancer-attributes=deletion_protection.enabled=false",
    }
    text = "".join(file.read_text() for file in [*SHIPPED.rglob("*.tf"), *(ROOT / "gitops").rglob("*.yaml")])
    found = set(re.findall(r"deletion_protection\.enabled=true|\bprevent_destroy\b|\bdeletion_protection\b(?!\.)", text))
    assert found <= protections.keys() and {"prevent_destroy", "deletion_protection"} <= found
    commands = "".join(re.findall(r"```console\n(.*?)```", UNDO, re.DOTALL))
    for name in found:
        assert protections[name] in commands, name


def test_undo_names_every_module_that_terraform_does_not_destroy():
    """The addresses of `state rm` are those of the plan of the bootstrap."""
    [removed] = re.findall(r"terraform state rm (.*)", UNDO)
    kept = {file.parent.name for file in SHIPPED.rglob("*.tf") if "prevent_destroy = true" in file.read_text()}
    assert kept == {"bucket", "kms"}
    main, rails = (SHIPPED / "bootstrap/main.tf").read_text(), (SHIPPED / "modules/guard-rails/trail.tf").read_text()
    for address in removed.replace("'", "").split():
        first = address.split(".")[1]
        assert f'module "{first}"' in main, address
    assert 'module "bucket"' in rails


def test_undo_begins_with_access_and_ends_with_the_network():
    """After the first installation every team's role is denied what undo needs."""
    order = ["bootstrap_admin_role_arns", "deletion_protection.enabled=false", "delete application nginx-ingress", "delete persistentvolumeclaims", "-var=deletion_protection=false", "terraform destroy"]
    positions = [UNDO.partition("## An environment")[2].index(text) for text in order]
    assert positions == sorted(positions)
    # For both environments: no command names one.
    commands = "".join(re.findall(r"```console\n(.*?)```", UNDO, re.DOTALL)).replace("environment=staging", "")
    assert not re.search(r"\b(staging|production)\b", commands)


def test_undo_names_applications_that_exist():
    applications = yaml.safe_load((ROOT / "gitops/platform/values.yaml").read_text())["applications"].keys() | {"platform", "shoutback"}
    named = {name for line in re.findall(r"delete application ([a-z0-9 -]+)", UNDO) for name in line.split()}
    assert len(named) > 6 and named <= applications
    # Each would restore what is deleted: first the controller that heals, then what makes applications.
    order = ["argocd-application-controller --replicas=0", "argocd-applicationset-controller --replicas=0", "delete application platform", "patch application argocd", "argocd-application-controller --replicas=1", "delete application shoutback"]
    positions = [UNDO.index(text) for text in order]
    assert positions == sorted(positions)


def test_undo_deletes_the_records_of_the_hosts_and_no_others():
    """By the command of the document, with the real jq."""
    [program] = re.findall(r"""jq --arg hosts "\$host \$tools" '(.*?)' records\.json""", UNDO)
    names = ["api.example.com.", "a-api.example.com.", "cname-tools.example.com.", "tools.example.com.", "example.com.", "apixexample.com.", "www.example.com.", "_acme-challenge.api.example.com."]
    records = {"ResourceRecordSets": [{"Name": name, "Type": "A"} for name in names]}
    done = subprocess.run(["jq", "--arg", "hosts", "api.example.com tools.example.com", program], input=json.dumps(records), capture_output=True, text=True, check=True)
    changes = json.loads(done.stdout)["Changes"]
    assert [change["ResourceRecordSet"]["Name"] for change in changes] == names[:4] and {change["Action"] for change in changes} == {"DELETE"}


def test_one_region_through_the_documentation():
    """Two regions in the examples of one installation lead to values of both. Cognito's own documents may name others."""
    pages = [ROOT / f"docs/{name}.md" for name in ("deploy", "cost", "undo", "upgrade", "platform-alarms", "aws-suite", "release")] + list(SHIPPED.rglob("*.md")) + list(SHIPPED.rglob("*.tf*"))
    regions = {region for page in pages for region in re.findall(r"\b(?:us|eu|ap|ca|sa)-[a-z]+-[0-9]\b", page.read_text()) if page.suffix != ".hcl"}
    assert regions - {"us-east-1"} == {"us-east-2"}
    # Only where Amazon or Red Hat decide: DNSSEC's key, and Quay's bucket.
    assert {page.name for page in pages if "us-east-1" in page.read_text()} <= {"zones.tf", "README.md", "aws.tfmock.hcl"}


def test_the_guide_sets_every_variable_and_secret_of_staging():
    """The commands set each of the tables in docs/release.md that production alone does not need, where the table has it."""
    release = (ROOT / "docs/release.md").read_text()
    section = PAGE.partition("## 8. The image")[2].partition("\n## ")[0]
    assert "release.md#settings-of-github" in section and "\n## Settings of GitHub\n" in release
    expected = set()
    for kind, title in (("variable", "**Variables**"), ("secret", "**Secrets**")):
        for cell, where in re.findall(r"^\| (`[A-Z_]+`.*?) \| (.*?) \|", release.partition(title)[2].partition("\n\n**")[0].partition("\n## ")[0], re.MULTILINE):
            if "optional" not in where:
                environment = next((name for name in re.findall(r"`([\w-]+)`", where) if name.startswith("staging")), "")
                expected |= {(kind, name, environment) for name in re.findall(r"`(\w+)`", cell) if not name.startswith("PRODUCTION_")}
    assert len(expected) > 10
    assert set(re.findall(r"\bgh (variable|secret) set (\w+)(?: --env ([\w-]+))?", section)) == expected


def test_loss_of_a_region_is_not_promised():
    """Roles and boundary permit their region only, so nothing may be documented that needs another."""
    assert "There is no recovery in another region" in (ROOT / "docs/regions.md").read_text()
    operations = (ROOT / "docs/operations.md").read_text()
    [row] = re.findall(r"^\| the region \| (.*) \|$", operations, re.MULTILINE)
    assert "regions.md" in row and "step" not in row
