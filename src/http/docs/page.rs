//! The page and its assets: embedded, rendered once, sent with a validator and a policy that lets in nothing else.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

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

use super::super::Public;
use super::super::problem::Kind;
use crate::config::{Auth, Config, SignIn};
use crate::version;

/// What the page loads; each is a route.
pub(in super::super) const ASSETS: [Asset; 3] = [
    Asset {
        path: "/docs/page.css",
        content_type: "text/css; charset=utf-8",
        text: include_str!("page.css"),
    },
    Asset {
        path: "/docs/page.js",
        content_type: "text/javascript; charset=utf-8",
        text: include_str!("page.js"),
    },
    Asset {
        path: "/docs/icon.svg",
        content_type: "image/svg+xml",
        text: include_str!("icon.svg"),
    },
];

/// Programs that make one call; the address and the token come from the environment.
const EXAMPLES: [(&str, &str); 4] = [
    ("curl", include_str!("examples/shout.sh")),
    ("Python", include_str!("examples/shout.py")),
    ("JavaScript", include_str!("examples/shout.mjs")),
    ("Rust", include_str!("examples/shout.rs")),
];

/// A file that is the same in every process of a version.
#[derive(Clone, Copy)]
pub(in super::super) struct Asset {
    pub(in super::super) path: &'static str,
    content_type: &'static str,
    text: &'static str,
}

impl Asset {
    pub(in super::super) fn answer(self, request: &HeaderMap) -> Response {
        File::new(self.content_type, Bytes::from_static(self.text.as_bytes())).answer(request)
    }
}

/// The page of a service with a certain configuration.
pub struct Page {
    file: File,
    policy: HeaderValue,
}

impl Page {
    /// Renders it.
    pub fn new(config: &Config) -> Self {
        let (scopes, sign_in) = match &config.auth {
            Auth::Cognito(cognito) => (Some(cognito.required_scopes.as_slice()), config.sign_in.as_ref()),
            Auth::Disabled => (None, None),
        };
        let html = render(
            scopes,
            sign_in,
            config.http.max_body_bytes,
            config.http.request_timeout,
        );
        Self {
            file: File::new("text/html; charset=utf-8", html.into()),
            policy: policy(sign_in),
        }
    }
}

pub(in super::super) async fn page(State(state): State<Public>, request: HeaderMap) -> Response {
    let mut response = state.page.file.answer(&request);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, state.page.policy.clone());
    // The address holds a code when Cognito sends a reader back.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

fn policy(sign_in: Option<&SignIn>) -> HeaderValue {
    let elsewhere = sign_in.map_or_else(String::new, |sign_in| format!(" {}", sign_in.origin));
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'{elsewhere}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    );
    HeaderValue::from_str(&policy).expect("an origin is ASCII")
}

/// A body and what is said of it.
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

    /// The file, or 304 if that is what the client has. It asks each time: replicas of two versions may answer in turn.
    fn answer(&self, request: &HeaderMap) -> Response {
        let mut response = if self.is_known_to(request) {
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

    /// By the weak comparison that RFC 9110 section 13.1.2 asks for.
    fn is_known_to(&self, request: &HeaderMap) -> bool {
        let tags = request.get_all(IF_NONE_MATCH).iter();
        tags.filter_map(|tags| tags.to_str().ok())
            .flat_map(|tags| tags.split(','))
            .map(str::trim)
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.etag)
    }
}

/// `scopes`: `None` where everybody may call.
fn render(
    scopes: Option<&[String]>,
    sign_in: Option<&SignIn>,
    max_body_bytes: usize,
    request_timeout: Duration,
) -> String {
    static COMMON: LazyLock<String> = LazyLock::new(|| {
        include_str!("page.html")
            .replace("{{version}}", version::VERSION)
            .replace("{{examples}}", &examples())
            .replace("{{problems}}", &problems())
    });
    let (origin, client_id) = sign_in.map_or(("", ""), |sign_in| (&sign_in.origin, &sign_in.client_id));
    let auth = if scopes.is_some() { "cognito" } else { "disabled" };
    let scopes = scopes.unwrap_or_default();
    let named: Vec<_> = scopes
        .iter()
        .map(|scope| format!("<code>{}</code>", escaped(scope)))
        .collect();
    let token = match named.as_slice() {
        [] => String::new(),
        [one] => format!(" with the scope {one}"),
        _ => format!(" with the scopes {}", named.join(" and ")),
    };
    // Last, so that no value is looked through for placeholders but its own.
    COMMON
        .replace("{{auth}}", auth)
        .replace("{{max_body}}", &size(max_body_bytes))
        .replace("{{request_timeout_ms}}", &request_timeout.as_millis().to_string())
        .replace("{{client_id}}", &escaped(client_id))
        .replace("{{sign_in}}", &escaped(origin))
        .replace("{{with_scopes}}", &token)
        .replace("{{scopes}}", &escaped(&scopes.join(" ")))
}

