"""A client of a registry's HTTP API, which resolves and adds tags, and reads and writes manifests.

docker, podman and buildah have no common command for that, and none distinguishes a missing tag from an unavailable registry.
The credentials are those that `docker login` or `podman login` stored; they are sent as HTTP Basic, which ECR accepts.
"""

import hashlib
import json
import os
import re
import urllib.error
import urllib.request
from pathlib import Path

from common import Failure

INDEX = "application/vnd.oci.image.index.v1+json"

# The index comes first: multi-platform images have one.
MANIFESTS = (
    INDEX,
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)

LOOPBACK = re.compile(r"(?:localhost|127\.[\d.]+)(?::\d+)?")


class Repository:
    def __init__(self, name):
        self.host, _, path = name.partition("/")
        # As docker and podman do by default or by configuration.
        scheme = "http" if LOOPBACK.fullmatch(self.host) else "https"
        self.url = f"{scheme}://{self.host}/v2/{path}"

    def manifest(self, reference):
        """Returns the bytes and the media type of the manifest of a tag or a digest; None if it does not exist."""
        response = self._request("GET", f"manifests/{reference}", {"accept": ", ".join(MANIFESTS)})
        if response is None:
            return None
        body, headers = response
        declared = headers.get("docker-content-digest")
        if declared and declared != digest_of(body):
            raise Failure(f"{self.host} declares {reference} as {declared}, and sends {digest_of(body)}")
        return body, headers.get_content_type()

    def digest(self, tag):
        """Returns the digest of a tag; None if the tag does not exist."""
        found = self.manifest(tag)
        return found and digest_of(found[0])

    def blob(self, digest):
        response = self._request("GET", f"blobs/{digest}", {})
        if response is None or digest_of(response[0]) != digest:
            raise Failure(f"{self.host} has not the content of {digest}")
        return response[0]

    def tag(self, tag, manifest):
        """Adds a tag to the manifest."""
        body, kind = manifest
        self._request("PUT", f"manifests/{tag}", {"content-type": kind}, body)

    def _request(self, method, path, headers, body=None):
        request = urllib.request.Request(f"{self.url}/{path}", body, headers, method=method)
        if login := credentials(self.host):
            # Not sent to the target of a redirect.
            request.add_unredirected_header("authorization", f"Basic {login}")
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.read(), response.headers
        except urllib.error.HTTPError as error:
            if error.code == 404 and method == "GET":
                return None
            hint = f"; log in to {self.host} first" if error.code in (401, 403) else ""
            details = error.read(500).decode(errors="replace").strip()
            raise Failure(f"{method} {request.full_url} failed with {error.code}{hint}: {details}") from None
        except OSError as error:
            raise Failure(f"{method} {request.full_url}: {error}") from None


def digest_of(body):
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def credentials(host):
    """Returns the stored credentials in base64; None if there are none."""
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
