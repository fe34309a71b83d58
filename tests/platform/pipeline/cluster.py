"""A fake of Argo CD and the clusters: watches the branches deploy/ENVIRONMENT, runs its images, and reports to GitHub."""

import re
import threading
import traceback

from harness.git import git
from harness.process import http_request
from harness.relay import Relay
from harness.shoutback import Emulators

from containers import Container
from github import ARGO_CD_TOKEN, REPOSITORY


class Environment:
    """A cluster: a constant address in front of the running container."""

    def __init__(self, stack, name, directory):
        self.name = name
        self.directory = directory / name
        self.directory.mkdir()
        self.containers = []
        self.emulators = stack.enter_context(Emulators(self.directory / "emulators"))
        self.relay = stack.enter_context(Relay(lambda: self.running.port))
        stack.callback(self.end)
        self.image = None

    @property
    def running(self):
        return self.containers[-1]

    @property
    def variables(self):
        """Returns the environment of the integration tests."""
        return {
            "BASE_URL": f"http://{self.relay.address}",
            "TOKEN_URL": f"{self.emulators.cognito}/oauth2/token",
            "CLIENT_ID": self.emulators.client_id,
            "CLIENT_SECRET": self.emulators.secret,
        }

    def deploy(self, containers, image, config):
        """Starts a container, which replaces the old one once it is ready. Until then the old one serves."""
        self.start(containers, image, config)
        for old in self.containers[:-1]:
            self.stop(old)

    def start(self, containers, image, config):
        """Starts a container and returns it; from when it is ready it serves, instead of those that were started before."""
        containers.pull(image)
        own = {"SHOUTCLOUD_URL": f"http://{self.emulators.shoutcloud}/V1/SHOUT", "RATE_LIMIT_PER_CLIENT": "100/s"}
        variables = config | self.emulators.authentication() | own
        log = self.directory / f"log-{len(list(self.directory.iterdir()))}"
        started = Container(containers, log, image, **variables)
        self.containers = [*self.containers, started]
        return started

    def stop(self, container):
        if container in self.containers:
            self.containers = [other for other in self.containers if other is not container]
            container.end()

    def end(self):
        for container in self.containers:
            container.end()


class Clusters:
    """Runs in its own thread during the `with` block."""

    def __init__(self, source, github, containers, repository, environments, log=lambda text: None):
        self.source, self.github, self.containers, self.repository = source, github, containers, repository
        self.environments, self.log = environments, log
        self.has = dict.fromkeys(environments)
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def _watch(self):
        reported = {}
        # As fast as a webhook would notify Argo CD.
        while not self.ended.wait(0.1):
            for name, environment in self.environments.items():
                tip = git(self.source.bare, "rev-parse", "--quiet", "--verify", f"refs/heads/deploy/{name}", succeeds=False)
                if tip not in ("", reported.get(name)):
                    reported[name] = tip
                    self._synchronise(name, environment, tip)

    def _synchronise(self, name, environment, tip):
        tag, digest = target = self.source.image(name, tip)
        if self.has[name] == target:
            self._report(tip, name, "success", "Healthy")
            return
        self.log(f"{name}: Argo CD deploys {tag[:12]} of {tip[:12]}")
        self._report(tip, name, "pending", "Progressing")
        try:
            environment.deploy(self.containers, f"{self.repository}@{digest}", self._config(name, tag))
        except Exception:
            # The pipeline must be notified of any error.
            self.log(traceback.format_exc())
            self._report(tip, name, "failure", "Degraded")
            # The next commit is deployed even if it equals the running one.
            self.has[name] = None
            return
        self.has[name] = target
        self.log(f"{name}: runs {tag[:12]}")
        self._report(tip, name, "success", "Healthy")

    def _report(self, commit, name, state, description):
        body = {"context": f"argocd/{name}", "state": state, "description": description}
        headers = {"authorization": f"Bearer {ARGO_CD_TOKEN}", "content-type": "application/json"}
        status, text = http_request("POST", f"{self.github.url}/repos/{REPOSITORY}/statuses/{commit}", body, headers)
        assert status == 201, text

    def _config(self, name, tag):
        """Returns `config` of the environment's values at the released commit, without what needs a cluster."""
        values = self.source.file(tag, f"gitops/service/{name}/values.yaml")
        section = re.search(r"^config:\n((?: +.*\n|\n)*)", values + "\n", re.M)[1]
        pairs = re.findall(r"^  ([A-Z_0-9]+): *\"?([^\"\n]*)\"?$", section, re.M)
        return {key: value for key, value in pairs if not key.startswith("OTEL_") and "REPLACE_WITH" not in value}
