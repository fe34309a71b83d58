"""The bucket of Terraform's state, and what protects it from being destroyed."""

import json
import re

import pytest
from folders import ROOT, SHIPPED
from iam import allowed

FOLDER = "bootstrap"
OBJECT = "arn:aws:s3:::example/staging/terraform.tfstate"
SAFE = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}
ALGORITHM = "s3:x-amz-server-side-encryption"
KEY = "s3:x-amz-server-side-encryption-aws-kms-key-id"


@pytest.fixture
def run(tested):
    return tested["bootstrap/shipped_values"]


def of(run, kind):
    """Returns the values of this resource of the state's bucket."""
    [found] = [resource.values for resource in run.all(kind) if resource.address.startswith("module.state.")]
    return found


@pytest.fixture
def passes(run):
    """Returns a function that tells whether the bucket policy permits a request that the caller's own policy allows."""
    own = {"Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}}
    policy = json.loads(of(run, "aws_s3_bucket_policy")["policy"])
    return lambda action, **keys: allowed([own, policy], action, OBJECT, principal="anyone", keys=SAFE | keys["keys"])


def test_state_requires_tls(passes):
    for action in ("s3:GetObject", "s3:PutObject"):
        assert passes(action, keys={})
        assert not passes(action, keys={"aws:SecureTransport": "false"})
        assert not passes(action, keys={"s3:TlsVersion": "1.1"})


def test_state_requires_its_key_or_the_bucket_default(run, passes):
    [rule] = of(run, "aws_s3_bucket_server_side_encryption_configuration")["rule"]
    key = rule["apply_server_side_encryption_by_default"][0]["kms_master_key_id"]
    assert passes("s3:PutObject", keys={ALGORITHM: "aws:kms", KEY: key})
    assert not passes("s3:PutObject", keys={ALGORITHM: "AES256"})
    assert not passes("s3:PutObject", keys={ALGORITHM: "aws:kms", KEY: key + "1"})


def test_backends_are_those_of_the_roots(run):
    for name, text in run.outputs["backend_configuration"].items():
        settings = dict(line.split(" = ", 1) for line in (" ".join(line.split()) for line in text.splitlines()))
        assert settings["key"] == f'"{name}/terraform.tfstate"'
        assert settings["kms_key_id"].startswith('"arn:aws:kms:')
        root = "bootstrap" if name == "bootstrap" else "environment"
        shipped = dict(re.findall(r"^(\w+) += (.*)$", (SHIPPED / root / f"{name}.s3.tfbackend").read_text(), re.MULTILINE))
        assert settings.keys() == shipped.keys()
        # The rest is in the root itself.
        backend = (SHIPPED / root / "versions.tf").read_text()
        assert re.search(r"encrypt +=  *true", backend) and re.search(r"use_lockfile +=  *true", backend)


def test_old_versions_expire_after_a_minimum_number(run):
    [rule] = of(run, "aws_s3_bucket_lifecycle_configuration")["rule"]
    assert rule["status"] == "Enabled" and not rule["expiration"]
    [old] = rule["noncurrent_version_expiration"]
    assert (old["noncurrent_days"], old["newer_noncurrent_versions"]) == (90, 20)


def test_a_destroy_stops_before_it_deletes_the_key_of_the_state():
    """Terraform rejects a plan that destroys what has prevent_destroy, before it destroys anything else."""
    for file, resource in (("modules/bucket/main.tf", '"aws_s3_bucket" "this"'), ("modules/kms/main.tf", '"aws_kms_key" "kept"')):
        body = (SHIPPED / file).read_text().partition(f"resource {resource} {{")[2].partition("\n}\n")[0]
        assert "prevent_destroy = true" in body, file


def test_no_zone_is_that_of_a_domain_in_use():
    """A zone has none of the records that a domain in use has. Names of examples have at least one label more than a domain."""
    for file in [*ROOT.glob("docs/**/*.md"), *SHIPPED.rglob("*.md"), *SHIPPED.rglob("*.tfvars")]:
        for zone in re.findall(r'^ *(?:staging|production) += "([a-z.-]+)"|zone = "([a-z.-]+)"', file.read_text(), re.MULTILINE):
            assert "".join(zone).count(".") >= 2, f"{file}: {zone}"
