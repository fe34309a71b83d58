//! The page `/docs` and its assets, and the OpenAPI document: embedded, rendered once at startup, and served with an `etag`. The
//! content security policy of the page allows nothing else to be loaded.

use std::sync::Arc;

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use utoipa::openapi::OpenApi;

use super::problem::Kind;
use crate::config::{Auth, Config, SignIn};
use crate::version;

const STYLESHEET: Asset = Asset {
    content_type: "text/css; charset=utf-8",
    text: include_str!("docs/page.css"),
};
const SCRIPT: Asset = Asset {
    content_type: "text/javascript; charset=utf-8",
    text: include_str!("docs/page.js"),
};
const ICON: Asset = Asset {
    content_type: "image/svg+xml",
    text: include_str!("docs/icon.svg"),
};

/// Example programs that make one request. They read the URL and the token from the environment.
const EXAMPLES: [(&str, &str); 4] = [
    ("curl", include_str!("docs/examples/shout.sh")),
    ("Python", include_str!("docs/examples/shout.py")),
    ("JavaScript", include_str!("docs/examples/shout.mjs")),
    ("Rust", include_str!("docs/examples/shout.rs")),
];

/// A static file of the page.
struct Asset {
    content_type: &'static str,
    text: &'static str,
}

impl Asset {
    fn respond(&self, request: &HeaderMap) -> Response {
        File::new(self.content_type, Bytes::from_static(self.text.as_bytes())).respond(request)
    }
}

/// The page `/docs` and the OpenAPI document, rendered for a configuration.
pub struct Page {
    file: File,
    openapi: File,
    policy: HeaderValue,
}

impl Page {
    /// Renders both; `document` is the OpenAPI document.
    pub fn new(config: &Config, document: &OpenApi) -> Self {
        let (auth, scopes, sign_in) = match &config.auth {
            Auth::Cognito(cognito) => (
                "cognito",
                cognito.required_scopes.as_slice(),
                config.sign_in.as_ref(),
            ),
            Auth::Disabled => ("disabled", [].as_slice(), None),
        };
        let (sign_in_origin, client_id) =
            sign_in.map_or(("", ""), |sign_in| (&sign_in.origin, &sign_in.client_id));
        let template = PageTemplate {
            auth,
            scopes,
            sign_in_origin,
            client_id,
            max_body: format_size(config.http.max_body_bytes),
            request_timeout_ms: config.http.request_timeout.as_millis(),
        };
        let html = template.render().expect("writing to a string never fails");
        let openapi = document.to_json().expect("the document is JSON");
        Self {
            openapi: File::new("application/json", openapi.into()),
            file: File::new("text/html; charset=utf-8", html.into()),
            policy: content_security_policy(sign_in),
        }
    }
}

pub(super) async fn page(State(page): State<Arc<Page>>, request: HeaderMap) -> Response {
    let mut response = page.file.respond(&request);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, page.policy.clone());
    // The URL contains an authorization code when Cognito redirects the user back.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

pub(super) async fn openapi(State(page): State<Arc<Page>>, request: HeaderMap) -> Response {
    page.openapi.respond(&request)
}

pub(super) async fn stylesheet(request: HeaderMap) -> Response {
    STYLESHEET.respond(&request)
}

pub(super) async fn script(request: HeaderMap) -> Response {
    SCRIPT.respond(&request)
}

pub(super) async fn icon(request: HeaderMap) -> Response {
    ICON.respond(&request)
}

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

fn content_security_policy(sign_in: Option<&SignIn>) -> HeaderValue {
    let cognito = sign_in.map_or_else(String::new, |sign_in| format!(" {}", sign_in.origin));
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'{cognito}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    );
    HeaderValue::from_str(&policy).expect("an origin is ASCII")
}

/// A body with its content type and `etag`.
struct File {
    content_type: &'static str,
    body: Bytes,
    etag: HeaderValue,
}

