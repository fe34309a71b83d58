"""Keys: the principals that may use them."""

import json

import pytest
from folders import SHIPPED
from iam import allowed

FOLDER = "modules/kms"
ROOT = "arn:aws:iam::111122223333:root"


@pytest.fixture
def keys(tested):
    return {resource.index: json.loads(resource.values["policy"]) for resource in tested["kms/every_purpose"].all("aws_kms_key")}


def test_the_account_administers_every_key(keys):
    for policy in keys.values():
        for action in ("kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:EnableKeyRotation", "kms:CreateAlias", "kms:UpdateAlias", "kms:DeleteAlias"):
            assert allowed([policy], action, principal=ROOT)


@pytest.mark.parametrize("purpose", ["audit", "ecr", "eks", "state", "valkey"])
def test_the_accounts_roles_encrypt(keys, purpose):
    assert allowed([keys[purpose]], "kms:Decrypt", principal=ROOT)


def test_services_create_grants(keys):
    """EKS requests them on behalf of the cluster's creator, not as an AWS resource."""
    assert allowed([keys["eks"]], "kms:CreateGrant", principal=ROOT)
    registry = {"kms:ViaService": "ecr.us-east-2.amazonaws.com"}
    for action in ("kms:CreateGrant", "kms:RetireGrant"):
        assert allowed([keys["ecr"]], action, principal=ROOT, keys=registry)
        assert not allowed([keys["ecr"]], action, principal=ROOT)
        assert not allowed([keys["state"]], action, principal=ROOT, keys=registry)


@pytest.mark.parametrize("purpose", ["logs", "sns"])
def test_roles_cannot_decrypt_data_of_services_directly(keys, purpose):
    assert not allowed([keys[purpose]], "kms:Decrypt", principal=ROOT)


def test_logs_of_this_account_and_region(keys):
    service = "logs.us-east-2.amazonaws.com"
    name = "kms:EncryptionContext:aws:logs:arn"
    assert allowed([keys["logs"]], "kms:Encrypt", principal=service, keys={name: "arn:aws:logs:us-east-2:111122223333:log-group:/any"})
    for other in ("arn:aws:logs:us-east-2:444455556666:log-group:/any", "arn:aws:logs:us-east-1:111122223333:log-group:/any"):
        assert not allowed([keys["logs"]], "kms:Encrypt", principal=service, keys={name: other})
    assert not allowed([keys["logs"]], "kms:Encrypt", principal=service)


def test_alarms_of_this_account(keys):
    assert allowed([keys["sns"]], "kms:GenerateDataKey", principal="cloudwatch.amazonaws.com", keys={"aws:SourceAccount": "111122223333"})
    assert not allowed([keys["sns"]], "kms:GenerateDataKey", principal="cloudwatch.amazonaws.com", keys={"aws:SourceAccount": "444455556666"})
    assert not allowed([keys["sns"]], "kms:GenerateDataKey", principal="sns.amazonaws.com", keys={"aws:SourceAccount": "111122223333"})


def test_guard_rails_use_their_key_for_this_account(keys):
    for service in ("budgets", "cloudwatch", "costalerts", "events"):
        assert allowed([keys["audit"]], "kms:GenerateDataKey", principal=f"{service}.amazonaws.com", keys={"aws:SourceAccount": "111122223333"})
        assert not allowed([keys["audit"]], "kms:GenerateDataKey", principal=f"{service}.amazonaws.com", keys={"aws:SourceAccount": "444455556666"})
    trail = "arn:aws:cloudtrail:us-east-2:111122223333:trail"
    assert allowed([keys["audit"]], "kms:GenerateDataKey", principal="cloudtrail.amazonaws.com", keys={"aws:SourceArn": f"{trail}/shoutback-staging"})
    assert not allowed([keys["audit"]], "kms:GenerateDataKey", principal="cloudtrail.amazonaws.com", keys={"aws:SourceArn": f"{trail}/other"})


def test_the_keys_of_state_and_images_are_never_destroyed(tested):
    kept = {key.index for key in tested["kms/every_purpose"].all("aws_kms_key") if key.name == "kept"}
    assert kept == {"ecr", "state"}
    text = (SHIPPED / FOLDER / "main.tf").read_text()
    assert "prevent_destroy = true" in text.partition('resource "aws_kms_key" "kept"')[2].partition("\n}\n")[0]
