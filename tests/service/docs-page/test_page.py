"""A reader's actions on /docs, and their results."""

import json
import os
import re
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import expect

from harness.process import ENVIRONMENT, http_request
from harness.shoutback import Emulators

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
SCHEMES = ("light", "dark")


def test_a_signed_in_reader_shouts_and_sees_the_response(visit):
    reader = visit()
    expect(reader.page.locator("#who")).to_contain_text("Not signed in")
    reader.page.get_by_label("Text to shout").fill("typed before the sign-in")
    reader.sign_in("ada")
    assert reader.page.url == reader.service.public + "/docs"
    assert reader.page.get_by_label("Text to shout").input_value() == "typed before the sign-in"
    expect(reader.page.locator("#curl")).to_contain_text('{"data":"typed before the sign-in"}')
    reader.shout("¡hé, ada! 👨‍👩‍👧")
    expect(reader.page.locator("#shouted")).to_have_text("👨‍👩‍👧 !ADA ,ÉH¡")
    expect(reader.page.locator("#response .verdict")).to_contain_text("200 OK")
    expect(reader.fact("cache-status")).to_contain_text("fetched and cached")
    expect(reader.fact("server-timing")).to_have_text(re.compile(r"verifying the token took [\d.]+ ms, SHOUTCLOUD took"))
    expect(reader.fact("ratelimit")).to_contain_text("requests remaining")
    expect(reader.fact("x-request-id")).to_have_text(re.compile(r"^[0-9a-f]{8}-[0-9a-f-]{27}$"))
    reader.button("Shout").click()
    expect(reader.fact("cache-status")).to_contain_text("from the cache")


def test_request_format_response_format_and_cache_bypass_can_be_chosen(visit):
    reader = visit()
    reader.sign_in("alan")
    reader.page.get_by_role("group", name="Request format").get_by_label("Text").check()
    reader.page.get_by_role("group", name="Response format").get_by_label("JSON").check()
    reader.page.get_by_label("Bypass cache").check()
    reader.shout("both ways")
    expect(reader.page.locator("#shouted")).to_have_text("SYAW HTOB")
    expect(reader.page.locator("#response")).to_contain_text('{"data":"SYAW HTOB"}')
    expect(reader.fact("content-type")).to_have_text("application/json")
    expect(reader.fact("cache-status")).to_contain_text("cache bypassed as requested")
    line = reader.page.locator("#curl")
    for part in ("'content-type: text/plain'", "'accept: application/json'", "'cache-control: no-cache'", "'both ways'"):
        expect(line).to_contain_text(part)


def test_the_curl_command_does_the_same_when_pasted(visit):
    reader = visit(permissions=["clipboard-read", "clipboard-write"])
    reader.sign_in("ada")
    text = "it's \"quoted\", $HOME `id` \\ and\nmore"
    reader.shout(text)
    expected = text[::-1].upper()
    expect(reader.page.locator("#shouted")).to_have_text(expected, use_inner_text=True)
    reader.button("Copy").first.click()
    expect(reader.page.locator("#copied")).to_have_text("Copied.")
    without = reader.page.evaluate("navigator.clipboard.readText()")
    assert '"authorization: Bearer $TOKEN"' in without
    reader.button("Copy with token").click()
    expect(reader.button("Copied")).to_have_count(1)
    # The buttons of the four examples are labelled by their headings.
    expect(reader.button("Copy")).to_have_count(1)
    line = reader.page.evaluate("navigator.clipboard.readText()")
    assert "$TOKEN" not in line
    pasted = subprocess.run(["sh", "-c", line], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    head, _, body = pasted.stdout.partition("\n\n")
    assert "cache-status: shoutback; hit" in head
    assert json.loads(body) == {"data": expected}


def test_a_missing_or_malformed_token_is_explained_with_a_remedy(visit):
    reader = visit()
    reader.button("Shout").click()
    expect(reader.trouble()).to_contain_text("Unauthenticated (401)")
    expect(reader.trouble()).to_contain_text("Sign in above, or paste a token, then retry.")
    # The advice for programs would repeat it.
    expect(reader.trouble()).not_to_contain_text("token endpoint")
    reader.paste("Bearer eyJ.not.one")
    expect(reader.page.locator("#who")).to_contain_text("does not look like a Cognito token")
    reader.button("Shout").click()
    expect(reader.trouble()).to_contain_text("Sign in above, or paste a token, then retry.")
    expect(reader.button("Sign in")).to_be_visible()
    reader.page.get_by_role("link", name="About unauthenticated").click()
    expect(reader.page.locator("#unauthenticated")).to_be_in_viewport()
    reader.button("Discard token").click()
    reader.paste("two words")
    expect(reader.page.locator("#who")).to_contain_text("This is not a token")


def test_the_text_is_selected_if_copying_is_forbidden(visit):
    reader = visit()
    reader.paste(reader.service.token())
    reader.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('forbidden')) }")
    reader.button("Copy with token").click()
    expect(reader.button("Selected, not copied")).to_be_visible()
    expect(reader.page.locator("#copied")).to_contain_text("copy it manually. It reads the token from the environment variable TOKEN.")
    assert reader.page.locator("#copied").bounding_box()["width"] > 100
    assert reader.page.evaluate("getSelection().toString()") == reader.page.locator("#curl").text_content()
    reader.button("Copy").click()
    expect(reader.button("Copy with token")).to_be_visible()
    expect(reader.page.locator("#copied")).not_to_contain_text("TOKEN")


