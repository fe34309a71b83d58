"""The cluster: access, and that the add-on for pods' credentials is installed before the nodes."""

import json

import pytest
import yaml
from folders import ROOT
from iam import allowed

FOLDER = "modules/eks"
CLUSTER = "arn:aws:eks:us-east-2:111122223333:cluster/shoutback-production"


@pytest.fixture
def run(tested):
    return tested["eks/everything_set"]


def test_groups_are_those_of_the_role_bindings(run):
    subjects = {
        subject["name"]
        for file in sorted((ROOT / "gitops/base/teams").glob("*.yaml"))
        for document in yaml.safe_load_all(file.read_text())
        if document and document.get("kind") in ("RoleBinding", "ClusterRoleBinding")
        for subject in document["subjects"]
        if subject["kind"] == "Group"
    }
    assert subjects
    assert set(run.outputs["team_groups"]) == subjects


def test_access_entries_are_those_of_the_teams(run):
    entries = {entry.values["principal_arn"].rsplit("/")[-1]: entry.values["kubernetes_groups"] for entry in run.all("aws_eks_access_entry") if entry.name == "team"}
    assert {name: set(groups) for name, groups in entries.items()} == {
        "Auditors": {"shoutback-auditors"},
        "BreakGlass": {"shoutback-break-glass"},
        "SRE": {"shoutback-auditors", "shoutback-sre"},
    }


def test_there_is_no_administrator_after_the_first_installation(tested):
    assert {resource.index for resource in tested["eks/everything_set"].all("aws_eks_access_policy_association")} == {"arn:aws:iam::111122223333:role/Installer"}
    assert tested["eks/example"].all("aws_eks_access_policy_association") == []
    assert all(not groups for groups in (entry.values["kubernetes_groups"] for entry in run_entries(tested) if entry.name == "bootstrap_admin"))


def run_entries(tested):
    return [entry for run in tested.values() for entry in run.all("aws_eks_access_entry")]


def test_without_ranges_there_is_no_public_endpoint(tested):
    configuration = tested["eks/example"].one("aws_eks_cluster")["vpc_config"][0]
    assert configuration["endpoint_public_access"] is False and configuration["endpoint_private_access"] is True


def test_secrets_are_encrypted_with_the_key_of_the_role(run):
    cluster = run.one("aws_eks_cluster")
    [policy] = [json.loads(policy.values["policy"]) for policy in run.all("aws_iam_role_policy") if policy.name == "cluster_key"]
    key = cluster["encryption_config"][0]["provider"][0]["key_arn"]
    for action in ("kms:Encrypt", "kms:Decrypt", "kms:DescribeKey"):
        assert allowed([policy], action, key)
        assert not allowed([policy], action, key.replace("0000", "9999"))


def test_logs_of_the_control_plane_are_encrypted(run):
    group = run.one("aws_cloudwatch_log_group")
    assert group["name"] == f"/aws/eks/{run.one('aws_eks_cluster')['name']}/cluster"
    assert group["kms_key_id"].endswith("11111111-1111-1111-1111-111111111111") and group["retention_in_days"] == 365


def test_roles_of_add_ons_are_only_for_their_pods(run):
    associated = {addon.index: addon.values["pod_identity_association"] for addon in run.all("aws_eks_addon")}
    assert {name: [one["service_account"] for one in found] for name, found in associated.items()} == {
        "aws-ebs-csi-driver": ["ebs-csi-controller-sa"],
        "coredns": [],
        "eks-pod-identity-agent": [],
        "kube-proxy": [],
        "vpc-cni": ["aws-node"],
    }
    trusts = {role.index: json.loads(role.values["assume_role_policy"]) for role in run.all("aws_iam_role") if role.name == "addon"}
    for name, trust in trusts.items():
        account = associated[name][0]["service_account"]
        own = {
            "aws:SourceAccount": "111122223333",
            "aws:SourceArn": CLUSTER,
            "aws:RequestTag/kubernetes-namespace": "kube-system",
            "aws:RequestTag/kubernetes-service-account": account,
        }
        assert allowed([trust], "sts:AssumeRole", principal="pods.eks.amazonaws.com", keys=own)
        for key, other in [
            ("aws:SourceAccount", "444455556666"),
            ("aws:SourceArn", CLUSTER + "2"),
            ("aws:RequestTag/kubernetes-namespace", "default"),
            ("aws:RequestTag/kubernetes-service-account", "default"),
        ]:
            assert not allowed([trust], "sts:AssumeRole", principal="pods.eks.amazonaws.com", keys=own | {key: other})


def test_nodes_only_join_and_pull(run):
    attached = {attachment.values["policy_arn"].rsplit("/")[-1] for attachment in run.all("aws_iam_role_policy_attachment") if attachment.values["role"].endswith("-node")}
    assert attached == {"AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly"}
