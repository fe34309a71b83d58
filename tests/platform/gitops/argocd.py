"""A fake of Argo CD's ApplicationSet controller and repository server: the applications of gitops/, and their renderings.

Helm executes the Go templates, because it has the same functions. helm and kubectl render the sources from a checkout of their revision.
"""

import itertools
import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from harness.git import git
from harness.process import ENVIRONMENT

REPOSITORY = "https://github.com/example/shoutback.git"
# Test values by placeholder.
FILLED = {
    "REPLACE_WITH_ACCOUNT_ID": "123456789012",
    "REPLACE_WITH_API_HOST": "api.example.com",
    "REPLACE_WITH_ARGOCD_CLIENT_ID": "3example23456789",
    "REPLACE_WITH_CLIENT_IDS": "1example23456789,2example23456789",
    "REPLACE_WITH_COGNITO_DOMAIN": "shoutback.auth.eu-central-1.amazoncognito.com",
    "REPLACE_WITH_DOCS_HOST": "docs.example.com",
    "REPLACE_WITH_GITHUB_APP_ID": "1234567",
    "REPLACE_WITH_GITHUB_INSTALLATION_ID": "7654321",
    "REPLACE_WITH_IMAGE_CACHE": "123456789012.dkr.ecr.eu-central-1.amazonaws.com",
    "REPLACE_WITH_MACHINE_CLIENT_ID": "1example23456789",
    "REPLACE_WITH_PUBLIC_CLIENT_ID": "2example23456789",
    "REPLACE_WITH_REGION": "eu-central-1",
    "REPLACE_WITH_REPOSITORY": "example/shoutback",
    "REPLACE_WITH_TOOLS_CLIENT_ID": "4example23456789",
    "REPLACE_WITH_TOOLS_HOST": "tools.example.com",
    "REPLACE_WITH_TOOLS_ISSUER": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Operators",
    "REPLACE_WITH_USER_POOL_ID": "eu-central-1_AbCdEfGhI",
    "REPLACE_WITH_ZONE_ID": "Z0123456789ABCDEFGHIJ",
}


def run(*command, cwd=None, stdin=None):
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=ENVIRONMENT, input=stdin, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def parsed(text):
    return [thing for thing in yaml.load_all(text, yaml.CSafeLoader) if thing]


def executed(template, **data):
    """Executes a Go template with sprig's functions on `data`. Missing keys are errors."""
    with tempfile.TemporaryDirectory() as folder:
        chart = Path(folder)
        (chart / "Chart.yaml").write_text("{apiVersion: v2, name: template, version: 0.0.0}")
        (chart / "values.yaml").write_text(json.dumps(data))
        (chart / "templates").mkdir()
        # In an object, so that the text may be arbitrary.
        (chart / "templates/text.yaml").write_text('{{ define "text" }}' + template + '{{ end }}{{ dict "text" (include "text" .Values) | toJson }}')
        [rendered] = parsed(run("helm", "template", chart, "--skip-schema-validation"))
        text = rendered["text"]
        assert "<no value>" not in text, template
        return text


def deep(thing, change):
    """Applies a function to every string of the data."""
    if isinstance(thing, dict):
        return {name: deep(part, change) for name, part in thing.items()}
    if isinstance(thing, list):
        return [deep(part, change) for part in thing]
    return change(thing) if isinstance(thing, str) else thing


def scalars(thing):
    texts = []
    deep(thing, lambda text: texts.append(text) or text)
    return texts


def fill(folder):
    """Replaces the placeholders in a checkout."""
    for file in folder.glob("gitops/*/*/*.yaml"):
        file.write_text(re.sub(r"REPLACE_WITH_[A-Z_]*[A-Z]", lambda name: FILLED[name[0]], file.read_text()))


@dataclass
class Application:
    manifest: dict
    objects: list = field(default_factory=list)
    # Whether all sources could be rendered.
    rendered: bool = True

    @property
    def name(self):
        return self.manifest["metadata"]["name"]

    @property
    def spec(self):
        return self.manifest["spec"]

    @property
    def sources(self):
        return self.spec["sources"] if "sources" in self.spec else [self.spec["source"]]

    @property
    def namespace(self):
        return self.spec["destination"]["namespace"]

    @property
    def wave(self):
        return int(self.manifest["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", 0))

    def one(self, kind, name=None):
        [thing] = [thing for thing in self.objects if thing["kind"] == kind and name in (None, thing["metadata"]["name"])]
        return thing


