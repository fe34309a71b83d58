"""The arguments of cosign. It is not run, because only GitHub's workflows get a certificate."""

import pytest

REFERENCE = f"111122223333.dkr.ecr.eu-central-1.amazonaws.com/shoutback@sha256:{'a' * 64}"

VERIFY = (
    "verify --new-bundle-format"
    " --certificate-identity https://github.com/example/shoutback/.github/workflows/main.yml@refs/heads/main"
    f" --certificate-oidc-issuer https://token.actions.githubusercontent.com {REFERENCE}"
)
SIGN = f"sign --yes --new-bundle-format {REFERENCE}"


@pytest.fixture
def run(source):
    return source.run(source.merge("Change something"), {"GITHUB_REPOSITORY": "example/shoutback"})


@pytest.fixture
def cosign(recorder, tmp_path):
    """A fake cosign, which accepts the image once it has signed it."""
    return recorder("cosign", f"if [[ $1 == sign ]]; then touch {tmp_path}/signed; else [[ -e {tmp_path}/signed ]]; fi")


def test_it_is_signed_once(run, cosign):
    run.prints("sign", REFERENCE, **cosign.variables)
    assert cosign.calls() == [VERIFY, SIGN]
    run.prints("sign", REFERENCE, **cosign.variables)
    assert cosign.calls() == [VERIFY, SIGN, VERIFY]


def test_an_unsigned_image_is_rejected(run, cosign):
    run.error("verify", REFERENCE, **cosign.variables)
    run.prints("sign", REFERENCE, **cosign.variables)
    run.prints("verify", REFERENCE, **cosign.variables)


def test_without_cosign_verification_fails(run):
    for program in ("sign", "verify"):
        assert run(program, REFERENCE).returncode not in (0, 2)


@pytest.mark.parametrize("program", ["sign", "verify"])
@pytest.mark.parametrize("name", ["shoutback:latest", REFERENCE[:-1], REFERENCE.replace("@", ":")])
def test_a_tag_is_wrong_usage(run, cosign, program, name):
    run.error(program, name, code=2, **cosign.variables)
    assert cosign.calls() == []


def test_the_repository_is_required(run, cosign):
    run.error("verify", REFERENCE, code=2, GITHUB_REPOSITORY="", **cosign.variables)
    assert cosign.calls() == []
