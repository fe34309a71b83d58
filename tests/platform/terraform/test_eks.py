"""The cluster: access, Auto Mode's roles, and that nothing of it is patched or scaled by hand."""

import ipaddress
import json
import re

import pytest
import yaml
from folders import ROOT, SHIPPED
from iam import allowed

FOLDER = "modules/eks"
CLUSTER = "arn:aws:eks:us-east-2:111122223333:cluster/shoutback-production"


@pytest.fixture
def run(tested):
    return tested["eks/everything_set"]


def test_groups_are_those_of_the_role_bindings():
    subjects = {
        subject["name"]
        for file in sorted((ROOT / "gitops/platform/cluster/teams").glob("*.yaml"))
        for document in yaml.safe_load_all(file.read_text())
        if document and document.get("kind") in ("RoleBinding", "ClusterRoleBinding")
        for subject in document["subjects"]
        if subject["kind"] == "Group"
    }
    assert subjects
    groups = re.search(r"team_groups = \[(.*)\]", (SHIPPED / FOLDER / "access.tf").read_text())[1]
    assert set(re.findall(r'"([^"]+)"', groups)) == subjects


def test_access_entries_are_those_of_the_teams(run):
    entries = {entry.values["principal_arn"].rsplit("/")[-1]: entry.values["kubernetes_groups"] for entry in run.all("aws_eks_access_entry") if entry.values["kubernetes_groups"]}
    assert {name: set(groups) for name, groups in entries.items()} == {
        "Auditors": {"shoutback-auditors"},
        "BreakGlass": {"shoutback-break-glass"},
        "SRE": {"shoutback-auditors", "shoutback-sre"},
    }


def test_there_is_no_administrator_after_the_first_installation(tested):
    assert {resource.index for resource in tested["eks/everything_set"].all("aws_eks_access_policy_association")} == {"arn:aws:iam::111122223333:role/Installer"}
    assert tested["eks/private"].all("aws_eks_access_policy_association") == []
    [entry] = [entry for entry in tested["eks/everything_set"].all("aws_eks_access_entry") if entry.index.endswith("role/Installer")]
    assert not entry.values["kubernetes_groups"]


def test_secrets_are_encrypted_with_the_key_of_the_role(run):
    cluster = run.one("aws_eks_cluster")
    policy = json.loads(run.one("aws_iam_role_policy", "encrypt-secrets")["policy"])
    key = cluster["encryption_config"][0]["provider"][0]["key_arn"]
    for action in ("kms:Encrypt", "kms:Decrypt", "kms:DescribeKey"):
        assert allowed([policy], action, key)
        assert not allowed([policy], action, key.replace("0000", "9999"))


def test_logs_of_the_control_plane_are_encrypted(run):
    group = run.one("aws_cloudwatch_log_group")
    assert group["name"] == f"/aws/eks/{run.one('aws_eks_cluster')['name']}/cluster"
    assert group["kms_key_id"].endswith("11111111-1111-1111-1111-111111111111") and group["retention_in_days"] == 365


def role(run, name):
    """Returns the trust of a role, its AWS policies and its inline policies."""
    [trust] = [json.loads(role.values["assume_role_policy"]) for role in run.all("aws_iam_role") if role.name == name]
    attached = {attachment.values["policy_arn"].rsplit("/")[-1] for attachment in run.all("aws_iam_role_policy_attachment") if attachment.name == name}
    return trust, attached, [json.loads(policy.values["policy"]) for policy in run.all("aws_iam_role_policy") if policy.name == name]


def test_the_role_of_the_cluster_is_that_of_auto_mode(run):
    """EKS user guide, "Amazon EKS Auto Mode cluster IAM role": five policies, and sessions that EKS may tag."""
    trust, attached, _ = role(run, "cluster")
    assert attached == {f"AmazonEKS{part}Policy" for part in ("BlockStorage", "Cluster", "Compute", "LoadBalancing", "Networking")}
    own = {"aws:SourceAccount": "111122223333", "aws:SourceArn": CLUSTER}
    for action in ("sts:AssumeRole", "sts:TagSession"):
        assert allowed([trust], action, principal="eks.amazonaws.com", keys=own)
        assert not allowed([trust], action, principal="eks.amazonaws.com", keys=own | {"aws:SourceArn": CLUSTER + "2"})


def test_our_tags_are_permitted_on_resources_of_this_cluster_only(run):
    """The managed policies permit no tags but EKS's: containers-roadmap #2487."""
    _, _, policies = role(run, "cluster")
    own = {"aws:RequestTag/eks:eks-cluster-name": "shoutback-production", "aws:RequestTag/environment": "production"}
    for action, resource in (
        ("ec2:RunInstances", "arn:aws:ec2:us-east-2:111122223333:instance/*"),
        ("ec2:CreateVolume", "arn:aws:ec2:us-east-2:111122223333:volume/*"),
        ("elasticloadbalancing:CreateLoadBalancer", "arn:aws:elasticloadbalancing:us-east-2:111122223333:loadbalancer/net/k8s/*"),
    ):
        assert allowed(policies, action, resource, keys=own), action
        assert not allowed(policies, action, resource, keys=own | {"aws:RequestTag/eks:eks-cluster-name": "shoutback-staging"}), action