class Installation:
    """An environment's Argo CD with the repository `source`, in which `release` has deployed."""

    def __init__(self, source, environment):
        self.source, self.environment = source, environment
        self.checkouts, self.read = {}, set()
        # Values besides those of the environment, for the platform and the settings.
        self.parameters = []
        self.folder = tempfile.mkdtemp(prefix=f"argocd-{environment}-", dir=source.directory)

    def sets(self):
        """Returns the ApplicationSets. A new installation has the settings of main."""
        settings = "gitops/platform/argocd-settings"
        things = self.helm("main", settings, "argocd-settings", "argocd", [f"gitops/platform/{self.environment}/values.yaml"], self.parameters)
        return [thing for thing in things if thing["kind"] == "ApplicationSet"]

    def applications(self):
        """Returns all applications by name: those that the ApplicationSets generate, and those of the platform."""
        found = {}
        for application in itertools.chain.from_iterable(map(self.generated, self.sets())):
            if application.name == "platform":
                application.sources[1]["helm"]["parameters"] += self.parameters
            self.render(application)
            found[application.name] = application
        for thing in found["platform"].objects:
            if thing["kind"] == "Application":
                application = Application(thing)
                if application.name == "argocd-settings":
                    application.sources[0]["helm"].setdefault("parameters", []).extend(self.parameters)
                self.render(application)
                found[application.name] = application
        return found

    def generated(self, set):
        """Yields the applications that an ApplicationSet generates from files."""
        [generator] = set["spec"]["generators"]
        assert set["spec"]["goTemplate"]
        data = {}
        parts = generator["matrix"]["generators"] if "matrix" in generator else [generator]
        for part in (each["git"] for each in parts):
            assert part["repoURL"] == REPOSITORY
            [file] = part["files"]
            if not git(self.source.bare, "ls-tree", "-r", "--name-only", part["revision"], "--", file["path"]):
                return
            data |= yaml.safe_load(self.source.file(part["revision"], file["path"])) or {}
        template = deep(set["spec"]["template"], lambda text: executed(text, **data) if "{{" in text else text)
        yield Application({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application"} | template)

    def render(self, application):
        references = {f"${one['ref']}": one for one in application.sources if "ref" in one}
        for source in application.sources:
            if "ref" in source:
                continue
            helm = source.get("helm", {})
            own = source["targetRevision"] if source["repoURL"] == REPOSITORY else None
            values = []
            for file in helm.get("valueFiles", []):
                reference, _, path = file.partition("/")
                if reference in references:
                    values.append((references[reference]["targetRevision"], path))
                else:
                    values.append((own, os.path.normpath(f"{source['path']}/{file}")))
            if helm.get("ignoreMissingValueFiles"):
                values = [(at, path) for at, path in values if (self.checkout(at) / path).exists()]
            if "values" in helm:
                inline = Path(tempfile.mkdtemp(dir=self.folder), "values.yaml")
                inline.write_text(helm["values"])
                values.append(inline)
            release = helm.get("releaseName", application.name)
            options = [f"--skip-{part}" for part, given in (("tests", "skipTests"), ("schema-validation", "skipSchemaValidation")) if helm.get(given)]
            if "chart" in source:
                chart = Path(os.environ["CHARTS"]) / source["chart"]
                application.rendered = application.rendered and chart.is_dir()
                if not chart.is_dir():
                    self.read |= {value[1] for value in values if isinstance(value, tuple)}
                    continue
                application.objects += self.helm(None, chart, release, application.namespace, values, helm.get("parameters", []), options)
            elif (self.checkout(own) / source["path"] / "kustomization.yaml").exists():
                application.objects += self.kustomize(self.checkout(own) / source["path"])
            else:
                application.objects += self.helm(own, source["path"], release, application.namespace, values, helm.get("parameters", []), options)

    @staticmethod
    def kustomize(folder):
        """Renders a folder, with the manifests of the tool argo-cd for those of its repository."""
        file = folder / "kustomization.yaml"
        remote = re.search(r"https://github.com/argoproj/argo-cd//(\S+)\?ref=v(\S+)", file.read_text())
        if remote:
            manifests = Path(os.environ["ARGO_CD"]) / remote[1]
            assert f"-{remote[2]}-" in os.environ["ARGO_CD"], "the tested version is the installed one"
            file.write_text(file.read_text().replace(remote[0], os.path.relpath(manifests, folder.resolve())))
        return parsed(run("kubectl", "kustomize", folder))

    def helm(self, revision, chart, release, namespace, values, parameters, options=()):
        files = list(options)
        for value in values:
            if isinstance(value, Path):
                files.append(f"--values={value}")
                continue
            at, path = value if isinstance(value, tuple) else (revision, value)
            files.append(f"--values={self.checkout(at) / path}")
            self.read.add(path)
        given = [f"--{'set-string' if one.get('forceString') else 'set'}={one['name']}={one['value']}" for one in parameters]
        folder = chart if revision is None else self.checkout(revision) / chart
        return parsed(run("helm", "template", release, folder, f"--namespace={namespace}", "--include-crds", "--kube-version=1.36.0", *files, *given))

    def checkout(self, revision):
        """Returns a folder with that revision of the repository."""
        if revision not in self.checkouts:
            folder = Path(self.folder, revision)
            git(self.source.directory, "clone", "--quiet", self.source.bare, folder)
            git(folder, "checkout", "--quiet", "--detach", f"origin/{revision}" if revision == "main" or revision.startswith("deploy/") else revision)
            self.checkouts[revision] = folder
        return self.checkouts[revision]
