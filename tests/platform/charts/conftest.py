"""Renderings of the platform in this checkout, with test values for its placeholders, and the questions about their roles and pods."""

import functools
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from harness.kubernetes import ControlPlane
from harness.placeholders import restore

TOP = Path(__file__).resolve().parents[3]
sys.path.append(str(TOP / "tests/platform/gitops"))
sys.path.append(str(TOP / "tests/platform/pipeline"))
import argocd  # noqa: E402

ENVIRONMENTS = ("staging", "production")
# Of a binding without a namespace.
cluster_wide = None


@functools.cache
def rendered(environment, again=0):
    """Returns the objects of each application of the platform by its name; those of the platform itself as `platform`."""
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        for name in ("gitops", "observability"):
            shutil.copytree(TOP / name, top / name, symlinks=True)
        restore(top)
        argocd.fill(top)
        installation = Checkout(top, environment)
        found = {"platform": installation.helm("", "gitops/platform", "platform", "argocd", [f"gitops/platform/{environment}/values.yaml"], [{"name": "commit", "value": "0" * 40}])}
        for thing in found["platform"]:
            if thing["kind"] == "Application":
                application = argocd.Application(thing)
                installation.render(application)
                assert application.rendered, application.name
                for one in application.objects:
                    one["metadata"].setdefault("namespace", application.namespace) if one["kind"] not in CLUSTER else None
                found[application.name] = application.objects
        return found


CLUSTER = ("ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace", "StorageClass", "IngressClass", "APIService", "ClusterIssuer", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")


class Checkout(argocd.Installation):
    """An installation whose every revision is one folder."""

    def __init__(self, folder, environment):
        self.folder, self.environment, self.read = folder, environment, set()

    def checkout(self, revision):
        return self.folder


def pods(objects):
    """Yields each workload with the spec of its pods."""
    for thing in objects:
        if thing["kind"] in ("Deployment", "DaemonSet", "StatefulSet", "Job"):
            yield thing, thing["spec"]["template"]["spec"]
        elif thing["kind"] == "Pod":
            yield thing, thing["spec"]


def rbac(things):
    """Yields each service account, the namespace in which it has a rule (None: all), and the rule."""
    objects = [thing for those in things.values() for thing in those]
    rules = {(thing["kind"], thing["metadata"].get("namespace") if thing["kind"] == "Role" else None, thing["metadata"]["name"]): thing.get("rules") or [] for thing in objects if thing["kind"] in ("Role", "ClusterRole")}
    rules["ClusterRole", None, "cluster-admin"] = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    for thing in objects:
        if thing["kind"] not in ("RoleBinding", "ClusterRoleBinding"):
            continue
        namespace, reference = thing["metadata"].get("namespace") if thing["kind"] == "RoleBinding" else cluster_wide, thing["roleRef"]
        key = (reference["kind"], namespace if reference["kind"] == "Role" else None, reference["name"])
        for rule in rules.get(key, []):
            for subject in thing.get("subjects") or []:
                if subject["kind"] == "ServiceAccount":
                    yield f"{subject.get('namespace', namespace)}/{subject['name']}", namespace, rule


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory):
    with ControlPlane(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


