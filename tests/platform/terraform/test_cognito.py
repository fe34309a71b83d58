"""The clients of the user pool, which a CloudFormation stack makes."""

import json

import pytest

FOLDER = "modules/cognito"


@pytest.fixture
def clients(tested):
    template = json.loads(tested["cognito/everything_set"].one("aws_cloudformation_stack")["template_body"])
    return {name: resource["Properties"] for name, resource in template["Resources"].items()}


def test_machines_have_a_secret_and_get_only_the_scope(clients):
    machine = clients["Machine"]
    assert machine["GenerateSecret"] is True
    assert (machine["AllowedOAuthFlows"], machine["AllowedOAuthScopes"]) == (["client_credentials"], ["shoutback/shout"])


def test_people_have_no_secret_and_sign_in_by_code(clients):
    people = clients["People"]
    assert people["GenerateSecret"] is False
    assert (people["AllowedOAuthFlows"], people["CallbackURLs"]) == (["code"], ["https://api.shoutback.example.com/docs"])


def test_refresh_tokens_of_people_are_rotated(clients):
    """Cognito rejects rotation together with the flow that uses a refresh token again."""
    people = clients["People"]
    assert people["RefreshTokenRotation"]["Feature"] == "ENABLED" and "ALLOW_REFRESH_TOKEN_AUTH" not in people["ExplicitAuthFlows"]


@pytest.mark.parametrize("name", ["Machine", "People"])
def test_no_client_accepts_passwords(clients, name):
    client = clients[name]
    assert client["ExplicitAuthFlows"] and not [flow for flow in client["ExplicitAuthFlows"] if "PASSWORD" in flow or "SRP" in flow or flow == "ALLOW_USER_AUTH"]
    assert client["EnableTokenRevocation"] is True and client["PreventUserExistenceErrors"] == "ENABLED"
    assert client["AccessTokenValidity"] == 60 and client["TokenValidityUnits"]["AccessToken"] == "minutes"


def test_the_secret_is_only_in_secrets_manager(clients, tested):
    stored = json.loads(clients["MachineSecret"]["SecretString"]["Fn::Sub"])
    assert stored == {"client_id": "${Machine}", "client_secret": "${Machine.ClientSecret}"}
    assert tested["cognito/everything_set"].outputs["settings"]["machine_secret_name"] == clients["MachineSecret"]["Name"] == "shoutback-production-machine-client"


def test_outputs_of_the_stack_are_ids(tested):
    """Outputs of a stack are in the state."""
    template = json.loads(tested["cognito/everything_set"].one("aws_cloudformation_stack")["template_body"])
    assert template["Outputs"] == {"MachineClientId": {"Value": {"Ref": "Machine"}}, "PeopleClientId": {"Value": {"Ref": "People"}}}
