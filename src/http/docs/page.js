// The interactive part of /docs. It loads nothing from other origins, stores only the state of a sign-in while it is in progress,
// and never creates HTML from text.

const { auth, signIn: cognito, clientId, scopes, requestTimeoutMs } = document.body.dataset;
const byId = (id) => document.getElementById(id);
const redirectUri = `${location.origin}/docs`;

// The service responds within its own timeout; a response that takes this much longer was lost on the network.
const TIMEOUT_MS = Number(requestTimeoutMs) + 30_000;

// --- token ---

// Stored in this variable only, not in sessionStorage, so that nothing that is loaded into this tab later can read it. A reload
// therefore requires a new sign-in, which is one click thanks to Cognito's own session. Refresh tokens are not stored at all.
let token = null;

function setToken(value, signedIn = false) {
  token = value === null ? null : { value, signedIn, ...claimsOf(value) };
  showToken();
}

/** Extracts claims for display. The token is not verified here; the service does that. */
function claimsOf(value) {
  try {
    const part = value.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(part), (c) => c.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return {
      subject: claims.username ?? claims["cognito:username"] ?? claims.client_id,
      isUser: "username" in claims,
      isIdToken: claims.token_use === "id",
      expires: Number.isFinite(claims.exp) ? new Date(claims.exp * 1000) : null,
    };
  } catch {
    return {};
  }
}

function showToken(error = "") {
  // A rejected token stays visible, and can be signed out of, but another one can be entered.
  const isUsable = token !== null && !token.rejected;
  byId("sign-in").hidden = !cognito || isUsable;
  byId("sign-out").hidden = token === null;
  byId("sign-out").textContent = token?.signedIn ? "Sign out" : "Discard token";
  byId("paste").hidden = isUsable;
  byId("copy-with-token").hidden = token === null;
  const who = byId("who");
  if (error) {
    who.textContent = error;
  } else if (token === null) {
    who.textContent = cognito
      ? "Not signed in. Without a token the response is 401."
      : "No token. Without one the response is 401.";
  } else {
    who.textContent = describeToken(token);
  }
}

function describeToken({ subject, isUser, isIdToken, expires, signedIn, rejected }) {
  if (isIdToken) {
    return "This is an ID token. The API requires an access token and rejects this one.";
  }
  if (!subject) {
    return "The token does not look like a Cognito token.";
  }
  const prefix = signedIn ? "Signed in as" : isUser ? "Token of user" : "Token of client";
  if (expires && expires <= new Date()) {
    return `${prefix} ${subject}. The token expired at ${time(expires)}: get a new one.`;
  }
  if (rejected) {
    return `${prefix} ${subject}. The service rejected this token: get a new one.`;
  }
  return expires ? `${prefix} ${subject}, valid until ${time(expires)}.` : `${prefix} ${subject}.`;
}