impl File {
    fn new(content_type: &'static str, body: Bytes) -> Self {
        let hash = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &body));
        Self {
            content_type,
            etag: HeaderValue::from_str(&format!("\"{hash}\"")).expect("base64 is ASCII"),
            body,
        }
    }

    /// Returns the file, or 304 if the client has it. `no-cache` makes clients revalidate each time, because during a rollout
    /// replicas of two versions respond in turn.
    fn respond(&self, request: &HeaderMap) -> Response {
        let mut response = if self.matches(request) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let mut response = Response::new(Body::from(self.body.clone()));
            let content_type = HeaderValue::from_static(self.content_type);
            response.headers_mut().insert(CONTENT_TYPE, content_type);
            response
        };
        let headers = response.headers_mut();
        headers.insert(ETAG, self.etag.clone());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }

    /// Evaluates `if-none-match`, with the weak comparison of RFC 9110 section 13.1.2.
    fn matches(&self, request: &HeaderMap) -> bool {
        let tags = request.get_all(IF_NONE_MATCH).iter();
        tags.filter_map(|tags| tags.to_str().ok())
            .flat_map(|tags| tags.split(','))
            .map(str::trim)
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.etag)
    }
}

/// The page `/docs`, except for what is the same in every process.
#[derive(Template)]
#[template(path = "http/docs/page.html", config = "src/askama.toml")]
struct PageTemplate<'a> {
    /// The value of `AUTH_MODE`.
    auth: &'static str,
    /// Required scopes; none if authentication is disabled.
    scopes: &'a [String],
    sign_in_origin: &'a str,
    client_id: &'a str,
    max_body: String,
    request_timeout_ms: u128,
}

fn format_size(bytes: usize) -> String {
    match bytes {
        bytes if bytes % (1 << 20) == 0 => format!("{} MiB", bytes >> 20),
        bytes if bytes % (1 << 10) == 0 => format!("{} KiB", bytes >> 10),
        1 => "1 byte".to_owned(),
        bytes => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use askama::Template as _;
    use http::header::IF_NONE_MATCH;
    use http::{HeaderMap, HeaderValue};

    use super::{File, Kind, PageTemplate, format_size};

    fn render(scopes: &[&str]) -> String {
        let scopes: Vec<_> = scopes.iter().map(ToString::to_string).collect();
        let template = PageTemplate {
            auth: "cognito",
            scopes: &scopes,
            sign_in_origin: "",
            client_id: "",
            max_body: format_size(65_536),
            request_timeout_ms: 30_000,
        };
        template.render().expect("a page")
    }

    #[test]
    fn every_problem_has_a_section() {
        let page = render(&["a/b"]);
        for kind in Kind::ALL {
            assert!(
                page.contains(&format!("id=\"{}\"", kind.name())),
                "{}",
                kind.name()
            );
        }
        assert!(!page.contains("{{") && !page.contains("{%"), "a tag was left");
    }

    #[test]
    fn text_is_escaped() {
        let page = render(&["\"><script>"]);
        assert!(!page.contains("\"><script>"));
        assert!(page.contains("<code>&#34;&#62;&#60;script&#62;</code>"));
        assert!(
            page.contains("<code>authorization: Bearer &#60;token&#62;</code>"),
            "text between backquotes is code"
        );
    }

    #[test]
    fn scopes_are_listed() {
        for (scopes, expected) in [
            (&[][..], "access token. "),
            (&["a"], "access token with the scope <code>a</code>. "),
            (
                &["a", "b"],
                "access token with the scopes <code>a</code> and <code>b</code>. ",
            ),
        ] {
            assert!(render(scopes).contains(expected), "{scopes:?}");
        }
    }

    #[test]
    fn sizes_have_the_largest_unit_that_divides_them() {
        for (bytes, expected) in [
            (1, "1 byte"),
            (1_000, "1000 bytes"),
            (65_536, "64 KiB"),
            (1 << 21, "2 MiB"),
        ] {
            assert_eq!(format_size(bytes), expected);
        }
    }

    #[test]
    fn an_etag_is_found_in_a_list() {
        let file = File::new("text/plain", "hi".into());
        let etag = file.etag.to_str().expect("ASCII").to_owned();
        for (sent, matches) in [
            (etag.clone(), true),
            (format!("W/{etag}"), true),
            (format!("\"a\", {etag}"), true),
            ("*".to_owned(), true),
            ("\"a\"".to_owned(), false),
            (etag.trim_matches('"').to_owned(), false),
        ] {
            let mut request = HeaderMap::new();
            request.insert(IF_NONE_MATCH, HeaderValue::from_str(&sent).expect("ASCII"));
            assert_eq!(file.matches(&request), matches, "{sent}");
        }
        assert!(!file.matches(&HeaderMap::new()));
    }
}
