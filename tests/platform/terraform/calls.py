"""The API calls with which Terraform creates and deletes each type of resource, by AWS' service authorization reference: action, resource
and condition context. An action on several resources is listed for each. For the tests of GitHub's roles."""

ACCOUNT = "111122223333"
NAME = "shoutback-staging"
REGION = {"aws:RequestedRegion": "us-east-2"}
# A resource created with tags; one that has them; one of Amazon or EKS without our tags.
NEW = REGION | {"aws:RequestTag/environment": "staging"}
OWN = REGION | {"aws:ResourceTag/environment": "staging"}
EKSS = REGION | {"aws:ResourceTag/aws:eks:cluster-name": NAME}
BOUNDED = REGION | {"iam:PermissionsBoundary": "arn:aws:iam::111122223333:policy/shoutback-staging-boundary"}


def arn(service, resource, region="us-east-2"):
    return f"arn:aws:{service}:{region}:{ACCOUNT}:{resource}"


def ec2(kind, context):
    return arn("ec2", f"{kind}/*" if context is NEW else f"{kind}/{kind}-1"), context


def created(action, kind, *parents):
    """Returns the calls that create an EC2 resource with tags in its parent."""
    yield f"ec2:{action}", *ec2(kind, NEW)
    yield "ec2:CreateTags", *ec2(kind, NEW | {"ec2:CreateAction": action})
    for parent in parents:
        yield f"ec2:{action}", *ec2(parent, OWN)


def changed(action, *kinds, context=OWN):
    for kind in kinds:
        yield f"ec2:{action}", *ec2(kind, context)


def all_of(service, resource, context, *actions):
    return [(f"{service}:{action}", arn(service, resource), context) for action in actions]


ROLE = f"arn:aws:iam::{ACCOUNT}:role/{NAME}-node"
POOL = "userpool/us-east-2_AbCdEfGhI"
ALARM = "alarm:staging-ShoutbackReplicaDown-page"