function time(date) {
  const parts = { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" };
  return date.toLocaleString([], { ...parts, timeZoneName: "short" });
}

function usePastedToken(event) {
  event.preventDefault();
  const pasted = byId("token").value.trim().replace(/^(authorization: *)?bearer +/i, "");
  if (!/^[\x21-\x7e]+$/.test(pasted)) {
    showToken(pasted ? "This is not a token: it contains spaces or other invalid characters." : "Paste a token first.");
    byId("token").focus();
    return;
  }
  byId("token").value = "";
  setToken(pasted);
  byId("text").focus();
}

// --- sign-in: authorization code with PKCE (RFC 7636), by a public client ---

// The only data in sessionStorage, while the user is on Cognito's pages: the state, the verifier (useless without the code) and
// the text. It is removed as soon as the user returns, whether or not the sign-in succeeded.
const STORAGE_KEY = "shoutback-sign-in";

function takeSignInState() {
  try {
    const stored = sessionStorage.getItem(STORAGE_KEY);
    sessionStorage.removeItem(STORAGE_KEY);
    return JSON.parse(stored);
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

async function startSignIn() {
  if (!globalThis.crypto?.subtle) {
    showToken("Sign-in requires https. Paste a token instead.");
    return;
  }
  const pending = { state: random(), verifier: random(), text: byId("text").value };
  const challenge = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(pending.verifier));
  try {
    sessionStorage.setItem(STORAGE_KEY, JSON.stringify(pending));
  } catch {
    showToken("Sign-in requires session storage, which the browser blocks. Allow it, or paste a token instead.");
    return;
  }
  const query = new URLSearchParams({
    response_type: "code",
    client_id: clientId,
    redirect_uri: redirectUri,
    scope: ["openid", ...scopes.split(" ").filter(Boolean)].join(" "),
    state: pending.state,
    code_challenge: base64url(new Uint8Array(challenge)),
    code_challenge_method: "S256",
  });
  location.assign(`${cognito}/oauth2/authorize?${query}`);
}

/** Completes the sign-in if Cognito redirected the user to this page. */
async function completeSignIn() {
  const query = new URLSearchParams(location.search);
  const pending = takeSignInState();
  if (pending) {
    byId("text").value = pending.text;
    showCommand();
  }
  if (!query.has("code") && !query.has("error")) {
    return;
  }
  // Code and state are for one use, and must not stay in the history.
  history.replaceState(null, "", `/docs${location.hash}`);
  if (!cognito || !pending || query.get("state") !== pending.state) {
    showToken("The sign-in was not started on this page and was ignored. Sign in again.");
    return;
  }
  if (query.has("error")) {
    const reason = query.get("error_description") ?? query.get("error");
    showToken(`Cognito did not sign you in (${reason}). Sign in again; if the problem persists, contact the operator of this service.`);
    return;
  }
  byId("who").textContent = "Signing in…";
  try {
    const response = await fetch(`${cognito}/oauth2/token`, {
      method: "POST",
      body: new URLSearchParams({
        grant_type: "authorization_code",
        client_id: clientId,
        code: query.get("code"),
        redirect_uri: redirectUri,
        code_verifier: pending.verifier,
      }),
      credentials: "omit",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const { access_token: accessToken } = await response.json();
    if (!response.ok || !accessToken) {
      showToken("Cognito did not issue a token for this sign-in. Sign in again.");
      return;
    }
    setToken(accessToken, true);
    byId("try").scrollIntoView();
    byId("send").focus();
  } catch {
    showToken("Cognito is unreachable. Sign in again.");
  }
}

function signOut() {
  const signedIn = token?.signedIn;
  setToken(null);
  if (signedIn) {
    const query = new URLSearchParams({ client_id: clientId, logout_uri: redirectUri });
    location.assign(`${cognito}/logout?${query}`);
  } else {
    byId(cognito ? "sign-in" : "token").focus();
  }
}

// --- request ---

function request() {
  const text = byId("text").value;
  const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;
  const headers = { "content-type": chosen("format") };
  if (chosen("accept")) {
    headers.accept = chosen("accept");
  }
  if (byId("no-cache").checked) {
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

function showCommand() {
  byId("curl").textContent = curl(request(), null);
  byId("command").hidden = false;
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
  const started = performance.now();
  let response, body;
  try {
    response = await fetch("/v1", {
      method: "POST",
      headers,
      body: sent.body,
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    body = await response.text();
  } catch {
    byId("headers").hidden = true;
    showError("No response", [
      "The service is unreachable, or the connection was lost. Check that you are online and retry; if the problem persists, contact the operator of this service.",
    ]);
    return;
  }
  const took = Math.max(1, Math.round(performance.now() - started));
  const type = response.headers.get("content-type") ?? "";
  const read = type.endsWith("json") ? parsed(body) : null;
  if (response.ok && (typeof read?.data === "string" || type.startsWith("text/plain"))) {
    success(response, read?.data ?? body, read && body, took);
  } else if (type === "application/problem+json" && typeof read?.detail === "string") {
    failure(read, response, took);
  } else {
    showError(`${response.status}, in ${took} ms`, [
      "This response is not from Shoutback, but from a proxy or another server. Wait and retry; if the problem persists, contact the operator of this service.",
    ]);
  }
  showHeaders(response);
}

function parsed(json) {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}

function success(response, shouted, json, took) {
  const verdict = element("p", { className: "verdict" }, `${response.status} OK, in ${took} ms`);
  const text = element("pre", { className: "shouted", id: "shouted" }, shouted === "" ? "(empty)" : shouted);
  const parts = [verdict, text];
  if (json) {
    parts.push(element("p", { className: "hint" }, "Raw response: ", element("code", {}, json)));
  }
  byId("response").replaceChildren(...parts);
}

/** Problems of the ingress may not have a section on this page. */
function failure(problem, response, took) {
  const name = String(problem.type).split("#")[1] ?? "";
  if (name === "unauthenticated" && token) {
    token.rejected = true;
    showToken();
  }
  const explanation = byId(name)?.querySelector(".explanation");
  const next = nextStep(name, response.headers.get("retry-after"));
  const parts = next ? [element("strong", {}, next)] : [];
  parts.push(codeSpans(sentence(problem.detail)));
  if (explanation) {
    // That of a 401 repeats, for programs, what people do on this page.
    if (name !== "unauthenticated") {
      parts.push([...explanation.cloneNode(true).childNodes]);
    }
    parts.push([element("a", { href: `#${name}` }, `About ${name}`), ` · request ${response.headers.get("x-request-id")}`]);
  }
  showError(`${problem.title} (${response.status}), in ${took} ms`, parts);
}

/** Returns what to do on this page, if that is more than the explanation says. */
function nextStep(name, retryAfter) {
  if (name === "unauthenticated") {
    return cognito ? "Sign in above, or paste a token, then retry." : "Paste a token above, then retry.";
  }
  if (retryAfter) {
    return `Retry in ${retryAfter} ${retryAfter === "1" ? "second" : "seconds"}.`;
  }
  return "";
}

function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

/** Turns text between backquotes into code elements. */
function codeSpans(text) {
  return text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}

/** Shows an error; each of `parts` becomes a paragraph. */
function showError(verdict, parts) {
  const box = element("div", { className: "error" }, element("p", { className: "verdict" }, verdict));
  for (const part of parts) {
    box.append(element("p", {}, ...[part].flat()));
  }
  byId("response").replaceChildren(box);
}

// --- response headers ---

const CACHE_STATUSES = {
  "shoutback; fwd=miss; stored": "fetched and cached",
  "shoutback; fwd=miss": "fetched, not cached",
  "shoutback; hit": "from the cache",
  "shoutback; fwd=miss; collapsed": "shared with an identical request in flight",
  "shoutback; hit; detail=shared": "from the cache that replicas share",
  "shoutback; hit; detail=stale-if-error": "stale, from the cache: SHOUTCLOUD failed",
  "shoutback; fwd=request; stored": "cache bypassed as requested; fetched and cached",
  "shoutback; fwd=request": "cache bypassed as requested; fetched",
  "shoutback; fwd=bypass": "cache bypassed, not cached",
  "shoutback; fwd=miss; detail=local-fallback": "upper-cased by Shoutback itself: SHOUTCLOUD failed",
  "shoutback; fwd=request; detail=local-fallback": "cache bypassed as requested; upper-cased by Shoutback itself: SHOUTCLOUD failed",
  "shoutback; fwd=bypass; detail=local-fallback": "cache bypassed; upper-cased by Shoutback itself: SHOUTCLOUD failed",
  "shoutback": "the cache was not reached",
};

const EXPLANATIONS = {
  "cache-status": (value) => CACHE_STATUSES[value],
  "server-timing": (value) => {
    const parts = [...value.matchAll(/(auth|upstream);dur=([\d.]+)/g)];
    const names = { auth: "verifying the token", upstream: "SHOUTCLOUD" };
    return parts.map(([, name, ms]) => `${names[name]} took ${Number(ms).toFixed(1)} ms`).join(", ");
  },
  ratelimit: (value) => {
    const [, remaining, full] = value.match(/r=(\d+);t=(\d+)/) ?? [];
    return remaining && `${remaining} ${remaining === "1" ? "request" : "requests"} remaining; replenished in ${full} s`;
  },
  "retry-after": (value) => `wait ${value} s`,
};

function showHeaders(response) {
  const list = byId("headers");
  const rows = [];
  for (const name of ["content-type", "cache-status", "server-timing", "ratelimit", "retry-after", "x-request-id"]) {
    const value = response.headers.get(name);
    if (value !== null) {
      const explanation = EXPLANATIONS[name]?.(value);
      rows.push([name, [...(explanation ? [explanation, " "] : []), element("code", {}, value)]]);
    }
  }
  list.replaceChildren(...rows.flatMap(([name, parts]) => [element("dt", {}, name), element("dd", {}, ...parts)]));
  list.hidden = false;
}

function element(name, properties = {}, ...children) {
  const created = Object.assign(document.createElement(name), properties);
  created.append(...children);
  return created;
}

// --- copy buttons ---

// Only the last button pressed shows its result.
let reset = () => {};
let resetTimer;

/** Copies `text`. If the browser forbids that, selects the element `shown` and displays `hint`. */
async function copy(text, button, shown, hint = "") {
  clearTimeout(resetTimer);
  reset();
  const status = byId("copied");
  const label = button.textContent;
  reset = () => {
    button.textContent = label;
    status.textContent = "";
    status.className = "visually-hidden";
  };
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    status.textContent = "Copied.";
    resetTimer = setTimeout(reset, 2000);
  } catch {
    getSelection().selectAllChildren(shown);
    button.textContent = "Selected, not copied";
    status.textContent = `The browser blocked copying. The text is selected: copy it manually.${hint}`;
    status.className = "hint";
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

// --- initialization ---

byId("reading").hidden = true;
byId("trial").hidden = false;
byId("address").textContent = ` (${location.origin})`;
byId("token-part").hidden = auth === "disabled";
byId("paste").open = !cognito;
byId("sign-in").addEventListener("click", startSignIn);
byId("sign-out").addEventListener("click", signOut);
byId("paste-form").addEventListener("submit", usePastedToken);
byId("shout").addEventListener("submit", shout);
byId("shout").addEventListener("input", showCommand);
byId("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    byId("shout").requestSubmit();
  }
});
byId("copy").addEventListener("click", (event) => copy(byId("curl").textContent, event.currentTarget, byId("curl")));
byId("copy-with-token").addEventListener("click", (event) => {
  const hint = " It reads the token from the environment variable TOKEN.";
  return copy(curl(request(), token?.value ?? null), event.currentTarget, byId("curl"), hint);
});
// The user returned from Cognito with the browser's back button, and the page was restored from the back/forward cache.
addEventListener("pageshow", (event) => event.persisted && takeSignInState());
addCopyButtons();
showToken();
showCommand();
await completeSignIn();
