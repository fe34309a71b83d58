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

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::super::Emulator;
    use super::super::tests::{start, verify};
    use super::{Url, is_callback};

    const HERE: &str = "http://127.0.0.1:5000/docs";
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    /// The verifier and its challenge are those of RFC 7636, appendix B.
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn client() -> reqwest::Client {
        let builder = reqwest::Client::builder().no_proxy();
        builder
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap()
    }

    fn asked<'a>(emulator: &'a Emulator, change: &[(&'a str, Option<&'a str>)]) -> Vec<(&'a str, &'a str)> {
        let mut query = vec![
            ("response_type", "code"),
            ("client_id", emulator.people_client_id()),
            ("redirect_uri", HERE),
            ("scope", "openid shoutback/shout"),
            ("state", "a b&c"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        for (name, value) in change {
            query.retain(|(other, _)| other != name);
            query.extend(value.map(|value| (*name, value)));
        }
        query
    }

    fn url(emulator: &Emulator, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = Url::parse(&emulator.endpoint()).unwrap();
        url.set_path(path);
        url.query_pairs_mut().extend_pairs(query);
        url
    }

    /// Status and, if there is one, the `location`.
    async fn get(emulator: &Emulator, path: &str, query: &[(&str, &str)]) -> (u16, Option<String>) {
        let response = client().get(url(emulator, path, query)).send().await.unwrap();
        let location = response
            .headers()
            .get("location")
            .map(|to| to.to_str().unwrap().to_owned());
        (response.status().as_u16(), location)
    }

    /// Signs in, and returns the code.
    async fn code(emulator: &Emulator, username: &str) -> String {
        let query = asked(emulator, &[]);
        let (status, login) = get(emulator, "/oauth2/authorize", &query).await;
        assert_eq!(status, 302);
        let login = format!("{}{}", emulator.endpoint(), login.unwrap());
        let page = client().get(&login).send().await.unwrap();
        assert_eq!(page.status(), 200);
        assert!(
            page.text()
                .await
                .unwrap()
                .contains(&format!("value=\"{username}\""))
        );
        let request = client()
            .post(&login)
            .header("content-type", "application/x-www-form-urlencoded");
        let back = request.body(format!("username={username}")).send().await.unwrap();
        assert_eq!(back.status(), 302);
        let back = Url::parse(back.headers()["location"].to_str().unwrap()).unwrap();
        assert!(back.as_str().starts_with(&format!("{HERE}?")));
        let answer: std::collections::HashMap<_, _> = back.query_pairs().into_owned().collect();
        assert_eq!(answer["state"], "a b&c");
        answer["code"].clone()
    }

    async fn redeem(emulator: &Emulator, form: &[(&str, &str)]) -> (u16, Value) {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(form);
        let response = client()
            .post(format!("{}/oauth2/token", emulator.endpoint()))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("origin", "http://127.0.0.1:5000")
            .body(body.finish())
            .send()
            .await
            .unwrap();
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
        let status = response.status().as_u16();
        (
            status,
            serde_json::from_str(&response.text().await.unwrap()).unwrap(),
        )
    }

    fn form<'a>(emulator: &'a Emulator, code: &'a str) -> [(&'static str, &'a str); 5] {
        [
            ("grant_type", "authorization_code"),
            ("client_id", emulator.people_client_id()),
            ("redirect_uri", HERE),
            ("code", code),
            ("code_verifier", VERIFIER),
        ]
    }

    #[tokio::test]
    async fn a_person_gets_tokens_for_a_code() {
        let emulator = start().await;
        let code = code(&emulator, "ada").await;
        let (status, tokens) = redeem(&emulator, &form(&emulator, &code)).await;
        assert_eq!(status, 200, "{tokens}");
        assert_eq!(
            (&tokens["token_type"], &tokens["expires_in"]),
            (&json!("Bearer"), &json!(3600))
        );
        let claims = verify(&emulator, tokens["access_token"].as_str().unwrap())
            .await
            .unwrap();
        assert_eq!(claims["username"], "ada");
        assert_eq!(claims["cognito:groups"], json!(["admin"]));
        assert_eq!(claims["scope"], "openid shoutback/shout");
        assert_eq!(claims["token_use"], "access");
        assert_eq!(claims["client_id"], emulator.people_client_id());
        assert_ne!(claims["sub"], claims["client_id"]);
        assert_eq!(claims.get("aud"), None);
        let id_token = tokens["id_token"].as_str().unwrap().split('.').nth(1).unwrap();
        let id: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(id_token).unwrap()).unwrap();
        assert_eq!(
            (&id["token_use"], &id["cognito:username"]),
            (&json!("id"), &json!("ada"))
        );

        let refresh = [
            ("grant_type", "refresh_token"),
            ("client_id", emulator.people_client_id()),
            ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
        ];
        let (status, again) = redeem(&emulator, &refresh).await;
        assert_eq!(status, 200, "{again}");
        assert_eq!(again.get("refresh_token"), None);
        let fresh = verify(&emulator, again["access_token"].as_str().unwrap())
            .await
            .unwrap();
        assert_eq!(fresh["sub"], claims["sub"]);
        assert_ne!(fresh["jti"], claims["jti"]);
    }

    #[tokio::test]
    async fn whoever_lacks_the_scope_gets_a_token_without_it() {
        let emulator = start().await;
        let code = code(&emulator, "grace").await;
        let (_, tokens) = redeem(&emulator, &form(&emulator, &code)).await;
        let claims = verify(&emulator, tokens["access_token"].as_str().unwrap())
            .await
            .unwrap();
        assert_eq!(claims["scope"], "openid");
        assert_eq!(claims.get("cognito:groups"), None);
    }

    #[tokio::test]
    async fn a_code_is_good_once_and_for_who_asked_for_it() {
        let emulator = start().await;
        let used = code(&emulator, "alan").await;
        assert_eq!(redeem(&emulator, &form(&emulator, &used)).await.0, 200);
        let refused = (400, json!({ "error": "invalid_grant" }));
        assert_eq!(redeem(&emulator, &form(&emulator, &used)).await, refused, "used");
        for (name, value) in [
            ("code_verifier", "another"),
            ("code_verifier", CHALLENGE),
            ("redirect_uri", "http://127.0.0.1:5001/docs"),
            ("code", "another"),
        ] {
            let code = code(&emulator, "alan").await;
            let mut wrong = form(&emulator, &code);
            for pair in wrong.iter_mut().filter(|pair| pair.0 == name) {
                pair.1 = value;
            }
            assert_eq!(redeem(&emulator, &wrong).await, refused, "{name} {value}");
            if name != "code" {
                let right = redeem(&emulator, &form(&emulator, &code)).await;
                assert_eq!(right, refused, "{name}: it was tried already");
            }
        }
        let code = code(&emulator, "alan").await;
        for (name, value, error) in [
            ("code_verifier", "", "invalid_request"),
            ("redirect_uri", "", "invalid_request"),
            ("code", "", "invalid_request"),
            ("client_id", "", "invalid_request"),
            ("client_id", "another", "invalid_client"),
            ("client_id", &emulator.client().id, "invalid_client"),
        ] {
            let mut wrong = form(&emulator, &code);
            for pair in wrong.iter_mut().filter(|pair| pair.0 == name) {
                pair.1 = value;
            }
            let refused = (400, json!({ "error": error }));
            assert_eq!(redeem(&emulator, &wrong).await, refused, "{name} {value:?}");
        }
        let unknown = [
            ("grant_type", "refresh_token"),
            ("client_id", emulator.people_client_id()),
            ("refresh_token", "another"),
        ];
        assert_eq!(redeem(&emulator, &unknown).await, refused);
    }

    #[tokio::test]
    async fn a_client_that_is_known_is_told_what_it_asked_wrongly() {
        let emulator = start().await;
        for (name, value, error) in [
            ("response_type", Some("token"), "unsupported_response_type"),
            ("response_type", None, "unsupported_response_type"),
            ("scope", Some("openid shoutback/whisper"), "invalid_request"),
            ("code_challenge", None, "invalid_request"),
            ("code_challenge", Some("short"), "invalid_request"),
            ("code_challenge_method", None, "invalid_request"),
            ("code_challenge_method", Some("plain"), "invalid_request"),
        ] {
            for path in ["/oauth2/authorize", "/login"] {
                let (status, back) = get(&emulator, path, &asked(&emulator, &[(name, value)])).await;
                let back = back.unwrap_or_default();
                assert_eq!(status, 302, "{path} {name} {value:?}");
                assert!(back.starts_with(&format!("{HERE}?error={error}&")), "{back}");
                assert!(back.ends_with("&state=a+b%26c"), "{back}");
            }
        }
    }

    #[tokio::test]
    async fn nobody_is_sent_to_an_address_that_is_not_the_clients() {
        let emulator = start().await;
        for (name, value) in [
            ("client_id", None),
            ("client_id", Some(emulator.client().id.as_str())),
            ("redirect_uri", None),
            ("redirect_uri", Some("https://evil.example/docs")),
        ] {
            for path in ["/oauth2/authorize", "/login"] {
                let answer = get(&emulator, path, &asked(&emulator, &[(name, value)])).await;
                assert_eq!(answer, (400, None), "{path} {name} {value:?}");
            }
        }
        let people = ("client_id", emulator.people_client_id());
        for (to, expected) in [
            (HERE, (302, Some(HERE.to_owned()))),
            ("https://evil.example/docs", (400, None)),
        ] {
            assert_eq!(
                get(&emulator, "/logout", &[people, ("logout_uri", to)]).await,
                expected
            );
        }
        assert_eq!(
            get(&emulator, "/logout", &[("logout_uri", HERE)]).await,
            (400, None)
        );
    }

    #[test]
    fn callbacks_are_pages_of_this_machine() {
        for uri in [HERE, "http://localhost:8080/docs", "http://[::1]:5000/docs"] {
            assert!(is_callback(uri), "{uri}");
        }
        for uri in [
            "",
            "/docs",
            "http://127.0.0.1:5000/",
            "http://127.0.0.1:5000/docs/",
            "http://127.0.0.1:5000/docs?a=b",
            "http://127.0.0.1:5000/docs#a",
            "http://user@127.0.0.1:5000/docs",
            "http://127.0.0.1.example.com/docs",
            "javascript:alert(1)//docs",
        ] {
            assert!(!is_callback(uri), "{uri}");
        }
    }
}
