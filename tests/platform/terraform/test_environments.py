"""The environments: equal except for the listed differences, with all outputs that the chart needs."""

import json
import re
import subprocess

import pytest
import yaml
from folders import ROOT, SHIPPED

ENVIRONMENTS = ["staging", "production"]
FOLDER = {name: SHIPPED / "environments" / name for name in ENVIRONMENTS}
OWN = {"environment.auto.tfvars", "README.md"}
each = pytest.mark.parametrize("folder", [f"environments/{name}" for name in ENVIRONMENTS])


def values(name):
    """Returns the values that the environment's file sets, as text by name."""
    lines = (FOLDER[name] / "environment.auto.tfvars").read_text().splitlines()
    return dict(re.fullmatch(r"(\w+) += (.*)", line).groups() for line in lines if not line.startswith("#"))


def page(name):
    return (ROOT / name).read_text()


def rows(text, *first):
    """Returns the rows of the table whose header begins with this text."""
    header = re.escape(f"| {' | '.join(first)} |")
    table = re.search(rf"^{header}.*\n\|[-|: ]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table[1].splitlines()]


def whole(tested):
    """Returns the run that creates everything."""
    return next(run for run in tested.values() if run.all("aws_eks_cluster"))


def test_files_are_the_same():
    names = {name: {file.name for file in FOLDER[name].iterdir() if file.is_file() and not file.name.startswith(".")} - {"terraform.tfvars", "backend.hcl"} for name in ENVIRONMENTS}
    assert names["staging"] == names["production"] > OWN
    for file in names["staging"] - OWN:
        assert (FOLDER["staging"] / file).read_bytes() == (FOLDER["production"] / file).read_bytes(), file


def test_values_differ_as_documented():
    listed = {row[0].strip("`"): (row[1].strip("`"), row[2].strip("`")) for row in rows(page("docs/deploy.md"), "value", "staging", "production")}
    staging, production = values("staging"), values("production")
    assert staging.keys() == production.keys()
    assert {name for name in staging if staging[name] != production[name]} == staging.keys() == listed.keys()
    for name, documented in listed.items():
        stdin = staging[name], production[name]
        if name == "nodes":
            documented = tuple(tuple(map(int, re.findall(r"\d+", text))) for text in documented)
            stdin = tuple(tuple(int(re.search(rf"{size} += (\d+)", text)[1]) for size in ("min_size", "max_size", "desired_size")) for text in stdin)
        assert documented == tuple(value.strip('"') if isinstance(value, str) else value for value in stdin), name


def test_resources_differ_only_by_the_gateways(everything):
    created = {}
    for name in ENVIRONMENTS:
        created[name] = {resource.address for resource in whole(everything[f"environments/{name}"]).resources}
    differs = {re.sub(r"\[.*", "", address) for address in created["staging"] ^ created["production"]}
    assert differs == {"module.network.aws_eip.nat", "module.network.aws_nat_gateway.this"}
    assert created["staging"] < created["production"]


@each
def test_the_readme_has_the_variables_of_the_tests(folder):
    example = re.search(r"^```hcl\n# terraform.tfvars\n(.*?)^```$", page(f"terraform/{folder}/README.md"), re.DOTALL | re.MULTILINE)[1]
    [file] = (SHIPPED / folder / "tests").glob("*.tftest.hcl")
    stdin = re.search(r"^variables {\n(.*?)^}$", file.read_text(), re.DOTALL | re.MULTILINE)[1].split("\n\n")[0]
    assert [line.strip() for line in example.splitlines()] == [line.strip() for line in stdin.splitlines()]


@each
def test_state_is_locked_by_files_and_encrypted(folder):
    backend = re.search(r'backend "s3" {\n(.*?)\n  }', page(f"terraform/{folder}/versions.tf"), re.DOTALL)[1]
    assert dict(line.split() for line in backend.replace("=", "").splitlines()) == {"encrypt": "true", "use_lockfile": "true"}


@each
def test_there_is_no_administrator_and_deletion_protection_is_on(folder, tested):
    run = whole(tested)
    assert run.all("aws_eks_access_policy_association") == []
    assert run.one("aws_eks_cluster")["deletion_protection"] is True
    assert run.one("aws_cognito_user_pool")["deletion_protection"] == "ACTIVE"


@each
def test_all_roles_have_the_boundary(folder, tested):
    boundary = f"arn:aws:iam::111122223333:policy/shoutback-{folder.split('/')[1]}-boundary"
    assert {role.values["permissions_boundary"] for role in whole(tested).all("aws_iam_role")} == {boundary}


@each
def test_the_collectors_pods_get_the_collectors_role(folder, tested):
    run = whole(tested)
    [association] = [one.values for one in run.all("aws_eks_pod_identity_association") if one.index == "collector"]
    assert f"{association['namespace']}/{association['service_account']}" == "monitoring/otel-collector"
    assert association["role_arn"] == run.outputs["collector_role_arn"]


@each
def test_only_the_clients_secret_is_sensitive(folder):
    text = page(f"terraform/{folder}/outputs.tf")
    secret = {name for name, body in re.findall(r'^output "(\w+)" {\n(.*?)^}$', text, re.DOTALL | re.MULTILINE) if "sensitive" in body}
    assert secret == {"machine_client_secret"}


PLACEHOLDER = re.compile(r"REPLACE_WITH_[A-Z_]+[A-Z]")


# Placeholders that are not from Terraform.
YOURS = {
    "REPLACE_WITH_ARGOCD_CLIENT_ID": "3example23456789",
    "REPLACE_WITH_GITHUB_APP_ID": "1234567",
    "REPLACE_WITH_GITHUB_INSTALLATION_ID": "7654321",
    "REPLACE_WITH_REPOSITORY": "example/shoutback",
    "REPLACE_WITH_TOOLS_CLIENT_ID": "4example23456789",
    "REPLACE_WITH_TOOLS_HOST": "tools.example.com",
    "REPLACE_WITH_TOOLS_ISSUER": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Operators",
    "REPLACE_WITH_TRACES_HOST": "traces.example.com",
}


def placeholders(name):
    return {placeholder for file in ROOT.glob(f"gitops/*/{name}/*.yaml") for placeholder in PLACEHOLDER.findall(file.read_text())}


def leads():
    """Returns the outputs for each placeholder in the table."""
    found = {}
    for row in rows(page("docs/deploy.md"), "placeholder", "output"):
        for placeholder in PLACEHOLDER.findall(row[0]):
            found[placeholder] = [] if row[1].startswith("none") else re.findall(r"`(\w+)`", row[1])
    return found


@each
def test_every_placeholder_is_an_output_or_documented_as_none(folder, tested):
    name, outputs = folder.split("/")[1], whole(tested).outputs
    assert placeholders(name) == leads().keys()
    # Chosen by the operator, not an output.
    assert leads().keys() - outputs["placeholders"].keys() == YOURS.keys()
    assert outputs["placeholders"].keys() <= placeholders(name)
    for placeholder, names in leads().items():
        for output in names:
            value = outputs[output]
            value = ",".join(value) if isinstance(value, list) else value
            assert outputs["placeholders"][placeholder] in value, placeholder


@each
def test_every_variable_that_the_service_requires_has_an_output(folder, tested):
    required = re.findall(r"^\| `(\w+)` \| `required`", page("docs/configuration.md"), re.MULTILINE)
    chart = yaml.safe_load(page(f"gitops/service/{folder.split('/')[1]}/values.yaml"))["config"]
    assert len(required) >= 2
    for name in required:
        assert whole(tested).outputs["placeholders"][chart[name]], name


@each
def test_the_issuer_is_that_of_the_service_for_the_pool(folder, tested):
    outputs = whole(tested).outputs
    region = outputs["cognito_user_pool_id"].split("_")[0]
    assert outputs["cognito_issuer"] == f"https://cognito-idp.{region}.amazonaws.com/{outputs['cognito_user_pool_id']}"
    assert outputs["cognito_token_url"] == f"https://{outputs['cognito_domain']}/oauth2/token"


def test_pods_with_roles_are_the_documented_ones(everything):
    documented = sorted(row[0].strip("`") for row in rows(page("docs/deploy.md"), "namespace and service account"))
    for name in ENVIRONMENTS:
        assert whole(everything[f"environments/{name}"]).outputs["pods_with_roles"] == documented


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


@each
def test_the_chart_renders_with_the_filled_values(folder, tested, checkout):
    """The values of the outputs are accepted by the chart."""
    name, outputs = folder.split("/")[1], whole(tested).outputs
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
    config = things["ConfigMap", "shoutback"]["data"]
    assert config["COGNITO_USER_POOL_IDS"] == outputs["cognito_user_pool_id"]
    assert config["COGNITO_CLIENT_IDS"].split(",") == outputs["cognito_client_ids"]
    assert config["DOCS_COGNITO_DOMAIN"] == outputs["cognito_domain"]
    assert config["DOCS_CLIENT_ID"] == outputs["cognito_public_client_id"]
    [service] = [one for one in things["Deployment", "shoutback"]["spec"]["template"]["spec"]["containers"] if one["name"] == "shoutback"]
    assert service["image"] == f"{outputs['repository_url']}:{'0' * 40}@sha256:{'0' * 64}"
    assert [rule["host"] for rule in things["Ingress", "shoutback"]["spec"]["rules"]] == [outputs["host"]]
    assert outputs["cognito_token_url"] in rendered.stdout