fn size(bytes: usize) -> String {
    match bytes {
        bytes if bytes % (1 << 20) == 0 => format!("{} MiB", bytes >> 20),
        bytes if bytes % (1 << 10) == 0 => format!("{} KiB", bytes >> 10),
        1 => "1 byte".to_owned(),
        bytes => format!("{bytes} bytes"),
    }
}

fn examples() -> String {
    let mut html = String::new();
    for (language, program) in EXAMPLES {
        let (id, program) = (language.to_lowercase(), escaped(program.trim_end()));
        _ = write!(
            html,
            "<div class=\"example\">\n<h3 id=\"in-{id}\">{language}</h3>\n\
             <pre tabindex=\"0\" aria-labelledby=\"in-{id}\" role=\"region\"><code id=\"example-{id}\">{program}</code></pre>\n</div>\n"
        );
    }
    html
}

fn problems() -> String {
    let mut html = String::new();
    for kind in Kind::ALL {
        let (name, status) = (kind.name(), kind.status().as_u16());
        let (title, explanation) = (kind.title(), code_spans(kind.explanation()));
        _ = write!(
            html,
            "<section class=\"problem\" id=\"{name}\">\n\
             <h3>{title} <small>{status} <a href=\"#{name}\">{name}</a></small></h3>\n\
             <p class=\"explanation\">{explanation}</p>\n</section>\n"
        );
    }
    html
}

/// Escapes a text and turns its backquotes into `<code>`.
fn code_spans(text: &str) -> String {
    escaped(text)
        .split('`')
        .enumerate()
        .map(|(index, part)| {
            if index % 2 == 1 {
                format!("<code>{part}</code>")
            } else {
                part.to_owned()
            }
        })
        .collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::header::IF_NONE_MATCH;
    use http::{HeaderMap, HeaderValue};

    use super::{File, Kind, code_spans, render, size};

    #[test]
    fn every_problem_has_a_section() {
        let page = render(Some(&["a/b".to_owned()]), None, 65_536, Duration::from_secs(30));
        for kind in Kind::ALL {
            assert!(
                page.contains(&format!("id=\"{}\"", kind.name())),
                "{}",
                kind.name()
            );
        }
        assert!(!page.contains("{{"), "a placeholder was left");
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(code_spans("a `<b>` & c"), "a <code>&lt;b&gt;</code> &amp; c");
        let page = render(Some(&["\"><script>".to_owned()]), None, 1, Duration::ZERO);
        assert!(!page.contains("\"><script>"));
    }

    #[test]
    fn sizes_are_in_the_unit_that_fits() {
        for (bytes, said) in [
            (1, "1 byte"),
            (1_000, "1000 bytes"),
            (65_536, "64 KiB"),
            (1 << 21, "2 MiB"),
        ] {
            assert_eq!(size(bytes), said);
        }
    }

    #[test]
    fn a_validator_is_found_in_a_list() {
        let file = File::new("text/plain", "hi".into());
        let etag = file.etag.to_str().expect("ASCII").to_owned();
        for (sent, known) in [
            (etag.clone(), true),
            (format!("W/{etag}"), true),
            (format!("\"a\", {etag}"), true),
            ("*".to_owned(), true),
            ("\"a\"".to_owned(), false),
            (etag.trim_matches('"').to_owned(), false),
        ] {
            let mut request = HeaderMap::new();
            request.insert(IF_NONE_MATCH, HeaderValue::from_str(&sent).expect("ASCII"));
            assert_eq!(file.is_known_to(&request), known, "{sent}");
        }
        assert!(!file.is_known_to(&HeaderMap::new()));
    }
}
