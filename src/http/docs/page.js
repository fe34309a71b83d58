// The part of /docs that can be tried. Nothing is loaded from elsewhere; nothing is stored but what a sign-in needs to come back,
// until it is back; and texts only ever become text: no HTML is made here.

const { auth, signIn: cognito, clientId, scopes, requestTimeoutMs } = document.body.dataset;
const byId = (id) => document.getElementById(id);
const redirectUri = `${location.origin}/docs`;

// The service answers within its own time. What takes this much longer is lost on the way.
const PATIENCE_MS = Number(requestTimeoutMs) + 30_000;

// --- the token ---

// Kept in this variable alone, not in sessionStorage: nothing that is loaded into this tab later can read it. The price is a
// new sign-in after a reload, which Cognito's own session makes a matter of one click. Refresh tokens are not kept at all.
let token = null;

function hold(value, signedIn = false) {
  token = value === null ? null : { value, signedIn, ...claimsOf(value) };
  showToken();
}

/** What a person can be told of a token. The service checks it; this is for the reader's eyes. */
function claimsOf(value) {
  try {
    const part = value.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(part), (c) => c.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return {
      holder: claims.username ?? claims["cognito:username"] ?? claims.client_id,
      person: "username" in claims,
      isIdToken: claims.token_use === "id",
      expires: Number.isFinite(claims.exp) ? new Date(claims.exp * 1000) : null,
    };
  } catch {
    return {};
  }
}

function showToken(trouble = "") {
  // A token that was refused is still held, so that it can be looked at and signed out of, but the way to another is open.
  const isGood = token !== null && !token.refused;
  byId("sign-in").hidden = !cognito || isGood;
  byId("sign-out").hidden = token === null;
  byId("sign-out").textContent = token?.signedIn ? "Sign out" : "Forget the token";
  byId("paste").hidden = isGood;
  byId("copy-with-token").hidden = token === null;
  const who = byId("who");
  if (trouble) {
    who.textContent = trouble;
  } else if (token === null) {
    who.textContent = cognito
      ? "Nobody is signed in. Without a token the answer is 401."
      : "There is no token. Without one the answer is 401.";
  } else {
    who.textContent = described(token);
  }
}

function described({ holder, person, isIdToken, expires, signedIn, refused }) {
  if (isIdToken) {
    return "This is an ID token. The API takes access tokens: it will refuse this one.";
  }
  if (!holder) {
    return "There is a token, but it does not look like one of Cognito's.";
  }
  const verb = signedIn ? "Signed in as" : person ? "A token of" : "A token of the client";
  if (expires && expires <= new Date()) {
    return `${verb} ${holder}. The token expired at ${time(expires)}: get a new one.`;
  }
  if (refused) {
    return `${verb} ${holder}. The service refuses this token: get a new one.`;
  }
  return expires ? `${verb} ${holder}, good until ${time(expires)}.` : `${verb} ${holder}.`;
}

