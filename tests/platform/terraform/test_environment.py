"""The environments: one configuration, whose values differ as documented, with all outputs that the chart needs."""

import json
import re
import subprocess

import pytest
import yaml
from folders import CHECKOUT, ENVIRONMENTS, EXAMPLES, ROOT, SHIPPED, filled_in

FOLDER = "environment"
each = pytest.mark.parametrize("name", ENVIRONMENTS)


def values(name):
    """Returns the values of the environment that differ by design: those above the examples."""
    text = (SHIPPED / "environment" / f"{name}.tfvars").read_text().partition("\n# Examples")[0]
    return {found[1]: found[2].strip('"') for found in re.finditer(r"^ *(\w+) += ([^{\n]*)$", text, re.MULTILINE)}


def page(name):
    return (ROOT / name).read_text()


def rows(text, *first):
    """Returns the rows of the table whose header begins with this text."""
    header = re.escape(f"| {' | '.join(first)} |")
    table = re.search(rf"^{header}.*\n\|[-|: ]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table[1].splitlines()]


@pytest.fixture
def whole(tested):
    """Returns the runs that create everything, by environment."""
    return {name: tested[f"{name}/shipped_values"] for name in ENVIRONMENTS}


def test_every_file_of_values_is_an_environment():
    files = {path.name for path in (SHIPPED / "environment").iterdir() if path.suffix in (".tfvars", ".tfbackend")}
    assert files == {f"{name}{ending}" for name in ENVIRONMENTS for ending in (".tfvars", ".s3.tfbackend")}


@each
def test_a_backend_is_that_of_its_environment(name):
    settings = dict(re.findall(r'^(\w+) += "(.*)"$', (CHECKOUT / f"terraform/environment/{name}.s3.tfbackend").read_text(), re.MULTILINE))
    assert settings["key"] == f"{name}/terraform.tfstate" and settings.keys() == {"bucket", "key", "kms_key_id", "region"}
    # The state of the example account cannot be reached, so forgotten examples fail at `init`.
    assert account(name, CHECKOUT) in settings["bucket"]


def account(name, root=ROOT):
    """Returns the account of an environment, which is the example's until it is replaced."""
    return re.search(r'^account += \{\s*id += "(\d{12})"', (root / f"terraform/environment/{name}.tfvars").read_text(), re.MULTILINE)[1]


def test_the_examples_are_the_shipped_values():
    """In an adopter's repository the suite runs with them instead of the values there."""
    assert filled_in() or EXAMPLES == {name: (CHECKOUT / name).read_text() for name in EXAMPLES}


def test_values_differ_as_documented():
    listed = {row[0].strip("`"): (row[1].strip("`"), row[2].strip("`")) for row in rows(page("docs/production.md"), "value", "staging", "production")}
    staging, production = values("staging"), values("production")
    assert staging.keys() == production.keys()
    different = {name: (staging[name], production[name]) for name in staging if staging[name] != production[name]}
    assert different == {name.rpartition(".")[2]: pair for name, pair in listed.items()}


def test_resources_differ_only_by_the_gateways(whole):
    created = {name: {resource.address for resource in run.resources} for name, run in whole.items()}
    differs = {re.sub(r"\[.*", "", address) for address in created["staging"] ^ created["production"]}
    assert differs == {"module.network.aws_eip.nat", "module.network.aws_nat_gateway.this", "module.observability.aws_cloudwatch_metric_alarm.platform"}
    assert created["staging"] < created["production"]


# Arguments of hashicorp/aws 6.19.0 whose change replaces the resource, which the schema that Terraform prints does not show:
# `ForceNew` and `RequiresReplace` in internal/service/{eks,elasticache,cognitoidp}. Only resources whose replacement is an outage.
REPLACED_BY = {
    "aws_eks_cluster": {"name", "role_arn"},
    "aws_elasticache_replication_group": {"replication_group_id", "at_rest_encryption_enabled", "kms_key_id", "subnet_group_name"},
    "aws_cognito_user_pool": {"username_attributes", "username_configuration"},
}


def test_no_value_of_an_environment_replaces_what_runs_the_service(tested, whole):
    """Changing the values from staging's to production's changes nothing of these arguments but names and generated ids."""
    for kind, arguments in REPLACED_BY.items():
        found = [run.all(kind)[0].values for name in ENVIRONMENTS for run in (tested[f"{name}/with_valkey_and_another_registry"],)]
        for argument in arguments:
            one, other = (str(values[argument]).replace(name, "") for values, name in zip(found, ENVIRONMENTS, strict=True))
            assert one == other, f"{kind}: {argument}"
    # There are no groups of nodes and no launch templates, which a new type of instance would replace.
    assert not [resource for run in whole.values() for resource in run.resources if resource.type in ("aws_eks_node_group", "aws_launch_template")]


def test_there_is_no_administrator_and_deletion_protection_is_on(whole):
    for run in whole.values():
        assert run.all("aws_eks_access_policy_association") == []
        assert run.one("aws_eks_cluster")["deletion_protection"] is True
        assert run.one("aws_cognito_user_pool")["deletion_protection"] == "ACTIVE"


@each
def test_all_roles_have_the_boundary(name, whole):
    boundary = f"arn:aws:iam::{account(name)}:policy/shoutback-{name}-boundary"
    assert {role.values["permissions_boundary"] for role in whole[name].all("aws_iam_role")} == {boundary}


# Resources of the provider whose attributes hold a secret, which is then in the state.
SECRET_IN_STATE = {"aws_cognito_user_pool_client", "aws_elasticache_user", "aws_iam_access_key", "aws_secretsmanager_secret_version"}


def test_no_secret_is_in_the_state(tested):
    """Nor in an output of a stack, which is in the state."""
    for run in tested.values():
        assert not SECRET_IN_STATE & {resource.type for resource in run.resources}
        for stack in run.all("aws_cloudformation_stack"):
            exported = json.dumps(json.loads(stack.values["template_body"]).get("Outputs", {}))
            assert "Secret\"" not in exported and "resolve:" not in exported, stack.address


def test_caches_of_images_are_those_of_the_registry(everything):
    """The nodes may create repositories below these prefixes, and no others."""
    rules = {rule.index for rule in everything["modules/ecr"]["ecr/shared"].all("aws_ecr_pull_through_cache_rule")}
    [policy] = [json.loads(policy.values["policy"]) for policy in everything["environment"]["staging/shipped_values"].all("aws_iam_role_policy") if policy.name == "node"]
    resources = policy["Statement"][0]["Resource"]
    assert {resource.partition("repository/")[2] for resource in resources} == {f"{rule}/*" for rule in rules}


def test_every_variable_of_a_module_is_set_by_a_root():
    """A variable that no root sets, and its branches, are code that no environment reaches."""
    for folder in sorted(path.parent for path in SHIPPED.glob("modules/*/variables.tf")):
        declared = set(re.findall(r'^variable "(\w+)"', (folder / "variables.tf").read_text(), re.MULTILINE))
        calls = [
            set(re.findall(r"^  (\w+) +=", body, re.MULTILINE))
            for file in SHIPPED.rglob("*.tf")
            if ".terraform" not in file.parts
            for body in re.findall(r'^module "\w+" \{\n(.*?)^\}$', file.read_text(), re.DOTALL | re.MULTILINE)
            if re.search(rf'source += "[./]*(modules/)?{folder.name}"', body)
        ]
        assert calls and declared == set.union(*calls) - {"source", "for_each", "count"}, folder.name


PLACEHOLDER = re.compile(r"REPLACE_WITH_[A-Z_]+[A-Z]")


# Filled-in values are not those of the tests.
unfilled = pytest.mark.skipif(not PLACEHOLDER.search(page("gitops/service/staging/values.yaml")), reason="the placeholders are filled in")

# Placeholders that are not from Terraform.
YOURS = {
    "REPLACE_WITH_ARGOCD_CLIENT_ID": "3example23456789",
    "REPLACE_WITH_GITHUB_APP_ID": "1234567",
    "REPLACE_WITH_GITHUB_INSTALLATION_ID": "7654321",
    "REPLACE_WITH_REPOSITORY": "example/shoutback",
    "REPLACE_WITH_TOOLS_CLIENT_ID": "4example23456789",
    "REPLACE_WITH_TOOLS_ISSUER": "https://cognito-idp.us-east-2.amazonaws.com/us-east-2_Operators",
}


def placeholders(name):
    return {placeholder for file in ROOT.glob(f"gitops/*/{name}/*.yaml") for placeholder in PLACEHOLDER.findall(file.read_text())}


def leads():
    """Returns the outputs for each placeholder in the table."""
    found = {}
    for row in rows(page("gitops/README.md"), "placeholder", "output"):
        for placeholder in PLACEHOLDER.findall(row[0]):
            found[placeholder] = [] if row[1].startswith("none") else re.findall(r"`([\w.]+)`", row[1])
    return found


def output(outputs, path):
    """Returns an output, or a value in it, such as cognito.user_pool_id."""
    for name in path.split("."):
        outputs = outputs[name]
    return outputs


@each
def test_every_placeholder_is_an_output_or_documented_as_none(name, whole):
    outputs = whole[name].outputs
    assert placeholders(name) <= leads().keys()
    # Chosen by the operator, not an output.
    assert leads().keys() - outputs["placeholders"].keys() == YOURS.keys()
    for placeholder, names in leads().items():
        for path in names:
            value = output(outputs, path)
            value = ",".join(value.values()) if isinstance(value, dict) else value
            assert outputs["placeholders"][placeholder] in value, placeholder


def test_pods_with_roles_are_the_documented_ones(whole):
    text = page("gitops/README.md").partition("\n## Pods with AWS roles\n")[2].partition("\n## ")[0]
    documented = sorted({pod for pod in re.findall(r"`([a-z-]+/[a-z-]+)`", text) if (ROOT / pod).exists() is False})
    for run in whole.values():
        assert run.outputs["pods_with_roles"] == documented


@pytest.fixture
def checkout(tmp_path):
    """Returns a folder with the script and gitops/ with placeholders."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/fill-values").write_text(page("scripts/fill-values"))
    for name in ENVIRONMENTS:
        for file in ROOT.glob(f"gitops/*/{name}/*.yaml"):
            target = tmp_path / file.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(file.read_text())
    return tmp_path


def fill(checkout, stdin, *arguments):
    return subprocess.run(["python3", "scripts/fill-values", *arguments], cwd=checkout, input=stdin, capture_output=True, text=True)


@unfilled
def test_remaining_placeholders_are_reported(checkout):
    done = fill(checkout, '{"REPLACE_WITH_REGION": "us-east-2"}', "staging")
    assert done.returncode == 1 and "REPLACE_WITH_USER_POOL_ID remains" in done.stderr
    text = (checkout / "gitops/service/staging/values.yaml").read_text()
    assert "REPLACE_WITH_REGION" not in text and ".dkr.ecr.us-east-2." in text
    assert (checkout / "gitops/service/production/values.yaml").read_text() == page("gitops/service/production/values.yaml")


@pytest.mark.parametrize(
    ("stdin", "arguments", "message"),
    [
        ("", ["staging"], "not JSON"),
        ("[]", ["staging"], "not a JSON object"),
        ("{}", ["test"], "there is no gitops/*/test"),
        ("{}", ["staging", "kibana.example.com"], "is not REPLACE_WITH_NAME=VALUE"),
        ('{"REGION": "us-east-2"}', ["staging"], "does not begin with REPLACE_WITH_"),
        ('{"REPLACE_WITH_REGION": ""}', ["staging"], "cannot be a value"),
        ('{"REPLACE_WITH_REGION": "a\\nimage: b"}', ["staging"], "cannot be a value"),
        ('{"REPLACE_WITH_REGION": "a: b"}', ["staging"], "cannot be a value"),
        ('{"REPLACE_WITH_REGION": null}', ["staging"], "cannot be a value"),
        ("{}", [], "usage"),
    ],
)
def test_wrong_input_changes_nothing(checkout, stdin, arguments, message):
    done = fill(checkout, stdin, *arguments)
    assert done.returncode == 2 and message in done.stderr
    for name in ENVIRONMENTS:
        assert (checkout / f"gitops/service/{name}/values.yaml").read_text() == page(f"gitops/service/{name}/values.yaml")


@unfilled
@each
def test_the_chart_renders_with_the_filled_values(name, whole, checkout):
    """The values of the outputs are accepted by the chart."""
    outputs = whole[name].outputs
    done = fill(checkout, json.dumps(outputs["placeholders"]), name, *(f"{placeholder}={value}" for placeholder, value in YOURS.items()))
    assert done.returncode == 0, done.stderr
    rendered = subprocess.run(
        ["helm", "template", "shoutback", ROOT / "helm/shoutback", "--namespace", "shoutback", "--values", checkout / f"gitops/service/{name}/values.yaml"]
        + ["--set", f"image.tag={'0' * 40}", "--set", f"image.digest=sha256:{'0' * 64}"],
        capture_output=True,
        text=True,
    )
    assert rendered.returncode == 0, rendered.stderr
    things = {(thing["kind"], thing["metadata"]["name"]): thing for thing in yaml.safe_load_all(rendered.stdout) if thing}
    config, cognito = things["ConfigMap", "shoutback"]["data"], outputs["cognito"]
    assert config["COGNITO_USER_POOL_IDS"] == cognito["user_pool_id"]
    assert config["COGNITO_CLIENT_IDS"].split(",") == [cognito["client_ids"]["machine"], cognito["client_ids"]["people"]]
    assert config["DOCS_COGNITO_DOMAIN"] == cognito["domain"]
    assert config["DOCS_CLIENT_ID"] == cognito["client_ids"]["people"]
    [service] = [one for one in things["Deployment", "shoutback"]["spec"]["template"]["spec"]["containers"] if one["name"] == "shoutback"]
    assert service["image"] == f"{outputs['repository_url']}:{'0' * 40}@sha256:{'0' * 64}"
    assert [rule["host"] for rule in things["Ingress", "shoutback"]["spec"]["rules"]] == [outputs["dns"]["host"]]
    probe = yaml.safe_load((checkout / f"gitops/platform/{name}/probe.yaml").read_text())
    assert probe == {"url": f"https://{outputs['dns']['host']}/v1", "clientId": cognito["client_ids"]["machine"], "tokenUrl": cognito["token_url"]}