def test_nodes_only_join_and_pull(run):
    _, attached, policies = role(run, "node")
    assert attached == {"AmazonEKSWorkerNodeMinimalPolicy", "AmazonEC2ContainerRegistryPullOnly"}
    repository = "arn:aws:ecr:us-east-2:111122223333:repository"
    assert allowed(policies, "ecr:CreateRepository", f"{repository}/quay.io/argoproj/argocd")
    assert not allowed(policies, "ecr:CreateRepository", f"{repository}/shoutback")


def test_nodes_are_what_terraform_made_for_them(run):
    """The NodeClass names the role, and finds subnets and security group by tags; its tags are those of Terraform's resources."""
    text = (ROOT / "gitops/platform/templates/nodes.yaml").read_text().replace("{{ .Values.environment }}", "production")
    nodes, pool = yaml.safe_load_all(text)
    assert nodes["spec"]["role"] == run.outputs["node_role_name"]
    assert nodes["spec"]["securityGroupSelectorTerms"] == [{"tags": {"aws:eks:cluster-name": run.one("aws_eks_cluster")["name"]}}]
    network, environment = ((SHIPPED / file).read_text() for file in ("modules/network/main.tf", "environment/main.tf"))
    [subnets] = nodes["spec"]["subnetSelectorTerms"]
    assert subnets["tags"] == {"environment": "production", "kubernetes.io/role/internal-elb": "1"} and '"kubernetes.io/role/internal-elb" = "1"' in network
    [defaults] = re.findall(r"default_tags \{\n    tags = \{\n(.*?)\n    \}", environment, re.DOTALL)
    assert re.findall(r"(\w+) +=", defaults) == sorted(nodes["spec"]["tags"], reverse=True)
    # Before the built-in pool, whose nodes lack the tags.
    assert pool["spec"]["weight"] > 1 and pool["spec"]["template"]["spec"]["nodeClassRef"]["name"] == nodes["metadata"]["name"]


def test_volumes_and_load_balancers_are_tagged():
    for name in ("staging", "production"):
        tags = {f"environment={name}", "project=shoutback"}
        [storage] = [one for one in yaml.safe_load_all((ROOT / "gitops/platform/templates/cluster.yaml").read_text().replace("{{ .Values.environment }}", name)) if one["kind"] == "StorageClass"]
        assert {value for key, value in storage["parameters"].items() if key.startswith("tagSpecification_")} == tags
        for controller in ("nginx-ingress", "nginx-internal"):
            annotations = yaml.safe_load((ROOT / f"gitops/platform/{name}/{controller}.yaml").read_text())["controller"]["service"]["annotations"]
            assert set(annotations["service.beta.kubernetes.io/aws-load-balancer-additional-resource-tags"].split(",")) == tags


def peers_of_port_53(policy):
    """Returns the ranges of addresses that this policy permits for DNS, by protocol."""
    found = {"UDP": set(), "TCP": set()}
    for rule in policy["egress"]:
        for port in rule.get("ports", []):
            if port["port"] == 53:
                found[port.get("protocol", "TCP")] |= {peer["ipBlock"]["cidr"] for peer in rule.get("to", []) if "ipBlock" in peer}
    return found


def test_policies_permit_dns_which_is_no_pod(run):
    """containers-roadmap #2552: with Auto Mode, a policy that permits the pods of kube-dns blocks DNS. EKS uses the tenth address of the range."""
    [configuration] = run.one("aws_eks_cluster")["kubernetes_network_config"]
    address = f"{ipaddress.ip_network(configuration['service_ipv4_cidr'])[10]}/32"
    # Of add-ons; tests/platform/gitops/test_network.py evaluates them.
    assert re.findall(r"cidr: (172\.\S+)", (ROOT / "gitops/platform/templates/namespaces.yaml").read_text()) == [address]
    policies = []
    for name in ("staging", "production"):
        extra = yaml.safe_load((ROOT / f"gitops/service/{name}/values.yaml").read_text())["networkPolicy"]["extraEgress"]
        policies.append({"egress": extra})
    for policy in policies:
        assert peers_of_port_53(policy) == {"UDP": {address}, "TCP": {address}}


def test_auto_mode_chooses_image_version_and_number_of_nodes(run):
    """So nodes are patched and scaled by AWS. A group of nodes would keep the AMI of its creation."""
    kinds = {resource.type for resource in run.resources}
    assert not kinds & {"aws_eks_node_group", "aws_launch_template", "aws_eks_addon", "aws_autoscaling_group"}
    assert run.one("aws_eks_cluster")["compute_config"][0]["node_pools"] == ["general-purpose"]
