"""Images in a registry, by its HTTP API: what a tag stands for, and one more tag for it.

docker, podman and buildah each have commands for that, none of which is in all of them or tells "not there" from "no answer".
Credentials are those that `docker login` or `podman login` has left in a file; they are sent as they are (HTTP Basic), which is
what ECR takes.
"""

import hashlib
import json
import os
import re
import urllib.error
import urllib.request
from pathlib import Path

from common import Failure

# An index comes first: what is published for several platforms is one.
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)

NAME = re.compile(r"[a-z0-9.-]+(?::\d+)?(?:/[a-z0-9._-]+)+")

LOOPBACK = re.compile(r"(?:localhost|127\.[\d.]+)(?::\d+)?")


class Repository:
    def __init__(self, name):
        self.host, _, path = name.partition("/")
        # As docker and podman do, or are told to.
        scheme = "http" if LOOPBACK.fullmatch(self.host) else "https"
        self.url = f"{scheme}://{self.host}/v2/{path}/manifests"

    def manifest(self, reference):
        """The manifest's bytes and media type, of a tag or a digest; None if there is none."""
        answer = self._ask("GET", reference, {"accept": ", ".join(MANIFESTS)})
        if answer is None:
            return None
        body, headers = answer
        told = headers.get("docker-content-digest")
        if told and told != digest_of(body):
            raise Failure(f"{self.host} says that {reference} is {told}, and sends {digest_of(body)}")
        return body, headers.get_content_type()

    def digest(self, tag):
        """The digest that the tag stands for; None if it stands for none."""
        found = self.manifest(tag)
        return found and digest_of(found[0])

    def tag(self, tag, manifest):
        """Gives the manifest another tag."""
        body, kind = manifest
        self._ask("PUT", tag, {"content-type": kind}, body)

    def _ask(self, method, reference, headers, body=None):
        request = urllib.request.Request(f"{self.url}/{reference}", body, headers, method=method)
        if login := credentials(self.host):
            # Not to where a redirect leads.
            request.add_unredirected_header("authorization", f"Basic {login}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            if error.code == 404 and method == "GET":
                return None
            hint = f"; log in to {self.host} first" if error.code in (401, 403) else ""
            said = error.read(500).decode(errors="replace").strip()
            raise Failure(f"{method} {request.full_url} is answered with {error.code}{hint}: {said}") from None
        except OSError as error:
            raise Failure(f"{method} {request.full_url}: {error}") from None


def digest_of(body):
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def credentials(host):
    """What was left by logging in, already in base64; None if nothing was."""
    variables = os.environ.get
    files = [
        variables("REGISTRY_AUTH_FILE"),
        variables("DOCKER_CONFIG") and f"{variables('DOCKER_CONFIG')}/config.json",
        variables("XDG_RUNTIME_DIR") and f"{variables('XDG_RUNTIME_DIR')}/containers/auth.json",
        f"{variables('HOME', '')}/.docker/config.json",
    ]
    for file in filter(None, files):
        if Path(file).is_file():
            found = json.loads(Path(file).read_text()).get("auths", {}).get(host, {}).get("auth")
            if found:
                return found
    return None