CALLS = {
    "aws_cloudformation_stack": [
        *all_of("cloudformation", f"stack/{NAME}-alarms/1", REGION, "CreateStack", "UpdateStack", "DeleteStack"),
        # A stack acts with its creator's permissions. Composite alarms support no resource-level permissions.
        *all_of("cloudwatch", ALARM, REGION, "PutMetricAlarm", "DeleteAlarms", "TagResource"),
        ("cloudwatch:PutCompositeAlarm", "*", REGION),
        ("cloudwatch:DeleteAlarms", "*", REGION),
        # The clients of the pool, whose secret CloudFormation stores.
        *all_of("cognito-idp", POOL, OWN, "CreateUserPoolClient", "UpdateUserPoolClient", "DescribeUserPoolClient", "DeleteUserPoolClient"),
        *all_of("secretsmanager", f"secret:{NAME}-machine-client-AbCdEf", REGION, "CreateSecret", "UpdateSecret", "TagResource", "DeleteSecret"),
        # The user of the store: a dynamic reference to its password is resolved with the caller's permissions.
        ("secretsmanager:GetRandomPassword", "*", REGION),
        *all_of("secretsmanager", f"secret:{NAME}-valkey-AbCdEf", REGION, "CreateSecret", "GetSecretValue", "DeleteSecret"),
        *all_of("elasticache", f"user:{NAME}-shoutback", REGION, "CreateUser", "ModifyUser", "DeleteUser", "DescribeUsers"),
        *all_of("elasticache", f"usergroup:{NAME}-valkey", REGION, "CreateUserGroup", "ModifyUserGroup", "DeleteUserGroup", "DescribeUserGroups"),
    ],
    "aws_cloudwatch_metric_alarm": all_of("cloudwatch", ALARM, REGION, "PutMetricAlarm", "TagResource", "DeleteAlarms"),
    "aws_elasticache_replication_group": [
        *all_of("elasticache", f"replicationgroup:{NAME}-valkey", REGION, "CreateReplicationGroup", "ModifyReplicationGroup", "AddTagsToResource", "DeleteReplicationGroup"),
        *all_of("elasticache", f"subnetgroup:{NAME}-valkey", REGION, "CreateReplicationGroup"),
        *all_of("elasticache", f"usergroup:{NAME}-valkey", REGION, "CreateReplicationGroup"),
        *all_of("elasticache", "parametergroup:default.valkey8", REGION, "CreateReplicationGroup"),
        ("iam:CreateServiceLinkedRole", f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/elasticache.amazonaws.com/AWSServiceRoleForElastiCache", REGION | {"iam:AWSServiceName": "elasticache.amazonaws.com"}),
    ],
    "aws_elasticache_subnet_group": all_of("elasticache", f"subnetgroup:{NAME}-valkey", REGION, "CreateCacheSubnetGroup", "ModifyCacheSubnetGroup", "AddTagsToResource", "DeleteCacheSubnetGroup"),
    "aws_cloudwatch_dashboard": [(f"cloudwatch:{action}Dashboard{'s' if action == 'Delete' else ''}", f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/{NAME}", REGION) for action in ("Put", "Delete")],
    "aws_cloudwatch_log_group": all_of("logs", f"log-group:/aws/eks/{NAME}/cluster", REGION, "CreateLogGroup", "AssociateKmsKey", "PutRetentionPolicy", "DeleteRetentionPolicy", "TagResource", "DeleteLogGroup"),
    "aws_cloudwatch_query_definition": [(f"logs:{action}QueryDefinition", "*", REGION) for action in ("Put", "Delete")],
    "aws_cognito_managed_login_branding": all_of("cognito-idp", POOL, OWN, "CreateManagedLoginBranding", "DeleteManagedLoginBranding"),
    "aws_cognito_resource_server": all_of("cognito-idp", POOL, OWN, "CreateResourceServer", "DeleteResourceServer"),
    "aws_cognito_user_group": all_of("cognito-idp", POOL, OWN, "CreateGroup", "DeleteGroup"),
    "aws_cognito_user_pool": [
        ("cognito-idp:CreateUserPool", "*", NEW),
        *all_of("cognito-idp", POOL, OWN, "SetUserPoolMfaConfig", "UpdateUserPool", "DeleteUserPool"),
    ],
    "aws_cognito_user_pool_domain": all_of("cognito-idp", POOL, OWN, "CreateUserPoolDomain", "DeleteUserPoolDomain"),
    # Created with the network, without tags.
    "aws_default_security_group": [
        ("ec2:CreateTags", arn("ec2", "security-group/sg-1"), NEW),
        *changed("RevokeSecurityGroupIngress", "security-group"),
        *changed("RevokeSecurityGroupEgress", "security-group"),
    ],
    "aws_eip": [*created("AllocateAddress", "elastic-ip"), *changed("ReleaseAddress", "elastic-ip")],
    "aws_eks_access_entry": [
        *all_of("eks", f"cluster/{NAME}", REGION, "CreateAccessEntry"),
        *all_of("eks", f"access-entry/{NAME}/role/{ACCOUNT}/sre/1", REGION, "UpdateAccessEntry", "DeleteAccessEntry", "TagResource"),
    ],
    "aws_eks_access_policy_association": all_of("eks", f"access-entry/{NAME}/role/{ACCOUNT}/admin/1", REGION, "AssociateAccessPolicy", "DisassociateAccessPolicy"),
    "aws_eks_addon": [
        *all_of("eks", f"cluster/{NAME}", REGION, "CreateAddon", "CreatePodIdentityAssociation"),
        *all_of("eks", f"addon/{NAME}/coredns/1", REGION, "UpdateAddon", "DeleteAddon", "TagResource"),
        ("iam:PassRole", ROLE, REGION | {"iam:PassedToService": "pods.eks.amazonaws.com"}),
    ],
    "aws_eks_cluster": [
        *all_of("eks", f"cluster/{NAME}", REGION, "CreateCluster", "UpdateClusterConfig", "UpdateClusterVersion", "DeleteCluster", "TagResource"),
        ("iam:PassRole", ROLE, REGION | {"iam:PassedToService": "eks.amazonaws.com"}),
        # Not as a grant for an AWS resource, whatever its name: the EKS user guide, "Encrypt Kubernetes secrets".
        ("kms:CreateGrant", arn("kms", "key/1"), OWN),
        ("kms:DescribeKey", arn("kms", "key/1"), OWN),
        ("iam:CreateServiceLinkedRole", f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/eks.amazonaws.com/AWSServiceRoleForAmazonEKS", REGION | {"iam:AWSServiceName": "eks.amazonaws.com"}),
    ],
    "aws_eks_pod_identity_association": [
        *all_of("eks", f"cluster/{NAME}", REGION, "CreatePodIdentityAssociation"),
        *all_of("eks", f"podidentityassociation/{NAME}/a-1", REGION, "UpdatePodIdentityAssociation", "DeletePodIdentityAssociation", "TagResource"),
        ("iam:PassRole", ROLE, REGION | {"iam:PassedToService": "pods.eks.amazonaws.com"}),
    ],
    "aws_flow_log": [
        *created("CreateFlowLogs", "vpc-flow-log", "vpc"),
        ("logs:CreateLogDelivery", "*", REGION),
        ("iam:PassRole", ROLE, REGION | {"iam:PassedToService": "vpc-flow-logs.amazonaws.com"}),
        *changed("DeleteFlowLogs", "vpc-flow-log"),
        ("logs:DeleteLogDelivery", "*", REGION),
    ],
    "aws_iam_role": [(f"iam:{action}", ROLE, BOUNDED) for action in ("CreateRole", "TagRole", "UpdateAssumeRolePolicy", "DeleteRole", "PutRolePermissionsBoundary")],
    "aws_iam_role_policy": [(f"iam:{action}", ROLE, BOUNDED) for action in ("PutRolePolicy", "DeleteRolePolicy")],
    "aws_iam_role_policy_attachment": [
        ("iam:AttachRolePolicy", ROLE, BOUNDED | {"iam:PolicyARN": "arn:aws:iam::aws:policy/AmazonEKSComputePolicy"}),
        ("iam:DetachRolePolicy", ROLE, BOUNDED),
    ],
    "aws_internet_gateway": [
        *created("CreateInternetGateway", "internet-gateway"),
        *changed("AttachInternetGateway", "internet-gateway", "vpc"),
        *changed("DetachInternetGateway", "internet-gateway", "vpc"),
        *changed("DeleteInternetGateway", "internet-gateway"),
    ],
    "aws_kms_alias": [(f"kms:{action}Alias", arn("kms", resource), OWN) for action in ("Create", "Update", "Delete") for resource in (f"alias/{NAME}-eks", "key/1")],
    "aws_kms_key": [
        # Tagging at creation is authorized on no particular key.
        *[(f"kms:{action}", "*", NEW) for action in ("CreateKey", "TagResource")],
        *all_of("kms", "key/1", OWN, "EnableKeyRotation", "PutKeyPolicy", "ScheduleKeyDeletion", "CancelKeyDeletion"),
    ],
    "aws_nat_gateway": [*created("CreateNatGateway", "natgateway", "subnet", "elastic-ip"), *changed("DeleteNatGateway", "natgateway")],
    "aws_route": [*changed("CreateRoute", "route-table"), *changed("ReplaceRoute", "route-table"), *changed("DeleteRoute", "route-table")],
    "aws_route_table": [*created("CreateRouteTable", "route-table", "vpc"), *changed("DeleteRouteTable", "route-table")],
    "aws_route_table_association": [
        *changed("AssociateRouteTable", "route-table", "subnet"),
        *changed("ReplaceRouteTableAssociation", "route-table", "subnet"),
        *changed("DisassociateRouteTable", "route-table", "subnet"),
    ],
    "aws_security_group": [
        *created("CreateSecurityGroup", "security-group", "vpc"),
        # The default egress rule, which the provider removes.
        *changed("RevokeSecurityGroupEgress", "security-group"),
        *changed("DeleteSecurityGroup", "security-group"),
    ],
    "aws_sns_topic": all_of("sns", f"{NAME}-page", REGION, "CreateTopic", "SetTopicAttributes", "TagResource", "DeleteTopic"),
    "aws_sns_topic_policy": all_of("sns", f"{NAME}-page", REGION, "SetTopicAttributes"),
    # IAM does not know subscriptions as resources.
    "aws_sns_topic_subscription": [
        *all_of("sns", f"{NAME}-page", REGION, "Subscribe"),
        *[(f"sns:{action}", "*", REGION) for action in ("SetSubscriptionAttributes", "Unsubscribe")],
    ],
    "aws_subnet": [*created("CreateSubnet", "subnet", "vpc"), *changed("ModifySubnetAttribute", "subnet"), *changed("DeleteSubnet", "subnet")],
    "aws_vpc": [*created("CreateVpc", "vpc"), *changed("ModifyVpcAttribute", "vpc"), *changed("DeleteVpc", "vpc")],
    "aws_vpc_endpoint": [
        *created("CreateVpcEndpoint", "vpc-endpoint", "vpc", "route-table", "subnet", "security-group"),
        # For service names, in zones of Amazon.
        ("route53:AssociateVPCWithHostedZone", "*", {}),
        *changed("ModifyVpcEndpoint", "vpc-endpoint"),
        *changed("DeleteVpcEndpoints", "vpc-endpoint"),
    ],
    "aws_vpc_security_group_ingress_rule": [
        *created("AuthorizeSecurityGroupIngress", "security-group-rule", "security-group"),
        # The cluster's security group belongs to EKS and has its tags.
        *changed("AuthorizeSecurityGroupIngress", "security-group", context=EKSS),
        *changed("RevokeSecurityGroupIngress", "security-group", context=EKSS),
    ],
}
