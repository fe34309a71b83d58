"""Access tokens that another implementation of Cognito has issued, at the door of the real binary.

moto signs for every pool with one and the same key, `kid` "dummy". So where a token of one pool is refused by an instance
that serves another, nothing but its issuer can have been the reason.
"""

import base64
import json

import httpx
import jwt
import pytest


def test_moto_issues_tokens_as_cognito_does(moto, pool, shouter):
    """What the other tests take for granted, seen by a verifier that is not ours."""
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
    answer = shoutback.shout(shouter["AccessToken"])

    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"data": "!DLROW ,OLLEH"}
    assert "!dlrow ,olleh" in shoutcloud.inputs


def test_a_user_outside_the_group_is_forbidden(shoutback, whisperer, shoutcloud):
    answer = refused(shoutback, whisperer["AccessToken"], shoutcloud)

    assert answer.status_code == 403, answer.text
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


def test_a_token_of_another_pool_is_refused(start_shoutback, pool, other_pool, shouter, shoutcloud):
    """The token's client is allowed there: its pool is all that is wrong."""
    elsewhere = start_shoutback(other_pool, COGNITO_CLIENT_IDS=f"{other_pool.client_id},{pool.client_id}")
    assert_invalid(refused(elsewhere, shouter["AccessToken"], shoutcloud))

    its_own = other_pool.sign_in("shouter", groups=["shouters"])
    assert elsewhere.shout(its_own["AccessToken"]).status_code == 200


def test_a_token_of_another_client_is_refused(start_shoutback, pool, other_pool, shouter, shoutcloud):
    """Its pool is right, its client unknown."""
    elsewhere = start_shoutback(pool, COGNITO_CLIENT_IDS=other_pool.client_id)
    assert_invalid(refused(elsewhere, shouter["AccessToken"], shoutcloud))


def test_a_token_with_other_claims_is_refused(shoutback, whisperer, shoutcloud):
    """A user makes himself a member of the group."""
    assert_invalid(refused(shoutback, with_other_claims(whisperer["AccessToken"]), shoutcloud))


def test_a_token_with_another_signature_is_refused(shoutback, shouter, shoutcloud):
    assert_invalid(refused(shoutback, with_other_signature(shouter["AccessToken"]), shoutcloud))


def test_an_id_token_is_refused(shoutback, shouter, shoutcloud):
    assert_invalid(refused(shoutback, shouter["IdToken"], shoutcloud))


def test_no_token_is_refused(shoutback, shoutcloud):
    answer = refused(shoutback, None, shoutcloud)

    assert answer.status_code == 401, answer.text
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "error=" not in answer.headers["www-authenticate"]


def refused(shoutback, token, shoutcloud):
    """The answer to a request that must not have cost a call upstream."""
    calls = len(shoutcloud.inputs)
    # A text that no other test sends, so that no cache can have answered.
    answer = shoutback.shout(token, data=f"refused {calls}")
    assert len(shoutcloud.inputs) == calls
    assert answer.headers["content-type"] == "application/problem+json"
    return answer


def assert_invalid(answer):
    assert answer.status_code == 401, answer.text
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def with_other_claims(token):
    """The same token, now of the group `shouters` and valid for longer, under the old signature."""
    header, claims, signature = token.split(".")
    changed = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    changed["cognito:groups"] = ["shouters"]
    changed["exp"] += 3600
    encoded = base64.urlsafe_b64encode(json.dumps(changed).encode()).rstrip(b"=").decode()
    return f"{header}.{encoded}.{signature}"


def with_other_signature(token):
    """The same token with one character of its signature changed, in the middle: the last one may carry unused bits."""
    header, claims, signature = token.split(".")
    middle = len(signature) // 2
    other = "A" if signature[middle] != "A" else "B"
    return f"{header}.{claims}.{signature[:middle]}{other}{signature[middle + 1:]}"
