//! URLs of other services.

use std::fmt;

use url::{Host, Url};

use super::value_parser::ValueParser;

/// The base URL of a key server or issuer, without a trailing slash. Plain `http:` is accepted on loopback only, because an
/// attacker who can impersonate this server can forge tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint(String);

impl Endpoint {
    /// Returns the URL as the operator wrote it, without a trailing slash.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

pub(super) fn endpoint() -> ValueParser<Endpoint> {
    ValueParser::new(
        "an https: URL without user, query or fragment (http: on loopback only), such as https://idp.example.com",
        |text| {
            let url = parse_url(text).filter(|url| url.query().is_none())?;
            let trusted = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
            // An issuer is compared byte by byte with the `iss` of a token, so the text must not be normalized.
            trusted.then(|| Endpoint(text.trim_end_matches('/').to_owned()))
        },
    )
}

const SHOUTCLOUD_PATH: &str = "/V1/SHOUT";

/// The URL of SHOUTCLOUD. Its path and query may contain an API key, so `Debug` prints only the origin.
#[derive(Clone, PartialEq, Eq)]
pub struct UpstreamUrl(Url);

impl UpstreamUrl {
    /// Returns the whole URL, for requests.
    pub fn to_url(&self) -> Url {
        self.0.clone()
    }

    /// Returns the URL for traces: whole if its path is SHOUTCLOUD's default one, which contains no key, else redacted.
    pub fn redacted(&self) -> String {
        let origin = self.0.origin().ascii_serialization();
        match (self.0.path(), self.0.query()) {
            (path @ SHOUTCLOUD_PATH, None) => format!("{origin}{path}"),
            _ => format!("{origin}/REDACTED"),
        }
    }
}

impl fmt::Debug for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/…", self.0.origin().ascii_serialization())
    }
}

pub(super) fn upstream_url() -> ValueParser<UpstreamUrl> {
    ValueParser::new(
        "an http: or https: URL without user or fragment, such as http://api.shoutcloud.io/V1/SHOUT",
        |text| {
            parse_url(text)
                .filter(|url| matches!(url.scheme(), "http" | "https"))
                .map(UpstreamUrl)
        },
    )
    .secret()
}

/// Parses a URL that has a host, and neither user information nor a fragment.
pub(super) fn parse_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_plain =
        url.has_host() && url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    is_plain.then_some(url)
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{endpoint, upstream_url};

    #[test]
    fn plain_http_is_accepted_on_loopback_only() {
        let parse = endpoint().parse;
        for text in [
            "https://idp.example.com",
            "http://127.0.0.1:5002/",
            "http://localhost:1",
            "http://[::1]:1",
            "http://127.9.9.9",
        ] {
            assert!(parse(text).is_some(), "{text}");
        }
        for text in [
            "http://idp.example.com",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "http://10.0.0.1",
            "http://0.0.0.0:1",
            "ftp://127.0.0.1",
            "https://user@idp.example.com",
            "https://idp.example.com/?a=b",
            "https://idp.example.com/#a",
            "idp.example.com",
            "",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
        assert_eq!(
            parse("https://idp.example.com/").expect("an endpoint").as_str(),
            "https://idp.example.com"
        );
    }

    #[test]
    fn debug_and_redacted_never_contain_an_api_key() {
        let url = (upstream_url().parse)("http://api.example.com:81/V1/SHOUT?key=s3cret").expect("a URL");
        assert_eq!(format!("{url:?}"), "http://api.example.com:81/…");
        assert_eq!(url.redacted(), "http://api.example.com:81/REDACTED");
        let default = (upstream_url().parse)("http://api.shoutcloud.io/V1/SHOUT").expect("a URL");
        assert_eq!(default.redacted(), "http://api.shoutcloud.io/V1/SHOUT");
        assert!((upstream_url().parse)("http://user:pass@api.example.com/").is_none());
    }
}