function time(date) {
  return date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

function usePasted(event) {
  event.preventDefault();
  const pasted = byId("token").value.trim().replace(/^(authorization: *)?bearer +/i, "");
  if (!/^[\x21-\x7e]+$/.test(pasted)) {
    showToken(pasted ? "That is no token: it has spaces or other signs in it." : "Paste a token first.");
    byId("token").focus();
    return;
  }
  byId("token").value = "";
  hold(pasted);
  byId("text").focus();
}

// --- signing in: authorization code with PKCE (RFC 7636), by a client without a secret ---

// All that outlives the way to Cognito and back, in sessionStorage: the state, the verifier (useless without the code) and the
// text. Removed at once then, however the reader comes back.
const JOURNEY = "shoutback-sign-in";

function takeJourney() {
  try {
    const kept = sessionStorage.getItem(JOURNEY);
    sessionStorage.removeItem(JOURNEY);
    return JSON.parse(kept);
  } catch {
    return null;
  }
}

function random() {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

async function beginSignIn() {
  if (!globalThis.crypto?.subtle) {
    showToken("Signing in takes https. Paste a token instead.");
    return;
  }
  const journey = { state: random(), verifier: random(), text: byId("text").value };
  const challenge = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(journey.verifier));
  try {
    sessionStorage.setItem(JOURNEY, JSON.stringify(journey));
  } catch {
    showToken("Signing in takes this site's storage, which the browser blocks. Allow it, or paste a token instead.");
    return;
  }
  const query = new URLSearchParams({
    response_type: "code",
    client_id: clientId,
    redirect_uri: redirectUri,
    scope: ["openid", ...scopes.split(" ").filter(Boolean)].join(" "),
    state: journey.state,
    code_challenge: base64url(new Uint8Array(challenge)),
    code_challenge_method: "S256",
  });
  location.assign(`${cognito}/oauth2/authorize?${query}`);
}

/** Ends what `beginSignIn` began, if this page was opened by Cognito sending the reader back. */
async function endSignIn() {
  const query = new URLSearchParams(location.search);
  const journey = takeJourney();
  if (journey) {
    byId("text").value = journey.text;
    showLine();
  }
  if (!query.has("code") && !query.has("error")) {
    return;
  }
  // A code works once, and neither it nor the state is for the history.
  history.replaceState(null, "", `/docs${location.hash}`);
  if (!cognito || !journey || query.get("state") !== journey.state) {
    showToken("That sign-in was not begun on this page, so it was not used. Sign in again.");
    return;
  }
  if (query.has("error")) {
    const reason = query.get("error_description") ?? query.get("error");
    showToken(`Cognito did not sign you in (${reason}). Sign in again; if it goes on, ask whoever runs the service.`);
    return;
  }
  byId("who").textContent = "Signing in…";
  try {
    const answer = await fetch(`${cognito}/oauth2/token`, {
      method: "POST",
      body: new URLSearchParams({
        grant_type: "authorization_code",
        client_id: clientId,
        code: query.get("code"),
        redirect_uri: redirectUri,
        code_verifier: journey.verifier,
      }),
      credentials: "omit",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    const { access_token: accessToken } = await answer.json();
    if (!answer.ok || !accessToken) {
      showToken("Cognito did not give a token for this sign-in. Sign in again.");
      return;
    }
    hold(accessToken, true);
    byId("try").scrollIntoView();
    byId("send").focus();
  } catch {
    showToken("Cognito could not be reached for the token. Sign in again.");
  }
}

function signOut() {
  const signedIn = token?.signedIn;
  hold(null);
  if (signedIn) {
    const query = new URLSearchParams({ client_id: clientId, logout_uri: redirectUri });
    location.assign(`${cognito}/logout?${query}`);
  } else {
    byId(cognito ? "sign-in" : "token").focus();
  }
}

// --- one call ---

function request() {
  const text = byId("text").value;
  const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;
  const headers = { "content-type": chosen("form") };
  if (chosen("accept")) {
    headers.accept = chosen("accept");
  }
  if (byId("anew").checked) {
    headers["cache-control"] = "no-cache";
  }
  const body = headers["content-type"] === "text/plain" ? text : JSON.stringify({ data: text });
  return { headers, body };
}

function curl({ headers, body }, tokenText) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const lines = [`curl --include ${quoted(`${location.origin}/v1`)}`];
  if (auth === "cognito") {
    lines.push(`--header ${tokenText === null ? '"authorization: Bearer $TOKEN"' : quoted(`authorization: Bearer ${tokenText}`)}`);
  }
  for (const [name, value] of Object.entries(headers)) {
    lines.push(`--header ${quoted(`${name}: ${value}`)}`);
  }
  lines.push(`--data-raw ${quoted(body)}`);
  return lines.join(" \\\n     ");
}

function showLine() {
  byId("curl").textContent = curl(request(), null);
  byId("line").hidden = false;
}

let sending = false;

async function shout(event) {
  event.preventDefault();
  if (sending) {
    return;
  }
  sending = true;
  const send = byId("send");
  send.setAttribute("aria-disabled", "true");
  send.textContent = "Shouting…";
  try {
    await call();
  } finally {
    sending = false;
    send.removeAttribute("aria-disabled");
    send.textContent = "Shout";
  }
}

async function call() {
  const sent = request();
  const headers = token ? { ...sent.headers, authorization: `Bearer ${token.value}` } : sent.headers;
  const begun = performance.now();
  let answer, body;
  try {
    answer = await fetch("/v1", {
      method: "POST",
      headers,
      body: sent.body,
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    body = await answer.text();
  } catch {
    byId("facts").hidden = true;
    trouble("No answer", [
      "The service could not be reached, or the connection broke. Are you online? Then try again; if it goes on, ask whoever runs the service.",
    ]);
    return;
  }
  const took = Math.max(1, Math.round(performance.now() - begun));
  const form = answer.headers.get("content-type") ?? "";
  const read = form.endsWith("json") ? parsed(body) : null;
  if (answer.ok && (typeof read?.data === "string" || form.startsWith("text/plain"))) {
    success(answer, read?.data ?? body, read && body, took);
  } else if (form === "application/problem+json" && typeof read?.detail === "string") {
    failure(read, answer, took);
  } else {
    trouble(`${answer.status}, in ${took} ms`, [
      "This answer is not one of Shoutback's: something on the way gave it. Wait a little and try again; if it goes on, ask whoever runs the service.",
    ]);
  }
  showFacts(answer);
}

function parsed(json) {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}

function success(answer, shouted, json, took) {
  const verdict = element("p", { className: "verdict" }, `${answer.status} OK, in ${took} ms`);
  const text = element("pre", { className: "shouted", id: "shouted" }, shouted === "" ? "(the empty text)" : shouted);
  const parts = [verdict, text];
  if (json) {
    parts.push(element("p", { className: "hint" }, "As it came: ", element("code", {}, json)));
  }
  byId("answer").replaceChildren(...parts);
}

/** The ingress has problems of its own, some of them without a section here. */
function failure(problem, answer, took) {
  const name = String(problem.type).split("#")[1] ?? "";
  if (name === "unauthenticated" && token) {
    token.refused = true;
    showToken();
  }
  const explained = byId(name)?.querySelector(".explanation");
  const next = nextStep(name, answer.headers.get("retry-after"));
  const parts = next ? [element("strong", {}, next)] : [];
  parts.push(withCode(sentence(problem.detail)));
  if (explained) {
    parts.push([...explained.cloneNode(true).childNodes]);
    parts.push([element("a", { href: `#${name}` }, `About ${name}`), ` · request ${problem.instance}`]);
  }
  trouble(`${problem.title} (${answer.status}), in ${took} ms`, parts);
}

/** What to do on this page, where that is more than the explanation says. */
function nextStep(name, retryAfter) {
  if (name === "unauthenticated") {
    return cognito ? "Sign in above, or paste a token, then shout again." : "Paste a token above, then shout again.";
  }
  if (retryAfter) {
    return `Shout again in ${retryAfter} ${retryAfter === "1" ? "second" : "seconds"}.`;
  }
  return "";
}

function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

/** What stands between backquotes is code. */
function withCode(text) {
  return text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}

/** Shows what went wrong; each of `parts` becomes a paragraph. */
function trouble(verdict, parts) {
  const box = element("div", { className: "trouble" }, element("p", { className: "verdict" }, verdict));
  for (const part of parts) {
    box.append(element("p", {}, ...[part].flat()));
  }
  byId("answer").replaceChildren(box);
}

// --- what an answer says beside its body ---

const CACHE_STATUS = {
  "shoutback; fwd=miss; stored": "asked for now, and kept",
  "shoutback; fwd=miss": "asked for now; not kept",
  "shoutback; hit": "kept from earlier",
  "shoutback; fwd=miss; collapsed": "that of an equal request which was under way",
  "shoutback; hit; detail=stale-if-error": "kept from earlier, longer ago than usual: SHOUTCLOUD failed",
  "shoutback; fwd=request; stored": "asked for anew, as you wanted, and kept",
  "shoutback; fwd=request": "asked for anew, as you wanted",
  "shoutback; fwd=bypass": "not from the cache, and not kept",
  "shoutback; fwd=miss; detail=local-fallback": "capitalised by Shoutback itself: SHOUTCLOUD failed",
  "shoutback; fwd=request; detail=local-fallback": "asked for anew, as you wanted, but capitalised by Shoutback itself: SHOUTCLOUD failed",
  "shoutback; fwd=bypass; detail=local-fallback": "not kept; capitalised by Shoutback itself: SHOUTCLOUD failed",
  "shoutback": "given before the cache was reached",
};

const SAID = {
  "cache-status": (value) => CACHE_STATUS[value],
  "server-timing": (value) => {
    const parts = [...value.matchAll(/(auth|upstream);dur=([\d.]+)/g)];
    const names = { auth: "checking the token", upstream: "SHOUTCLOUD" };
    return parts.map(([, name, ms]) => `${names[name]} took ${Number(ms).toFixed(1)} ms`).join(", ");
  },
  ratelimit: (value) => {
    const [, left, full] = value.match(/r=(\d+);t=(\d+)/) ?? [];
    return left && `${left} more ${left === "1" ? "request" : "requests"} at once; full again in ${full} s`;
  },
  "retry-after": (value) => `wait ${value} s`,
};

function showFacts(answer) {
  const facts = byId("facts");
  const rows = [];
  for (const name of ["content-type", "cache-status", "server-timing", "ratelimit", "retry-after", "x-request-id"]) {
    const value = answer.headers.get(name);
    if (value !== null) {
      const said = SAID[name]?.(value);
      rows.push([name, [...(said ? [said, " "] : []), element("code", {}, value)]]);
    }
  }
  facts.replaceChildren(...rows.flatMap(([name, parts]) => [element("dt", {}, name), element("dd", {}, ...parts)]));
  facts.hidden = false;
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// --- copying ---

// One button at a time says how it went.
let unsay = () => {};
let soon;

/** Copies `text`; where the browser forbids it, selects what is `shown`, and says what is `missing` from that. */
async function copy(text, button, shown, missing = "") {
  clearTimeout(soon);
  unsay();
  const said = byId("copied");
  const label = button.textContent;
  unsay = () => {
    button.textContent = label;
    said.textContent = "";
    said.className = "unseen";
  };
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    said.textContent = "Copied.";
    soon = setTimeout(unsay, 2000);
  } catch {
    getSelection().selectAllChildren(shown);
    button.textContent = "Not copied, but selected";
    said.textContent = `The browser did not let this page copy. The text is selected: copy it yourself.${missing}`;
    said.className = "hint";
  }
}

function addCopyButtons() {
  for (const code of document.querySelectorAll(".example code")) {
    const heading = code.closest(".example").querySelector("h3");
    const button = element("button", { type: "button" }, "Copy");
    button.setAttribute("aria-label", `Copy the example in ${heading.textContent}`);
    button.addEventListener("click", () => copy(code.textContent, button, code));
    const bar = element("div", { className: "bar" });
    heading.before(bar);
    bar.append(heading, button);
  }
}

// --- the start ---

byId("reading").hidden = true;
byId("trial").hidden = false;
byId("address").textContent = ` (${location.origin})`;
byId("token-part").hidden = auth === "disabled";
byId("paste").open = !cognito;
byId("sign-in").addEventListener("click", beginSignIn);
byId("sign-out").addEventListener("click", signOut);
byId("paste-form").addEventListener("submit", usePasted);
byId("shout").addEventListener("submit", shout);
byId("shout").addEventListener("input", showLine);
byId("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    byId("shout").requestSubmit();
  }
});
byId("copy").addEventListener("click", (event) => copy(byId("curl").textContent, event.currentTarget, byId("curl")));
byId("copy-with-token").addEventListener("click", (event) => {
  const missing = " It takes your token from the variable TOKEN.";
  return copy(curl(request(), token?.value ?? null), event.currentTarget, byId("curl"), missing);
});
// Back from Cognito's page by the browser's own button, with this page as it was.
addEventListener("pageshow", (event) => event.persisted && takeJourney());
addCopyButtons();
showToken();
showLine();
await endSignIn();
