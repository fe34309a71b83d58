//! The page `/docs`: sign-in by Cognito.

use super::auth::{Auth, is_client_id};
use super::reader::{Reader, UNSET};
use super::url::{is_loopback, parse_url};
use super::value_parser::{ValueParser, is_none};

/// The Cognito domain and app client with which users sign in on `/docs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// The origin of the user pool's domain, such as `https://shoutback.auth.eu-central-1.amazoncognito.com`.
    pub origin: String,
    /// A public app client, which has no secret.
    pub client_id: String,
}

impl SignIn {
    /// Returns `None` if sign-in is not configured; users can then only paste a token.
    pub(super) fn read(reader: &mut Reader<'_>, auth: &Auth) -> Option<Self> {
        let origin = reader.optional(
            "DOCS_COGNITO_DOMAIN",
            UNSET,
            cognito_domain(),
            "Domain of the user pool, for sign-in on /docs. If it is not set, users can only paste a token.",
        );
        let client_id = reader.optional(
            "DOCS_CLIENT_ID",
            UNSET,
            ValueParser::new("an app client id", |id| {
                (is_client_id(id) && !is_none(id)).then(|| id.to_owned())
            }),
            "App client for sign-in on /docs: a public client with PKCE and the callback URL https://HOST/docs, one of COGNITO_CLIENT_IDS.",
        );
        reader.conflict(
            ["DOCS_COGNITO_DOMAIN", "DOCS_CLIENT_ID"],
            client_id.is_some() && origin.is_none(),
            "is required if DOCS_CLIENT_ID is set",
        );
        reader.conflict(
            ["DOCS_CLIENT_ID", "DOCS_COGNITO_DOMAIN"],
            origin.is_some() && client_id.is_none(),
            "is required if DOCS_COGNITO_DOMAIN is set",
        );
        if let (Auth::Cognito(cognito), Some(id)) = (auth, &client_id) {
            reader.conflict(
                ["DOCS_CLIENT_ID", "COGNITO_CLIENT_IDS"],
                !cognito.client_ids.is_empty() && !cognito.client_ids.contains(id),
                "must be one of COGNITO_CLIENT_IDS, or its tokens are rejected",
            );
        }
        Some(Self {
            origin: origin?,
            client_id: client_id?,
        })
    }
}

/// Accepts an origin that a content security policy can contain. IPv6 addresses are not part of its grammar.
fn cognito_domain() -> ValueParser<String> {
    ValueParser::new(
        "a host name such as shoutback.auth.eu-central-1.amazoncognito.com (on loopback a URL: http://127.0.0.1:5002)",
        |text| {
            if let Some(rest) = text.strip_prefix("http://") {
                let url = parse_url(text).filter(is_loopback)?;
                let plain = !rest.contains(['/', '?', '[']);
                return plain.then(|| url.origin().ascii_serialization());
            }
            is_host_name(text).then(|| format!("https://{text}"))
        },
    )
}

fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(fits)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let has_letters = text
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().any(|byte| byte.is_ascii_lowercase()));
    text.len() <= 253 && text.contains('.') && has_letters && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::cognito_domain;

    #[test]
    fn the_domain_is_served_over_https_or_on_loopback() {
        let parse = cognito_domain().parse;
        for (text, origin) in [
            (
                "shoutback-staging.auth.eu-central-1.amazoncognito.com",
                "https://shoutback-staging.auth.eu-central-1.amazoncognito.com",
            ),
            ("auth.example.com", "https://auth.example.com"),
            ("http://127.0.0.1:5002", "http://127.0.0.1:5002"),
            ("http://localhost:1", "http://localhost:1"),
        ] {
            assert_eq!(parse(text).as_deref(), Some(origin), "{text}");
        }
        for text in [
            "",
            "localhost",
            "10.0.0.1",
            "https://auth.example.com",
            "http://auth.example.com",
            "http://127.0.0.1:5002/",
            "http://127.0.0.1:5002/login",
            "http://127.0.0.1:5002?a",
            "http://[::1]:5002",
            "http://user@127.0.0.1",
            "auth.example.com/login",
            "auth.example.com:443",
            "auth.example.com; script-src *",
            "auth.example.com *",
            "*.example.com",
            "-a.example.com",
            "auth..example.com",
            "AUTH.example.com",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