def test_a_reader_with_an_expired_token_signs_in_again(visit):
    reader = visit()
    reader.sign_in("ada")
    # Stands for an expired access token.
    reader.page.route("**/v1", lambda route: route.continue_(headers=route.request.headers | {"authorization": "Bearer eyJ.not.one"}))
    reader.shout("typed meanwhile")
    expect(reader.trouble()).to_contain_text("Sign in above, or paste a token, then retry.")
    expect(reader.page.locator("#who")).to_contain_text("Signed in as ada. The service rejected this token: get a new one.")
    expect(reader.button("Sign out")).to_be_visible()
    reader.page.unroute("**/v1")
    reader.sign_in("ada")
    assert reader.page.get_by_label("Text to shout").input_value() == "typed meanwhile"
    reader.button("Shout").click()
    expect(reader.page.locator("#shouted")).to_have_text("ELIHWNAEM DEPYT")


def test_a_cancelled_sign_in_leaves_no_state_behind(visit):
    reader = visit()
    reader.page.get_by_label("Text to shout").fill("typed before")
    reader.button("Sign in").click()
    reader.page.wait_for_url("**/login?**")
    # Without it, browsers with a window request /favicon.ico, and log the 404.
    expect(reader.page.locator("link[rel=icon]")).to_have_attribute("href", "data:,")
    reader.page.go_back()
    reader.page.wait_for_function("sessionStorage.length === 0")
    assert reader.page.get_by_label("Text to shout").input_value() == "typed before"


def test_a_failed_sign_in_is_explained_with_a_remedy(visit):
    reader = visit()
    reader.page.evaluate("() => { Storage.prototype.setItem = () => { throw new DOMException('blocked', 'SecurityError') } }")
    reader.button("Sign in").click()
    expect(reader.page.locator("#who")).to_contain_text("Allow it, or paste a token instead.")
    reader.page.reload()

    def reject(route):
        query = parse_qs(urlsplit(route.request.url).query)
        back = urlencode({"error": "invalid_scope", "state": query["state"][0]})
        route.fulfill(status=302, headers={"location": f"{query['redirect_uri'][0]}?{back}"})

    reader.page.route("**/oauth2/authorize?**", reject)
    reader.button("Sign in").click()
    expect(reader.page.locator("#who")).to_contain_text("Cognito did not sign you in (invalid_scope). Sign in again;")


def test_a_pasted_token_is_accepted(visit):
    reader = visit()
    reader.paste(f"authorization: Bearer {reader.service.token()}\n")
    expect(reader.page.locator("#who")).to_contain_text(f"Token of client {reader.service.client_id}")
    reader.shout("pasted")
    expect(reader.page.locator("#shouted")).to_have_text("DETSAP")


def test_the_end_of_a_tokens_validity_has_a_date_and_a_zone(visit):
    reader = visit(locale="en-GB", timezone_id="Asia/Tokyo")
    reader.sign_in("ada")
    expect(reader.page.locator("#who")).to_have_text(re.compile(r"valid until \d{1,2} \w{3,4} \d{4}, \d\d:\d\d GMT\+9\.$"))


def test_a_missing_scope_is_explained(visit):
    reader = visit()
    reader.sign_in("grace")
    reader.button("Shout").click()
    expect(reader.trouble()).to_contain_text("Forbidden (403)")
    expect(reader.trouble()).to_contain_text("Request the scope")


