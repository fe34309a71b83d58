"""The real binary with access tokens from another implementation of Cognito.

moto signs for every pool with the same key, `kid` "dummy". So if an instance for one pool rejects a token of another pool, the
issuer is the only possible reason.
"""

import base64
import json

import httpx
import jwt
import pytest
from conftest import REGION
from moto.utilities.utils import load_resource


def test_moto_issues_tokens_as_cognito_does(moto, pool, shouter):
    """The assumptions of the other tests, checked by another verifier."""
    keys = httpx.get(f"{moto}/{pool.id}/.well-known/jwks.json", trust_env=False).json()
    key = jwt.PyJWKSet.from_dict(keys)["dummy"]

    token = shouter["AccessToken"]
    assert jwt.get_unverified_header(token)["kid"] == "dummy"
    claims = jwt.decode(token, key, algorithms=["RS256"], issuer=pool.issuer)
    assert claims["token_use"] == "access"
    assert claims["client_id"] == pool.client_id
    assert claims["scope"] == "aws.cognito.signin.user.admin"
    assert claims["cognito:groups"] == ["shouters"]
    assert "aud" not in claims

    claims = jwt.decode(
        shouter["IdToken"], key, algorithms=["RS256"], issuer=pool.issuer, audience=pool.client_id
    )
    assert claims["token_use"] == "id"

    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(with_other_claims(token), key, algorithms=["RS256"])
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(with_other_signature(token), key, algorithms=["RS256"])


def test_a_member_of_the_group_shouts(shoutback, shouter, shoutcloud):
    response = shoutback.shout(shouter["AccessToken"])

    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"data": "!DLROW ,OLLEH"}
    assert "!dlrow ,olleh" in shoutcloud.inputs


def test_both_issuers_of_the_pool_are_accepted(shoutback, pool, shouter, shoutcloud):
    """moto knows the original issuer only, so its key signs the token that the pool would issue after the switch."""
    switched = f"https://issuer-cognito-idp.{REGION}.amazonaws.com/{pool.id}"
    assert shoutback.shout(signed_with_claims(shouter["AccessToken"], iss=pool.issuer)).status_code == 200
    assert shoutback.shout(signed_with_claims(shouter["AccessToken"], iss=switched)).status_code == 200

    for issuer in (switched.replace(REGION, "us-west-2"), switched.removesuffix(pool.id) + "us-east-2_Other"):
        assert_invalid(rejected(shoutback, signed_with_claims(shouter["AccessToken"], iss=issuer), shoutcloud))


def test_a_token_with_aud_needs_a_configured_audience(start_shoutback, shoutback, pool, shouter, shoutcloud):
    ours, theirs = (
        signed_with_claims(shouter["AccessToken"], aud=f"https://{name}.example.com") for name in ("shoutback", "payments")
    )
    assert_invalid(rejected(shoutback, ours, shoutcloud))

    configured = start_shoutback(pool, AUTH_AUDIENCES="https://shoutback.example.com")
    assert configured.shout(ours).status_code == 200
    assert configured.shout(shouter["AccessToken"]).status_code == 200
    assert_invalid(rejected(configured, theirs, shoutcloud))


def test_a_user_outside_the_group_is_forbidden(shoutback, whisperer, shoutcloud):
    response = rejected(shoutback, whisperer["AccessToken"], shoutcloud)

    assert response.status_code == 403, response.text
    assert 'error="insufficient_scope"' in response.headers["www-authenticate"]


def test_a_token_of_another_pool_is_rejected(start_shoutback, pool, other_pool, shouter, shoutcloud):
    """The instance allows the token's client, so only the pool is wrong."""
    elsewhere = start_shoutback(other_pool, COGNITO_CLIENT_IDS=f"{other_pool.client_id},{pool.client_id}")
    assert_invalid(rejected(elsewhere, shouter["AccessToken"], shoutcloud))

    its_own = other_pool.sign_in("shouter", groups=["shouters"])
    assert elsewhere.shout(its_own["AccessToken"]).status_code == 200


def test_a_token_of_another_client_is_rejected(start_shoutback, pool, other_pool, shouter, shoutcloud):
    """The pool is right, and the client unknown."""
    elsewhere = start_shoutback(pool, COGNITO_CLIENT_IDS=other_pool.client_id)
    assert_invalid(rejected(elsewhere, shouter["AccessToken"], shoutcloud))


def test_a_token_with_other_claims_is_rejected(shoutback, whisperer, shoutcloud):
    """A user claims to be a member of the group."""
    assert_invalid(rejected(shoutback, with_other_claims(whisperer["AccessToken"]), shoutcloud))


def test_a_token_with_another_signature_is_rejected(shoutback, shouter, shoutcloud):
    assert_invalid(rejected(shoutback, with_other_signature(shouter["AccessToken"]), shoutcloud))


def test_an_id_token_is_rejected(shoutback, shouter, shoutcloud):
    assert_invalid(rejected(shoutback, shouter["IdToken"], shoutcloud))


def test_no_token_is_rejected(shoutback, shoutcloud):
    response = rejected(shoutback, None, shoutcloud)

    assert response.status_code == 401, response.text
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert "error=" not in response.headers["www-authenticate"]


def rejected(shoutback, token, shoutcloud):
    """Returns the response to a request that must not cause a call to the upstream."""
    calls = len(shoutcloud.inputs)
    # A text that no other test sends, so that the response cannot come from the cache.
    response = shoutback.shout(token, data=f"rejected {calls}")
    assert len(shoutcloud.inputs) == calls
    assert response.headers["content-type"] == "application/problem+json"
    return response


def assert_invalid(response):
    assert response.status_code == 401, response.text
    assert 'error="invalid_token"' in response.headers["www-authenticate"]


def signed_with_claims(token, **claims):
    """The token with other claims, signed by moto's key."""
    key = load_resource("cognitoidp/resources/jwks-private.json")
    changed = jwt.decode(token, options={"verify_signature": False}) | claims
    return jwt.encode(changed, jwt.PyJWK(key).key, algorithm="RS256", headers={"kid": key["kid"]})


def with_other_claims(token):
    """Returns the token with the group `shouters` and a later expiry, under the old signature."""
    header, claims, signature = token.split(".")
    changed = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    changed["cognito:groups"] = ["shouters"]
    changed["exp"] += 3600
    encoded = base64.urlsafe_b64encode(json.dumps(changed).encode()).rstrip(b"=").decode()
    return f"{header}.{encoded}.{signature}"


def with_other_signature(token):
    """Returns the token with a changed character in the middle of its signature: the last one may hold unused bits."""
    header, claims, signature = token.split(".")
    middle = len(signature) // 2
    other = "A" if signature[middle] != "A" else "B"
    return f"{header}.{claims}.{signature[:middle]}{other}{signature[middle + 1:]}"
