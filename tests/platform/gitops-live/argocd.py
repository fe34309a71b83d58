"""The real Argo CD: its API server, application controller, repository server and ApplicationSet controller, as processes beside a control plane."""

import base64
import contextlib
import functools
import http.server
import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import yaml

from harness.process import ENVIRONMENT, Process, responds_ok, wait_until
from harness.toxiproxy import free_port

APPLICATIONS = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications"
# In seconds, instead of a minute: for how long Argo CD keeps what a branch points to, and how often it compares each application without
# a change. The latter costs most of the CPU.
POLL, RESYNC = 3, 30


def crds(*names):
    """Returns the files of custom resource definitions of those names."""
    return [Path(os.environ["CRDS"]) / name for name in names]


class Charts(contextlib.ExitStack):
    """A Helm repository with a stand-in for each add-on's chart: one Deployment of that name, and the definitions that it installs."""

    def __init__(self, directory, applications, definitions):
        super().__init__()
        packages = directory / "packages"
        packages.mkdir()
        self.url, stop = served(packages)
        self.callback(stop)
        for name, application in applications.items():
            if "repository" in application:
                self._package(directory / name, application.get("chart", name), application["version"], packages, definitions.get(name, ()))
        subprocess.run(["helm", "repo", "index", packages, "--url", self.url], env=ENVIRONMENT, check=True, capture_output=True)

    @staticmethod
    def _package(folder, name, version, packages, definitions):
        for part in ("templates", "crds"):
            (folder / part).mkdir(parents=True)
        for file in definitions:
            shutil.copy(file, folder / "crds")
        (folder / "Chart.yaml").write_text(yaml.safe_dump({"apiVersion": "v2", "name": name, "version": version}))
        secure = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "{{ .Release.Name }}", "namespace": "{{ .Release.Namespace }}"},
            "spec": {
                "selector": {"matchLabels": {"app": "{{ .Release.Name }}"}},
                "template": {
                    "metadata": {"labels": {"app": "{{ .Release.Name }}"}},
                    "spec": {"containers": [{"name": "stand-in", "image": "registry.example/stand-in:1", "securityContext": secure}]},
                },
            },
        }
        (folder / "templates/deployment.yaml").write_text(yaml.safe_dump(deployment))
        subprocess.run(["helm", "package", folder, "--destination", packages], env=ENVIRONMENT, check=True, capture_output=True)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def served(directory):
    """Returns a server of the files of a directory on a free port, and the function that stops it."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(directory)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}", server.shutdown


class Operators(contextlib.ExitStack):
    """A fake of the user pool of operators: its discovery document, its key, and tokens of members of a group."""

    def __init__(self, directory):
        super().__init__()
        self.key = directory / "key.pem"
        subprocess.run(["openssl", "genrsa", "-out", self.key, "2048"], check=True, capture_output=True)
        self.issuer, stop = served(directory)
        self.callback(stop)
        modulus = subprocess.run(["openssl", "rsa", "-in", self.key, "-noout", "-modulus"], check=True, capture_output=True, text=True).stdout
        key = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1", "e": "AQAB", "n": base64url(bytes.fromhex(modulus.strip().partition("=")[2]))}
        (directory / "jwks.json").write_text(json.dumps({"keys": [key]}))
        endpoints = {name: f"{self.issuer}/{path}" for name, path in (("jwks_uri", "jwks.json"), ("authorization_endpoint", "authorize"), ("token_endpoint", "token"))}
        (directory / ".well-known").mkdir()
        discovery = endpoints | {"issuer": self.issuer, "response_types_supported": ["code"], "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"]}
        (directory / ".well-known/openid-configuration").write_text(json.dumps(discovery))

    def token(self, client, *groups):
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": client, "sub": "somebody", "iat": now, "exp": now + 3600, "cognito:groups": groups}
        signed = ".".join(base64url(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": "1"}, claims))
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key], input=signed.encode(), check=True, capture_output=True).stdout
        return f"{signed}.{base64url(signature)}"


def base64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class ArgoCD(contextlib.ExitStack):
    def __init__(self, directory, cluster):
        super().__init__()
        self.directory, self.cluster, self.api = directory, cluster, cluster.api
        self.controller = None
        self.tool = Path(os.environ["ARGO_CD"])

    def prepare(self, settings):
        """Creates what Argo CD needs before it starts, where its own manifests are not installed: `settings` is the chart argocd-settings, rendered."""
        labels = {"app.kubernetes.io/part-of": "argocd"}
        things = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}}]
        for name in ("argocd-ssh-known-hosts-cm", "argocd-tls-certs-cm", "argocd-gpg-keys-cm"):
            things.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "argocd", "labels": labels}})
        secret = {"server.secretkey": base64.b64encode(os.urandom(16)).decode()}
        things.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "argocd-secret", "namespace": "argocd", "labels": labels}, "data": secret})
        self.cluster.apply(things)
        self.cluster.apply(settings, "--namespace=argocd", "--force-conflicts")

    def start(self, with_server=True):
        ports = {name: free_port() for name in ("redis", "repo", "repo-metrics", "controller", "sets", "sets-probe", "sets-webhook", "server", "server-metrics")}
        programs = self.directory / "bin"
        programs.mkdir()
        for name in ("git-verify-wrapper.sh", "git-ask-pass.sh"):
            # A module's files are not executable.
            Path(shutil.copy(self.tool / "hack" / name, programs)).chmod(0o755)
        # kubectl contains kustomize.
        (programs / "kustomize").write_text('#!/bin/sh\n[ "$1" = version ] && echo v5.8.1 && exit\nshift\nexec kubectl kustomize "$@"\n')
        (programs / "kustomize").chmod(0o755)
        folders = {f"ARGOCD_{name}": str(self.directory / folder) for name, folder in (("TLS_DATA_PATH", "tls"), ("SSH_DATA_PATH", "ssh"), ("GNUPGHOME", "gpg"))}
        for folder in [*folders.values(), self.directory / "home", self.directory / "temporary"]:
            Path(folder).mkdir()
        self.variables = self.cluster.variables | folders | {
            "HOME": str(self.directory / "home"),
            "PATH": f"{programs}:{ENVIRONMENT['PATH']}",
            "TMPDIR": str(self.directory / "temporary"),
            "ARGOCD_FAKE_IN_CLUSTER": "true",
            "ARGOCD_GPG_ENABLED": "false",
            # For how long the repo server keeps what a branch points to; in its manifests it is timeout.reconciliation of argocd-cm.
            "ARGOCD_RECONCILIATION_TIMEOUT": f"{POLL}s",
            "NAMESPACE": "argocd",
        }
        redis, self.repo = f"127.0.0.1:{ports['redis']}", f"127.0.0.1:{ports['repo']}"
        self._run("redis", ["redis-server", "--bind", "127.0.0.1", "--port", ports["redis"], "--save", "", "--appendonly", "no", "--dir", self.directory])
        self._run_argocd("repo-server", "--address", "127.0.0.1", "--port", ports["repo"], "--metrics-address", "127.0.0.1", "--metrics-port", ports["repo-metrics"], "--redis", redis, "--disable-tls", "--client-ca-path", "")
        if with_server:
            # First, because it creates the key of sessions, which all others read.
            self.server = f"127.0.0.1:{ports['server']}"
            server = self._run_argocd(
                "server",
                *("--namespace", "argocd", "--insecure", "--address", "127.0.0.1", "--port", ports["server"], "--dex-server", "127.0.0.1:1"),
                *("--metrics-address", "127.0.0.1", "--metrics-port", ports["server-metrics"], "--redis", redis, "--repo-server", self.repo, "--repo-server-plaintext"),
            )
            server.until("it is ready", lambda: responds_ok(f"http://{self.server}/healthz"), within=120)
        self.controller_arguments = [
            *("--namespace", "argocd", "--metrics-port", ports["controller"], "--redis", redis, "--repo-server", self.repo, "--repo-server-plaintext"),
            *("--app-resync", RESYNC, "--app-resync-jitter", 0, "--self-heal-timeout-seconds", 1),
        ]
        parameters = self.api.get("/api/v1/namespaces/argocd/configmaps/argocd-cmd-params-cm")["data"]
        self.start_controller(parameters["controller.sync.timeout.seconds"])
        self._run_argocd(
            "applicationset-controller",
            *("--namespace", "argocd", "--metrics-addr", f"127.0.0.1:{ports['sets']}", "--probe-addr", f"127.0.0.1:{ports['sets-probe']}"),
            *("--webhook-addr", f"127.0.0.1:{ports['sets-webhook']}", "--argocd-repo-server", self.repo, "--repo-server-plaintext"),
        )
        return self

    def start_controller(self, timeout):
        """Starts the application controller, again if it runs, with that time limit of a sync in seconds."""
        if self.controller:
            self.controller.stop()
        self.controller = self._run_argocd("application-controller", *self.controller_arguments, "--sync-timeout", timeout)

    def notify(self):
        """Starts the notifications controller, which reports to GitHub."""
        options = ["--namespace", "argocd", "--metrics-port", free_port(), "--argocd-repo-server", self.repo, "--argocd-repo-server-plaintext"]
        return self._run_argocd("notifications", "controller", *options)

    def command(self, token, *arguments):
        """Runs the command line tool with a person's token. Returns the completed process."""
        command = [self.tool / "bin/argocd", *arguments, f"--server={self.server}", "--plaintext", f"--auth-token={token}"]
        return subprocess.run(command, env=ENVIRONMENT | {"HOME": str(self.directory / "home")}, capture_output=True, text=True)

    def _run(self, name, command, **variables):
        return self.enter_context(Process(command, self.directory / f"{name}.log", getattr(self, "variables", {}) | variables))

    def _run_argocd(self, name, *arguments):
        variables = {"ARGOCD_BINARY_NAME": f"argocd-{name}", "HOSTNAME": "argocd-application-controller-0"}
        return self._run(name, [self.tool / "bin/argocd", *arguments], **variables)

    def application(self, name):
        response = self.api.call("GET", f"{APPLICATIONS}/{name}")
        return response.json if response.status == 200 else None

    def applications(self):
        return {item["metadata"]["name"]: item for item in self.api.get(APPLICATIONS)["items"]}

    def until(self, what, condition, within=300):
        """Waits until `condition()` is true; the applications' states are in the error."""
        try:
            return wait_until(what, condition, within)
        except AssertionError as error:
            states = [f"{name}: {described(one)}" for name, one in sorted(self.applications().items())]
            raise AssertionError("\n".join([str(error), *states])) from None

    def until_deployed(self, name, commit, health="Healthy", within=300):
        """Waits until an application is synced to a commit of the source branch and has that health."""

        def deployed():
            found = self.application(name)
            status = (found or {}).get("status", {})
            sync = status.get("sync", {})
            synced = sync.get("status") == "Synced" and commit in sync.get("revisions", [])
            return found if synced and status.get("health", {}).get("status") == health and operation(found).get("phase") == "Succeeded" else None

        return self.until(f"{name} is synced to {commit[:12]} and {health}", deployed, within)


def operation(application):
    return application.get("status", {}).get("operationState", {})


def described(application):
    status = application.get("status", {})
    parts = [status.get("sync", {}).get("status"), status.get("health", {}).get("status"), operation(application).get("phase"), operation(application).get("message")]
    parts += [condition["message"][:300] for condition in status.get("conditions", [])]
    return ", ".join(str(part) for part in parts if part)
