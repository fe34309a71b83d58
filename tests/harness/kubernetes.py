"""Runs a real Kubernetes control plane, with a client of its API.

The binaries are on the PATH that `scripts/tools path etcd kubernetes helm kwok` prints. `kubectl` and `Api` act as `admin`, unless a test
names a subject to impersonate.
"""

import contextlib
import http.client
import json
import secrets
import shutil
import ssl
import subprocess
import threading
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from .process import ENVIRONMENT, Process
from .toxiproxy import free_port

@dataclass(frozen=True)
class Subject:
    """A user to impersonate. Every authenticated user is in `system:authenticated`, too."""

    name: str
    groups: tuple = ()

    @property
    def headers(self):
        return [("impersonate-user", self.name), *(("impersonate-group", group) for group in self.groups)]

    @property
    def flags(self):
        return [f"--as={self.name}", *(f"--as-group={group}" for group in self.groups)]


def service_account(namespace, name):
    return Subject(f"system:serviceaccount:{namespace}:{name}")


@dataclass(frozen=True)
class Response:
    status: int
    text: str

    @property
    def json(self):
        return json.loads(self.text)


class Api:
    """A client of the API server, with one connection per thread."""

    def __init__(self, port, token, authority):
        self.port, self.token, self.local = port, token, threading.local()
        self.context = ssl.create_default_context(cafile=authority)

    def call(self, method, path, body=None, subject=None, token=None, headers=(), content_type="application/json"):
        """Sends a request. Returns the response, whatever its status."""
        sent = [("authorization", f"Bearer {token or self.token}"), ("accept", "application/json")]
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            sent += [("content-type", content_type), ("content-length", str(len(data)))]
        sent += subject.headers if subject else []
        connection = self._connection()
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in [*sent, *headers]:
                connection.putheader(name, value)
            connection.endheaders(data)
            response = connection.getresponse()
            text = response.read().decode()
        except BaseException:
            # The rest of this response must not be read as the next one.
            connection.close()
            raise
        if response.status == 101:
            connection.close()
        return Response(response.status, text)

    def get(self, path, **parameters):
        """Returns the object or list at `path`; fails if it does not exist."""
        response = self.call("GET", f"{path}?{urllib.parse.urlencode(parameters)}" if parameters else path)
        assert response.status == 200, f"{path}: {response.status} {response.text}"
        return response.json

    def is_allowed(self, subject, verb, resource, namespace="", name="", group=""):
        """Returns whether `subject` is authorized. `resource` is RESOURCE, RESOURCE/SUBRESOURCE, or a path like /metrics."""
        if resource.startswith("/"):
            attributes = {"nonResourceAttributes": {"verb": verb, "path": resource}}
        else:
            resource, _, subresource = resource.partition("/")
            attributes = {
                "resourceAttributes": {
                    "verb": verb,
                    "group": group,
                    "resource": resource,
                    "subresource": subresource,
                    "namespace": namespace,
                    "name": name,
                }
            }
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": attributes}
        response = self.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review, subject)
        assert response.status == 201, response.text
        assert "evaluationError" not in response.json["status"], response.text
        return response.json["status"]["allowed"]

    def history(self, path, since, **parameters):
        """Returns the watch events of a list since the `resourceVersion` `since`, as pairs of type and object."""
        parameters = {"watch": "1", "resourceVersion": since, "timeoutSeconds": "1"} | parameters
        response = self.call("GET", f"{path}?{urllib.parse.urlencode(parameters)}")
        assert response.status == 200, response.text
        events = [json.loads(line) for line in response.text.splitlines()]
        assert all(event["type"] in ("ADDED", "MODIFIED", "DELETED") for event in events), events[-1]
        return [(event["type"], event["object"]) for event in events]

    def _connection(self):
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=self.context)
        # The server closes idle connections after 90 s.
        elif time.monotonic() - self.local.used > 60:
            self.local.connection.close()
        self.local.used = time.monotonic()
        return self.local.connection


class Etcd(Process):
    """An empty etcd without durability. The API server waits until it is ready."""

    def __init__(self, directory):
        clients, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self.url = clients
        command = [
            "etcd",
            f"--data-dir={directory}/etcd",
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]
        super().__init__(command, directory / "etcd.log")


@dataclass(frozen=True)
class Node:
    """A node that kwok simulates."""

    zone: str
    cpu: str = "4"
    memory: str = "8Gi"

    def named(self, name):
        resources = {"cpu": self.cpu, "memory": self.memory, "pods": "50", "ephemeral-storage": "50Gi"}
        labels = {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "topology.kubernetes.io/zone": self.zone,
        }
        status = {"allocatable": resources, "capacity": resources}
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "status": status}


