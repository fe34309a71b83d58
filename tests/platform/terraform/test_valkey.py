"""The shared store: who connects, and how the password gets to the pods."""

import json

import pytest
from iam import allowed

FOLDER = "modules/valkey"


@pytest.fixture
def run(tested):
    return tested["valkey/two_nodes"]


@pytest.fixture
def stack(run):
    return json.loads(run.one("aws_cloudformation_stack")["template_body"])


def test_the_password_goes_from_its_maker_to_the_store(stack):
    """CloudFormation makes it, and resolves the reference itself: it is in no template, no state and no output."""
    resources = stack["Resources"]
    assert resources["Password"]["Properties"]["GenerateSecretString"]["PasswordLength"] == 64
    [reference] = resources["User"]["Properties"]["AuthenticationMode"]["Passwords"]
    assert reference == {"Fn::Sub": "{{resolve:secretsmanager:${Password}:SecretString:password}}"}
    assert resources["UserGroup"]["Properties"]["UserIds"] == [{"Ref": "User"}]
    template = json.loads(resources["Password"]["Properties"]["GenerateSecretString"]["SecretStringTemplate"])
    assert template["username"] == resources["User"]["Properties"]["UserName"]


def test_the_user_cannot_administer_and_has_its_own_keys(stack):
    rules = stack["Resources"]["User"]["Properties"]["AccessString"].split()
    assert rules[0] == "on" and "~shoutback:*" in rules and "~*" not in rules
    assert rules.index("-@admin") > rules.index("+@all") and rules.index("-@dangerous") > rules.index("+@all")


def test_only_the_services_pods_read_the_password(run):
    policy, trust = json.loads(run.one("aws_iam_role_policy")["policy"]), json.loads(run.one("aws_iam_role")["assume_role_policy"])
    secret = "arn:aws:secretsmanager:us-east-2:111122223333:secret:shoutback-staging-valkey-AbCdEf"
    assert allowed([policy], "secretsmanager:GetSecretValue", secret)
    assert not allowed([policy], "secretsmanager:GetSecretValue", secret.replace("staging", "production"))
    own = {
        "aws:SourceAccount": "111122223333",
        "aws:SourceArn": "arn:aws:eks:us-east-2:111122223333:cluster/shoutback-staging",
        "aws:RequestTag/kubernetes-namespace": "shoutback",
        "aws:RequestTag/kubernetes-service-account": "shoutback",
    }
    assert allowed([trust], "sts:AssumeRole", principal="pods.eks.amazonaws.com", keys=own)
    assert not allowed([trust], "sts:AssumeRole", principal="pods.eks.amazonaws.com", keys=own | {"aws:RequestTag/kubernetes-namespace": "default"})


def test_alarms_are_of_the_nodes(run):
    """ElastiCache names the nodes of a group GROUP-001 and GROUP-002."""
    group = run.one("aws_elasticache_replication_group")
    nodes = {f"{group['replication_group_id']}-{number:03}" for number in range(1, group["num_cache_clusters"] + 1)}
    assert {alarm.values["dimensions"]["CacheClusterId"] for alarm in run.all("aws_cloudwatch_metric_alarm")} == nodes
