"""A Chromium, and the service of `shoutback dev` that it visits. Every visit ends with a look at what the page has asked for."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from harness.shoutback import Emulators

# Much more than anything here takes.
expect.set_options(timeout=30_000)

AXE = Path(os.environ["AXE"]).read_text()

# Says on the console what the policy has forbidden: the browser's own words differ between versions.
WATCH = """
addEventListener("securitypolicyviolation", (event) => {
  console.error(`forbidden: ${event.violatedDirective} ${event.blockedURI}`);
});
"""


@pytest.fixture(scope="session")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            # Its sandbox does not start as root, and needs user namespaces, which containers and some distributions deny to others.
            args=["--no-sandbox"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    with Emulators(tmp_path_factory.mktemp("dev") / "dev.log") as service:
        yield service


class Visit:
    """One reader, who has never been here."""

    def __init__(self, chromium, service, path="/docs", **options):
        self.service = service
        self.context = chromium.new_context(**({"viewport": {"width": 1100, "height": 900}} | options))
        self.context.add_init_script(WATCH)
        self.requests, self.complaints = [], []
        self.context.on("request", lambda request: self.requests.append(request.url))
        self.context.on("console", self._heard)
        self.context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        self.page = self.context.new_page()
        self.page.goto(service.public + path)

    def _heard(self, message):
        # An answer that is no 200, which the page explains, is an error to the console.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def button(self, name):
        return self.page.get_by_role("button", name=name, exact=True)

    def sign_in(self, username):
        self.button("Sign in").click()
        self.page.get_by_role("button", name=username).click()
        expect(self.page.locator("#who")).to_contain_text(f"Signed in as {username}, good until")

    def paste(self, token):
        if self.page.get_by_label("Access token").is_hidden():
            self.page.get_by_text("Paste a token", exact=True).click()
        self.page.get_by_label("Access token").fill(token)
        self.button("Use it").click()

    def shout(self, text):
        self.page.get_by_label("What to shout").fill(text)
        self.button("Shout").click()

    def fact(self, name):
        return self.page.locator(f"#facts dt:text-is('{name}') + dd")

    def trouble(self):
        return self.page.locator("#answer .trouble")

    def found_by_axe(self):
        """What axe-core finds wrong, and where."""
        self.page.evaluate(AXE)
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in found["violations"]]

    def elsewhere(self):
        """Requests to others than the service and its Cognito."""
        here = (self.service.public + "/", self.service.cognito + "/")
        return [url for url in self.requests if not url.startswith(here)]


@pytest.fixture
def visit(chromium, service):
    """Makes visits, to the service of all tests or another."""
    visits = []

    def visit(path="/docs", at=service, **options):
        visits.append(Visit(chromium, at, path, **options))
        return visits[-1]

    yield visit
    for visited in visits:
        visited.context.close()
        assert visited.elsewhere() == []
        assert visited.complaints == []