class ControlPlane(contextlib.ExitStack):
    """An API server with its own etcd; the constructor returns when it is ready. Its files are in `directory`.

    RBAC, Pod Security, quotas and service accounts are enforced. With `nodes`, a map from name to `Node`, pods are scheduled and become
    Running. They are spread only if they have topology spread constraints.
    """

    def __init__(self, directory, crds=(), nodes=None):
        """`crds` are files of custom resource definitions to install, or folders of them."""
        super().__init__()
        self.directory = Path(directory)
        self.directory.mkdir(exist_ok=True)
        self.port, self.token = free_port(), secrets.token_hex(16)
        self.certificate = self.directory / "certificates/apiserver.crt"
        self.kubeconfig = self.directory / "kubeconfig"
        with contextlib.ExitStack() as starting:
            starting.push(self)
            self._start(crds, nodes)
            starting.pop_all()

    def _start(self, crds, nodes):
        etcd = self.enter_context(Etcd(self.directory))
        self.apiserver = self.enter_context(Process(self._apiserver(etcd.url), self.directory / "apiserver.log"))
        self.apiserver.until("it has a certificate", self._has_certificate)
        self.api = Api(self.port, self.token, self.certificate)
        self.kubeconfig.write_text(json.dumps(self._kubeconfig(), indent=1))
        self.apiserver.until("it is ready", self._is_ready, within=120)
        self.controllers = self.enter_context(Process(self._controllers(), self.directory / "controllers.log"))
        if crds:
            self.install(crds)
        if nodes:
            self.scheduler = self.enter_context(Process(self._scheduler(), self.directory / "scheduler.log"))
            self.kwok = self.enter_context(Process(self._kwok(), self.directory / "kwok.log"))
            for name, node in nodes.items():
                response = self.api.call("POST", "/api/v1/nodes", node.named(name))
                assert response.status == 201, response.text
            self.kwok.until("the nodes are ready", lambda: self.ready_nodes() == set(nodes), within=120)
        # Pods are rejected in a namespace that has no default service account yet; the first is created after everything else runs.
        path = "/api/v1/namespaces/default/serviceaccounts/default"
        self.controllers.until("they work", lambda: self.api.call("GET", path).status == 200, within=120)

    def _apiserver(self, etcd):
        key = self.directory / "service-accounts.key"
        subprocess.run(["openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", key], check=True)
        tokens = self.directory / "tokens.csv"
        tokens.write_text(f'{self.token},admin,admin,"system:masters"\n')
        return [
            "kube-apiserver",
            f"--etcd-servers={etcd}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--secure-port={self.port}",
            f"--cert-dir={self.certificate.parent}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            # Pod Security must reject them, as in a real cluster.
            "--allow-privileged=true",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-cluster-ip-range=10.96.0.0/16",
            # Avoids delays on a busy machine.
            "--enable-priority-and-fairness=false",
            "--profiling=false",
        ]

    def _controllers(self):
        return [
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig}",
            "--secure-port=0",
            "--leader-elect=false",
            f"--service-account-private-key-file={self.directory}/service-accounts.key",
            f"--root-ca-file={self.certificate}",
            "--horizontal-pod-autoscaler-sync-period=1s",
        ]

    def _scheduler(self):
        # The default spreads pods without constraints, too.
        spread = {"kind": "PodTopologySpreadArgs", "defaultingType": "List", "defaultConstraints": []}
        spread["apiVersion"] = version = "kubescheduler.config.k8s.io/v1"
        configuration = {
            "apiVersion": version,
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": {"kubeconfig": str(self.kubeconfig)},
            "leaderElection": {"leaderElect": False},
            "profiles": [{"pluginConfig": [{"name": "PodTopologySpread", "args": spread}]}],
        }
        path = self.directory / "scheduler.yaml"
        # YAML is a superset of JSON.
        path.write_text(json.dumps(configuration, indent=1))
        return ["kube-scheduler", f"--config={path}", "--secure-port=0"]

    def _kwok(self):
        stages = sorted((Path(shutil.which("kwok")).parents[1] / "stages").glob("*.yaml"))
        assert stages, "kwok has stages, which simulate nodes and pods"
        command = ["kwok", f"--kubeconfig={self.kubeconfig}", "--manage-all-nodes", "--node-lease-duration-seconds=40"]
        return command + [f"--config={stage}" for stage in stages]

    def _kubeconfig(self):
        cluster = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority": str(self.certificate)}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": self.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        }

    def _has_certificate(self):
        # The key is written after it.
        return self.certificate.with_suffix(".key").exists()

    def _is_ready(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.api.call("GET", "/readyz").status == 200
        return False

    @property
    def variables(self):
        """Returns the environment with which a command finds the API server and a cache directory."""
        return {"KUBECONFIG": str(self.kubeconfig), "HOME": str(self.directory)}

    def run(self, *command, stdin=None, check=True):
        """Runs a command. Returns the completed process with its output."""
        command = [str(part) for part in command]
        result = subprocess.run(command, env=ENVIRONMENT | self.variables, input=stdin, capture_output=True, text=True)
        if check:
            assert result.returncode == 0, f"{' '.join(command)}: {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result

    def kubectl(self, *arguments, subject=None, stdin=None, check=True):
        return self.run("kubectl", *arguments, *(subject.flags if subject else []), stdin=stdin, check=check)

    def apply(self, objects, *flags, subject=None, check=True):
        """Applies objects on the server side, with strict validation: a misspelt field is an error."""
        command = ["apply", "--server-side", "--validate=strict", *flags, "--filename=-"]
        return self.kubectl(*command, subject=subject, stdin=documents(objects), check=check)

    def install(self, paths):
        """Installs custom resource definitions and waits until they are served."""
        self.kubectl("apply", "--server-side", *(f"--filename={path}" for path in paths))

        def served():
            # The list is long, and a busy server may not send it within its own timeout.
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                definitions = self.api.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")["items"]
                return all("Established" in conditions(definition) for definition in definitions)

        self.apiserver.until("the definitions are established", served, within=300)

    def ready_nodes(self):
        return {item["metadata"]["name"] for item in self.api.get("/api/v1/nodes")["items"] if "Ready" in conditions(item)}

    def token_of(self, namespace, name):
        """Returns a token of an existing service account."""
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        response = self.api.call("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", request)
        assert response.status == 201, response.text
        return response.json["status"]["token"]


def documents(objects):
    """Returns the objects as a YAML stream. kubectl does not have the server validate the fields of a List."""
    return "\n---\n".join(json.dumps(thing) for thing in objects)


def conditions(thing):
    """Returns the names of the conditions that are true."""
    listed = thing.get("status", {}).get("conditions") or []
    return {condition["type"] for condition in listed if condition["status"] == "True"}
