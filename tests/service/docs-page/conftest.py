"""Fixtures: Chromium and the service of `shoutback dev`. After each visit the requests and errors of the page are checked."""

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

from harness.shoutback import Emulators

# Far more than any step needs.
expect.set_options(timeout=30_000)

AXE = Path(os.environ["AXE"]).read_text()

# Logs violations of the content security policy: the browser's own messages differ between versions.
REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) => {
  console.error(`forbidden: ${event.violatedDirective} ${event.blockedURI}`);
});
"""


@pytest.fixture(scope="session")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            # The sandbox does not start as root; for other users it needs user namespaces, which containers and some distributions deny.
            args=["--no-sandbox"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    with Emulators(tmp_path_factory.mktemp("dev") / "dev.log") as service:
        yield service


class Visit:
    """A visit in a new browser context."""

    def __init__(self, chromium, service, path="/docs", **options):
        self.service = service
        self.context = chromium.new_context(**({"viewport": {"width": 1100, "height": 900}} | options))
        self.context.add_init_script(REPORT_VIOLATIONS)
        self.requests, self.errors = [], []
        self.context.on("request", lambda request: self.requests.append(request.url))
        self.context.on("console", self._on_console)
        self.context.on("weberror", lambda error: self.errors.append(str(error.error)))
        self.page = self.context.new_page()
        self.page.goto(service.public + path)

    def _on_console(self, message):
        # The console reports error statuses of calls, which the page handles, as errors.
        is_call = urlsplit(message.location["url"]).path in ("/v1", "/oauth2/token")
        if message.type in ("error", "warning") and not (is_call and "Failed to load resource" in message.text):
            self.errors.append(f"{message.text} {message.location['url']}")

    def button(self, name):
        return self.page.get_by_role("button", name=name, exact=True)

    def sign_in(self, username):
        self.button("Sign in").click()
        self.page.get_by_role("button", name=username).click()
        expect(self.page.locator("#who")).to_contain_text(f"Signed in as {username}, valid until")

    def paste(self, token):
        if self.page.get_by_label("Access token").is_hidden():
            self.page.get_by_text("Paste a token", exact=True).click()
        self.page.get_by_label("Access token").fill(token)
        self.button("Use it").click()

    def shout(self, text):
        self.page.get_by_label("Text to shout").fill(text)
        self.button("Shout").click()

    def fact(self, name):
        return self.page.locator(f"#headers dt:text-is('{name}') + dd")

    def trouble(self):
        return self.page.locator("#response .error")

    def axe_violations(self):
        """Returns the violations that axe-core finds, with their targets."""
        self.page.evaluate(AXE)
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in found["violations"]]

    def external_requests(self):
        """Returns the requests to other hosts than the service and its Cognito."""
        expected = (self.service.public + "/", self.service.cognito + "/")
        return [url for url in self.requests if not url.startswith(expected)]


@pytest.fixture
def visit(chromium, service):
    """`visit(path, at)` opens a page of the shared service or of the instance `at`."""
    visits = []

    def visit(path="/docs", at=service, **options):
        visits.append(Visit(chromium, at, path, **options))
        return visits[-1]

    yield visit
    for visited in visits:
        visited.context.close()
        assert visited.external_requests() == []
        assert visited.errors == []
