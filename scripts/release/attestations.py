"""Signatures and attestations of an image, by cosign, stored in the registry beside it.

In a workflow they need no key: the run's OIDC token gets a certificate from Sigstore that names the workflow, its branch and its commit.
SIGNING_KEY and VERIFICATION_KEY are files with a pair of keys for a machine on which there is no such token; the workflows never set them.
"""

import base64
import json
import os
import subprocess
import tempfile
from pathlib import Path

from common import Failure, log

PROVENANCE = "slsaprovenance1"
SBOM = "spdxjson"
# https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md
TESTED = "https://in-toto.io/attestation/test-result/v0.1"

WORKFLOW = ".github/workflows/main.yml"
REF = "refs/heads/main"
ISSUER = "https://token.actions.githubusercontent.com"


def repository_url():
    return f"{os.environ.get('GITHUB_SERVER_URL') or 'https://github.com'}/{os.environ['GITHUB_REPOSITORY']}"


def run_url():
    return f"{repository_url()}/actions/runs/{os.environ.get('GITHUB_RUN_ID')}/attempts/{os.environ.get('GITHUB_RUN_ATTEMPT')}"


def builder():
    return f"{repository_url()}/{WORKFLOW}@{REF}"


def cosign(*arguments):
    """Returns the output of cosign."""
    try:
        done = subprocess.run(["cosign", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except FileNotFoundError:
        raise Failure("cosign is not on PATH") from None
    if done.returncode != 0:
        raise Failure(f"cosign {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def signer():
    key = os.environ.get("SIGNING_KEY")
    return ["--yes", *(["--key", key, "--use-signing-config=false", "--tlog-upload=false"] if key else [])]


def sign(image):
    cosign("sign", *signer(), image)
    log(f"signed {image}")


def attest(image, kind, predicate):
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "predicate.json")
        file.write_text(json.dumps(predicate))
        cosign("attest", *signer(), "--type", kind, "--predicate", str(file), image)
    log(f"attested {kind} of {image}")


def identity(commit):
    """Returns the options by which cosign accepts only what main.yml made on main, in a run for that commit."""
    if key := os.environ.get("VERIFICATION_KEY"):
        return ["--key", key, "--insecure-ignore-tlog=true"]
    # An exact identity, not a pattern.
    return [
        f"--certificate-identity={builder()}",
        f"--certificate-oidc-issuer={ISSUER}",
        f"--certificate-github-workflow-repository={os.environ['GITHUB_REPOSITORY']}",
        f"--certificate-github-workflow-ref={REF}",
        f"--certificate-github-workflow-sha={commit}",
    ]


def verify_signature(image, commit):
    cosign("verify", *identity(commit), image)


def predicates(image, commit, kind):
    """Returns the predicates of that type whose signatures are valid and whose subject is the image."""
    digest = image.partition("@sha256:")[2]
    found = []
    for line in cosign("verify-attestation", *identity(commit), "--type", kind, image).splitlines():
        statement = json.loads(base64.b64decode(json.loads(line)["payload"]))
        if any(subject["digest"].get("sha256") == digest for subject in statement["subject"]):
            found.append(statement["predicate"])
    return found


def provenance(commit):
    """Returns what actions/attest-build-provenance would state."""
    return {
        "buildDefinition": {
            "buildType": "https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters": {"workflow": {"ref": REF, "repository": repository_url(), "path": WORKFLOW}},
            "internalParameters": {"github": {"event_name": os.environ.get("GITHUB_EVENT_NAME"), "runner_environment": os.environ.get("RUNNER_ENVIRONMENT")}},
            "resolvedDependencies": [{"uri": f"git+{repository_url()}@{REF}", "digest": {"gitCommit": commit}}],
        },
        "runDetails": {"builder": {"id": builder()}, "metadata": {"invocationId": run_url()}},
    }


def is_built_of(predicate, commit):
    """Returns whether a provenance states that main.yml of this repository built the commit on main."""
    stated = predicate.get("buildDefinition", {})
    expected = provenance(commit)
    return (
        predicate.get("runDetails", {}).get("builder", {}).get("id") == builder()
        and stated.get("externalParameters") == expected["buildDefinition"]["externalParameters"]
        and expected["buildDefinition"]["resolvedDependencies"][0] in stated.get("resolvedDependencies", [])
    )


def crates(sbom):
    """Returns how many crates an SBOM in SPDX lists."""
    references = (reference for package in sbom.get("packages", []) for reference in package.get("externalRefs", []))
    return len({reference["referenceLocator"] for reference in references if reference.get("referenceLocator", "").startswith("pkg:cargo/")})


def tested(environment, commit, deployment):
    sources = [(f"git+{repository_url()}@{REF}", commit), (f"git+{repository_url()}@refs/heads/deploy/{environment}", deployment)]
    return {
        "result": "PASSED",
        "configuration": [{"uri": uri, "digest": {"gitCommit": digest}} for uri, digest in sources],
        "url": run_url(),
    }


def was_tested(predicate, environment, commit):
    """Returns whether a test result states that the environment's tests passed with the commit."""
    by_uri = {stated.get("uri"): stated.get("digest", {}).get("gitCommit") for stated in predicate.get("configuration", [])}
    return (
        predicate.get("result") == "PASSED"
        and by_uri.get(f"git+{repository_url()}@{REF}") == commit
        and f"git+{repository_url()}@refs/heads/deploy/{environment}" in by_uri
    )


def verify(image, commit, require_tested=False):
    """Fails unless main.yml signed the image, built it of the commit, listed its crates, and, if required, tested it in staging."""
    verify_signature(image, commit)
    if not any(is_built_of(predicate, commit) for predicate in predicates(image, commit, PROVENANCE)):
        raise Failure(f"{image} has a provenance, but it was not built by {builder()} of {commit}")
    if not any(crates(sbom) for sbom in predicates(image, commit, SBOM)):
        raise Failure(f"no SBOM of {image} lists a crate, so nothing could find a vulnerable one")
    if require_tested and not any(was_tested(predicate, "staging", commit) for predicate in predicates(image, commit, TESTED)):
        raise Failure(f"nothing records that {image} was tested in staging as {commit}")
    log(f"{image}: built by {builder()} of {commit}{', and tested in staging' if require_tested else ''}")
