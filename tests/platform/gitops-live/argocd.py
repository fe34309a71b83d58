"""The real Argo CD: its application controller, repository server and ApplicationSet controller, as processes beside a control plane."""

import base64
import contextlib
import functools
import http.server
import os
import shutil
import subprocess
import threading
from pathlib import Path

import yaml

from harness.process import ENVIRONMENT, Process, wait_until
from harness.toxiproxy import free_port

APPLICATIONS = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications"
# Instead of minutes: how often Argo CD looks at git, and the timeout of a sync.
POLL, SYNC_TIMEOUT = 3, 60


def crds(*names):
    """Returns the files of custom resource definitions of those names."""
    return [Path(os.environ["CRDS"]) / name for name in names]


class Charts(contextlib.ExitStack):
    """A Helm repository with a stand-in for each add-on's chart: one Deployment of that name."""

    def __init__(self, directory, applications):
        super().__init__()
        served = directory / "served"
        served.mkdir()
        handler = functools.partial(QuietHandler, directory=str(served))
        server = self.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.callback(server.shutdown)
        self.url = f"http://127.0.0.1:{server.server_port}"
        for name, application in applications.items():
            if "repository" in application:
                self._package(directory / name, application.get("chart", name), application["version"], served)
        subprocess.run(["helm", "repo", "index", served, "--url", self.url], env=ENVIRONMENT, check=True, capture_output=True)

    @staticmethod
    def _package(folder, name, version, served):
        (folder / "templates").mkdir(parents=True)
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
        subprocess.run(["helm", "package", folder, "--destination", served], env=ENVIRONMENT, check=True, capture_output=True)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class ArgoCD(contextlib.ExitStack):
    def __init__(self, directory, cluster):
        super().__init__()
        self.directory, self.cluster, self.api = directory, cluster, cluster.api
        self.tool = Path(os.environ["ARGO_CD"])

    def prepare(self, settings):
        """Creates what an installation has before it starts, as docs/deploy.md does: `settings` is the chart argocd-settings, rendered."""
        labels = {"app.kubernetes.io/part-of": "argocd"}
        things = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}}]
        for name in ("argocd-ssh-known-hosts-cm", "argocd-tls-certs-cm", "argocd-gpg-keys-cm"):
            things.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "argocd", "labels": labels}})
        secret = {"server.secretkey": base64.b64encode(os.urandom(16)).decode()}
        things.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "argocd-secret", "namespace": "argocd", "labels": labels}, "data": secret})
        self.cluster.apply(things)
        self.cluster.apply(settings, "--namespace=argocd", "--force-conflicts")

    def start(self):
        ports = {name: free_port() for name in ("redis", "repo", "repo-metrics", "controller", "sets", "sets-probe", "sets-webhook")}
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
        self.controller_arguments = [
            *("--namespace", "argocd", "--metrics-port", ports["controller"], "--redis", redis, "--repo-server", self.repo, "--repo-server-plaintext"),
            *("--app-resync", POLL, "--app-resync-jitter", 0, "--self-heal-timeout-seconds", 1, "--sync-timeout", SYNC_TIMEOUT),
        ]
        self._run_argocd("application-controller", *self.controller_arguments)
        self._run_argocd(
            "applicationset-controller",
            *("--namespace", "argocd", "--metrics-addr", f"127.0.0.1:{ports['sets']}", "--probe-addr", f"127.0.0.1:{ports['sets-probe']}"),
            *("--webhook-addr", f"127.0.0.1:{ports['sets-webhook']}", "--argocd-repo-server", self.repo, "--repo-server-plaintext"),
        )
        return self

    def notify(self):
        """Starts the notifications controller, which reports to GitHub."""
        options = ["--namespace", "argocd", "--metrics-port", free_port(), "--argocd-repo-server", self.repo, "--argocd-repo-server-plaintext"]
        return self._run_argocd("notifications", "controller", *options)

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