def test_a_used_up_quota_is_shown_with_the_time_to_retry(visit, tmp_path):
    with Emulators(tmp_path / "dev.log", RATE_LIMIT_PER_CLIENT="1/h", RATE_LIMIT_BURST="1") as service:
        reader = visit(at=service)
        reader.sign_in("ada")
        reader.shout("one")
        expect(reader.fact("ratelimit")).to_contain_text("0 requests remaining")
        reader.shout("two")
        expect(reader.trouble()).to_contain_text("Rate limited (429)")
        expect(reader.trouble()).to_contain_text("Retry in 60 seconds.")
        expect(reader.fact("retry-after")).to_contain_text("wait 60 s")


def test_a_failing_upstream_and_an_unreachable_service_are_told_apart(visit, tmp_path):
    with Emulators(tmp_path / "dev.log", SHOUTCLOUD_MAX_RETRIES="0") as service:
        reader = visit(at=service)
        reader.sign_in("ada")
        service.behave(failure_rate=1.0)
        reader.shout("into the void")
        expect(reader.trouble()).to_contain_text("Upstream unavailable (503)")
        expect(reader.trouble()).to_contain_text("SHOUTCLOUD, which converts the text to upper case, is unavailable.")
        expect(reader.trouble()).to_contain_text("Retry in 1 second.")
        service.stop()
        reader.button("Shout").click()
        expect(reader.trouble()).to_contain_text("No response")
        expect(reader.trouble()).to_contain_text("Check that you are online")


@pytest.mark.parametrize(
    ("status", "form", "body"),
    [
        (502, "text/html", "<h1>Bad Gateway</h1>"),
        (200, "text/html", "<h1>Welcome to the hotel</h1>"),
        (200, "application/json", '{"data":'),
        (200, "application/json", '{"token": "x"}'),
        (503, "application/problem+json", "null"),
    ],
)
def test_a_gateways_response_is_not_mistaken_for_the_services(visit, status, form, body):
    reader = visit()
    reader.page.route("**/v1", lambda route: route.fulfill(status=status, content_type=form, body=body))
    reader.button("Shout").click()
    expect(reader.trouble()).to_contain_text("is not from Shoutback")


def test_a_problem_without_a_section_is_shown_unchanged(visit):
    reader = visit()
    problem = json.dumps({"type": "about:blank", "title": "Too large", "status": 431, "detail": "the `headers` are too long"})
    form = "application/problem+json"
    reader.page.route("**/v1", lambda route: route.fulfill(status=431, content_type=form, body=problem))
    reader.button("Shout").click()
    expect(reader.trouble()).to_contain_text("Too large (431)")
    expect(reader.trouble()).to_contain_text("The headers are too long.")


def test_everything_can_be_done_by_keyboard(visit):
    reader = visit()
    keyboard, focused = reader.page.keyboard, reader.page.locator(":focus")

    def tab_to(name):
        for _ in range(40):
            keyboard.press("Tab")
            if reader.page.evaluate(
                "name => [document.activeElement.textContent.trim(), document.activeElement.id].includes(name)", name
            ):
                return
        raise AssertionError(f"{name} cannot be reached")

    keyboard.press("Tab")
    expect(focused).to_have_text("Skip to content")
    keyboard.press("Enter")
    tab_to("Sign in")
    keyboard.press("Enter")
    reader.page.wait_for_url("**/login?**")
    tab_to("ada")
    keyboard.press("Enter")
    expect(reader.page.locator("#who")).to_contain_text("Signed in as ada")
    expect(focused).to_have_attribute("id", "send")
    keyboard.press("Enter")
    expect(reader.page.locator("#shouted")).to_have_text("!DLROW ,OLLEH")
    keyboard.press("Shift+Tab")
    keyboard.press("Shift+Tab")
    keyboard.press("Shift+Tab")
    keyboard.press("Shift+Tab")
    expect(focused).to_have_attribute("id", "text")
    keyboard.press("Control+A")
    keyboard.type("no mouse")
    keyboard.press("Control+Enter")
    expect(reader.page.locator("#shouted")).to_have_text("ESUOM ON")
    tab_to("Copy with token")


def test_a_token_is_not_stored_and_is_lost_by_a_reload(visit):
    reader = visit()
    reader.sign_in("ada")
    stored = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
    assert reader.page.evaluate(stored) == '[{},{},""]'
    reader.page.reload()
    expect(reader.page.locator("#who")).to_contain_text("Not signed in")
    reader.sign_in("ada")
    reader.button("Sign out").click()
    expect(reader.page.locator("#who")).to_contain_text("Not signed in")
    assert any("/logout?" in url for url in reader.requests)
    assert reader.page.url == reader.service.public + "/docs"


