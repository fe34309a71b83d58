//! The pages on which people sign in and out: the authorization endpoint (RFC 6749 section 4.1, RFC 7636) and what it leads to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, StatusCode};
use url::{Host, Url, form_urlencoded};

use super::people::{Code, Grant, PEOPLE};
use super::pool::{PEOPLES_SCOPES, Pool, SCOPE, now};

/// What the page that sends somebody here asks for.
struct Request {
    redirect_uri: String,
    state: Option<String>,
    scopes: Vec<String>,
    challenge: String,
}

/// Why nobody is asked to sign in.
enum Refusal {
    /// Nobody knows that this address is the client's, so the person is told.
    Here(&'static str),
    /// The client is told.
    There {
        redirect_uri: String,
        state: Option<String>,
        error: &'static str,
        description: &'static str,
    },
}

type Parameters = BTreeMap<String, String>;

/// One that occurs twice counts as left out.
fn parameters(encoded: &[u8]) -> Parameters {
    let mut parameters = Parameters::new();
    for (name, value) in form_urlencoded::parse(encoded) {
        let twice = parameters
            .insert(name.clone().into_owned(), value.into_owned())
            .is_some();
        if twice {
            parameters.insert(name.into_owned(), String::new());
        }
    }
    parameters.retain(|_, value| !value.is_empty());
    parameters
}

impl Request {
    fn read(pool: &Pool, query: &str) -> Result<Self, Refusal> {
        let mut query = parameters(query.as_bytes());
        if query.get("client_id") != Some(&pool.people_client_id) {
            return Err(Refusal::Here("client_id is not that of the client for people."));
        }
        let redirect_uri = query
            .remove("redirect_uri")
            .filter(|uri| is_callback(uri))
            .ok_or(Refusal::Here(
                "redirect_uri is not one of the client's callbacks.",
            ))?;
        let state = query.remove("state");
        let refused = |error, description| Refusal::There {
            redirect_uri: redirect_uri.clone(),
            state: state.clone(),
            error,
            description,
        };
        if query.get("response_type").map(String::as_str) != Some("code") {
            return Err(refused("unsupported_response_type", "response_type must be code"));
        }
        let scopes = query
            .get("scope")
            .map_or(PEOPLES_SCOPES.to_vec(), |scopes| scopes.split(' ').collect());
        if scopes.iter().any(|scope| !PEOPLES_SCOPES.contains(scope)) {
            return Err(refused("invalid_request", "invalid_scope"));
        }
        let scopes = scopes.into_iter().map(str::to_owned).collect();
        if query.get("code_challenge_method").map(String::as_str) != Some("S256") {
            return Err(refused("invalid_request", "code_challenge_method must be S256"));
        }
        let challenge = query
            .remove("code_challenge")
            .filter(|challenge| is_challenge(challenge))
            .ok_or_else(|| refused("invalid_request", "code_challenge is needed"))?;
        Ok(Self {
            redirect_uri,
            state,
            scopes,
            challenge,
        })
    }

    /// The person has signed in: back to where they came from, with a code.
    fn granted(self, pool: &Pool, username: &str) -> Option<Response> {
        let person = PEOPLE.iter().find(|person| person.username == username)?;
        let mut scopes = self.scopes;
        scopes.retain(|scope| scope != SCOPE || person.may_shout);
        let code = pool.desk.leave(Code {
            grant: Grant {
                person,
                scopes,
                signed_in_at: now(),
            },
            redirect_uri: self.redirect_uri.clone(),
            challenge: self.challenge,
            issued: Instant::now(),
        });
        Some(back(
            &self.redirect_uri,
            self.state.as_deref(),
            &[("code", &code)],
        ))
    }
}

/// Base64url of SHA-256.
fn is_challenge(challenge: &str) -> bool {
    challenge.len() == 43
        && challenge
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Any service of this machine has its page there.
fn is_callback(uri: &str) -> bool {
    let Ok(url) = Url::parse(uri) else { return false };
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    };
    let is_page = url.path() == "/docs" && url.query().is_none() && url.fragment().is_none();
    is_here && is_page && url.scheme() == "http" && url.username().is_empty() && url.password().is_none()
}

impl Refusal {
    fn answer(self) -> Response {
        match self {
            Self::Here(why) => page(
                StatusCode::BAD_REQUEST,
                &format!("<h1>No sign-in</h1><p>{why}</p>"),
            ),
            Self::There {
                redirect_uri,
                state,
                error,
                description,
            } => {
                let more = [("error", error), ("error_description", description)];
                back(&redirect_uri, state.as_deref(), &more)
            }
        }
    }
}

pub(super) async fn authorize(State(pool): State<Arc<Pool>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    match Request::read(&pool, &query) {
        Ok(_) => to(&format!("/login?{query}")),
        Err(refusal) => refusal.answer(),
    }
}

pub(super) async fn login(State(pool): State<Arc<Pool>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    if let Err(refusal) = Request::read(&pool, &query) {
        return refusal.answer();
    }
    let query = query
        .replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;");
    let mut people = String::new();
    for person in &PEOPLE {
        let (username, about) = (person.username, person.about);
        _ = write!(
            people,
            "<p><button name=\"username\" value=\"{username}\">{username}</button> <span>{about}</span></p>"
        );
    }
    let body = format!(
        "<h1>Sign in</h1><p>This is the emulator of Amazon Cognito. It asks nobody for a password: choose who you are.</p>\
         <form method=\"post\" action=\"/login?{query}\">{people}</form>"
    );
    page(StatusCode::OK, &body)
}

pub(super) async fn chosen(
    State(pool): State<Arc<Pool>>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    let request = match Request::read(&pool, &query.unwrap_or_default()) {
        Ok(request) => request,
        Err(refusal) => return refusal.answer(),
    };
    let form = parameters(&body);
    let username = form.get("username").map_or("", String::as_str);
    request
        .granted(&pool, username)
        .unwrap_or_else(|| Refusal::Here("There is nobody of that name.").answer())
}

/// There is no session to end: everybody is asked each time.
pub(super) async fn logout(State(pool): State<Arc<Pool>>, RawQuery(query): RawQuery) -> Response {
    let query = parameters(query.unwrap_or_default().as_bytes());
    if query.get("client_id") != Some(&pool.people_client_id) {
        return Refusal::Here("client_id is not that of the client for people.").answer();
    }
    match query.get("logout_uri").filter(|uri| is_callback(uri)) {
        Some(uri) => to(uri),
        None => Refusal::Here("logout_uri is not one of the client's.").answer(),
    }
}

fn back(redirect_uri: &str, state: Option<&str>, more: &[(&str, &str)]) -> Response {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(more);
    if let Some(state) = state {
        query.append_pair("state", state);
    }
    to(&format!("{redirect_uri}?{}", query.finish()))
}

fn to(location: &str) -> Response {
    let mut response = StatusCode::FOUND.into_response();
    match HeaderValue::from_str(location) {
        Ok(location) => {
            response.headers_mut().insert(LOCATION, location);
            response
        }
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

fn page(status: StatusCode, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>Sign in</title>\
         <style>body{{font:1rem/1.6 system-ui,sans-serif;max-width:26rem;margin:12vh auto;padding:0 1rem}}\
         button{{font:inherit;min-width:6rem;padding:.5rem 1rem;margin-right:.75rem}}</style></head><body><main>{body}</main></body></html>"
    );
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
