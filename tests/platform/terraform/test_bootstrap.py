"""The bucket of Terraform's state, and the backend configuration of environments."""

import json

import pytest
from iam import allowed

FOLDER = "bootstrap"
OBJECT = "arn:aws:s3:::example/staging/terraform.tfstate"
SAFE = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}
ALGORITHM = "s3:x-amz-server-side-encryption"
KEY = "s3:x-amz-server-side-encryption-aws-kms-key-id"


@pytest.fixture
def run(tested):
    return tested["bootstrap/example"]


@pytest.fixture
def passes(run):
    """Returns a function that tells whether the bucket policy permits a request that the caller's own policy allows."""
    own = {"Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}}
    policy = json.loads(run.one("aws_s3_bucket_policy")["policy"])
    return lambda action, **keys: allowed([own, policy], action, OBJECT, principal="anyone", keys=SAFE | keys["keys"])


def test_state_requires_tls(passes):
    for action in ("s3:GetObject", "s3:PutObject"):
        assert passes(action, keys={})
        assert not passes(action, keys={"aws:SecureTransport": "false"})
        assert not passes(action, keys={"s3:TlsVersion": "1.1"})


def test_state_requires_its_key_or_the_bucket_default(run, passes):
    [rule] = run.one("aws_s3_bucket_server_side_encryption_configuration")["rule"]
    key = rule["apply_server_side_encryption_by_default"][0]["kms_master_key_id"]
    assert passes("s3:PutObject", keys={ALGORITHM: "aws:kms", KEY: key})
    assert not passes("s3:PutObject", keys={ALGORITHM: "AES256"})
    assert not passes("s3:PutObject", keys={ALGORITHM: "aws:kms", KEY: key + "1"})


def test_backends_have_lock_files_and_the_key(run):
    for name, text in run.outputs["backend_configuration"].items():
        settings = dict(line.split(" = ", 1) for line in (" ".join(line.split()) for line in text.splitlines()))
        assert settings["use_lockfile"] == settings["encrypt"] == "true"
        assert settings["key"] == f'"{name}/terraform.tfstate"'
        assert settings["kms_key_id"].startswith('"arn:aws:kms:')


def test_old_versions_expire_after_a_minimum_number(run):
    [rule] = run.one("aws_s3_bucket_lifecycle_configuration")["rule"]
    assert rule["status"] == "Enabled" and not rule["expiration"]
    [old] = rule["noncurrent_version_expiration"]
    assert (old["noncurrent_days"], old["newer_noncurrent_versions"]) == (90, 20)