@pytest.mark.parametrize("query", ["code=stolen&state=made-up", "code=stolen", "error=access_denied&state=made-up"])
def test_a_sign_in_that_started_elsewhere_is_ignored(visit, query):
    reader = visit(f"/docs?{query}")
    expect(reader.page.locator("#who")).to_contain_text("was not started on this page")
    assert reader.page.url == reader.service.public + "/docs"
    assert not any("/oauth2/token" in url for url in reader.requests)


def test_a_rejected_code_is_explained(visit):
    reader = visit()
    reader.page.route("**/oauth2/token", lambda route: route.continue_(post_data=route.request.post_data + "x"))
    reader.button("Sign in").click()
    reader.page.get_by_role("button", name="ada").click()
    expect(reader.page.locator("#who")).to_contain_text("Cognito did not issue a token")


def test_a_problem_type_links_to_its_section(visit):
    status, text = http_request("POST", f"{visit().service.public}/v1")
    kind = json.loads(text)["type"]
    assert (status, kind) == (401, "/docs#unauthenticated")
    reader = visit(kind)
    expect(reader.page.locator("section:target h3")).to_contain_text("Unauthenticated")
    expect(reader.page.locator("section:target")).to_be_in_viewport()


def test_it_is_readable_without_javascript(visit):
    reader = visit(java_script_enabled=False)
    expect(reader.page.get_by_text("Trying the API on this page requires JavaScript")).to_be_visible()
    for part in ("#trial", "#send", "#token"):
        expect(reader.page.locator(part)).to_be_hidden()
    for part in ("#example-python", "#overloaded", "#call table"):
        expect(reader.page.locator(part)).to_be_visible()


def test_no_token_is_requested_if_authentication_is_disabled(visit, tmp_path):
    with Emulators(tmp_path / "dev.log", AUTH_MODE="disabled") as service:
        reader = visit(at=service)
        expect(reader.page.locator("#token-part")).to_be_hidden()
        expect(reader.page.get_by_text("authentication is disabled")).to_be_visible()
        reader.shout("open")
        expect(reader.page.locator("#shouted")).to_have_text("NEPO")
        assert "authorization" not in reader.page.locator("#curl").text_content()


def test_the_policy_forbids_requests_to_other_hosts(visit):
    reader = visit()
    failed = "fetch('http://127.0.0.1:9/').then(() => 'called', (error) => error.name)"
    with reader.page.expect_console_message(lambda message: message.text == "forbidden: connect-src http://127.0.0.1:9/"):
        assert reader.page.evaluate(failed) == "TypeError"
    reader.errors.clear()
    reader.requests[:] = [url for url in reader.requests if ":9/" not in url]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("device", [{}, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing(visit, scheme, device):
    reader = visit(color_scheme=scheme, **device)
    assert reader.axe_violations() == []
    reader.page.get_by_text("Paste a token", exact=True).click()
    reader.button("Shout").click()
    expect(reader.trouble()).to_be_visible()
    assert reader.axe_violations() == []
    reader.sign_in("ada")
    assert reader.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark")
    reader.shout("hello, world!")
    expect(reader.page.locator("#shouted")).to_be_visible()
    assert reader.axe_violations() == []


def test_axe_finds_a_violation(visit):
    reader = visit()
    reader.page.evaluate("document.querySelector('label[for=text]').remove()")
    assert "label" in [rule for rule, _ in reader.axe_violations()]


@pytest.mark.parametrize("width", [320, 360, 768])
def test_nothing_is_wider_than_the_screen(visit, width):
    reader = visit(viewport={"width": width, "height": 700})
    reader.paste(reader.service.token())
    reader.shout("w" * 300)
    expect(reader.page.locator("#shouted")).to_be_visible()
    assert reader.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", SCHEMES)
def test_pictures(visit, scheme, tmp_path):
    reader = visit(color_scheme=scheme, viewport={"width": 900, "height": 1200})
    reader.sign_in("ada")
    reader.shout("hello, world!")
    expect(reader.page.locator("#shouted")).to_have_text("!DLROW ,OLLEH")
    images = Path("docs/images") if os.environ.get("PICTURES") else tmp_path
    images.mkdir(exist_ok=True)
    reader.page.evaluate("scrollTo(0, 0)")
    reader.page.screenshot(path=images / f"page-{scheme}.png", animations="disabled", caret="hide")
