//! The headers of the cache: `cache-control` of requests, and `cache-status` (RFC 9211) of responses.

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::field_list;
use crate::shout::{self, CacheMode, Forward, Source};

/// Documents how the cache handled a request.
pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// `cache-status` of a response that was sent before the cache was reached.
pub(super) const NOT_REACHED: HeaderValue = HeaderValue::from_static("shoutback");

/// Returns the cache mode of a request. Directives other than `no-store` and `no-cache` are ignored.
pub(super) fn cache_mode(headers: &HeaderMap) -> CacheMode {
    let has = |directive: &[u8]| {
        headers
            .get_all(CACHE_CONTROL)
            .iter()
            .any(|value| directives(value.as_bytes()).any(|name| name.eq_ignore_ascii_case(directive)))
    };
    if has(b"no-store") {
        CacheMode::NoStore
    } else if has(b"no-cache") {
        CacheMode::Reload
    } else {
        CacheMode::Default
    }
}

/// Returns the names in a list of directives. Each may have an argument, quoted or not.
fn directives(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    field_list::split(value, b',')
        .filter_map(|directive| directive.split(|byte| *byte == b'=').next())
        .map(<[u8]>::trim_ascii)
}

/// Returns `cache-status` of a response from `source`.
pub(super) fn cache_status(source: Source) -> HeaderValue {
    HeaderValue::from_static(match source {
        Source::Empty => forwarded(Forward::Bypass),
        Source::Cache => "shoutback; hit",
        Source::SharedCache => "shoutback; hit; detail=shared",
        Source::Stale => "shoutback; hit; detail=stale-if-error",
        Source::Coalesced => "shoutback; fwd=miss; collapsed",
        Source::Upstream { forward, stored } => match (forward, stored) {
            (Forward::Miss, true) => "shoutback; fwd=miss; stored",
            (Forward::Request, true) => "shoutback; fwd=request; stored",
            (forward, _) => forwarded(forward),
        },
        Source::Fallback { forward } => match forward {
            Forward::Miss => "shoutback; fwd=miss; detail=local-fallback",
            Forward::Request => "shoutback; fwd=request; detail=local-fallback",
            Forward::Bypass => "shoutback; fwd=bypass; detail=local-fallback",
        },
    })
}

/// Returns `cache-status` of a failed request.
pub(super) fn cache_status_of_error(error: &shout::Error) -> HeaderValue {
    if error.collapsed {
        cache_status(Source::Coalesced)
    } else {
        HeaderValue::from_static(forwarded(error.forward))
    }
}

fn forwarded(forward: Forward) -> &'static str {
    match forward {
        Forward::Miss => "shoutback; fwd=miss",
        Forward::Request => "shoutback; fwd=request",
        Forward::Bypass => "shoutback; fwd=bypass",
    }
}

#[cfg(test)]
mod tests {
    use http::header::CACHE_CONTROL;
    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

    use super::{NOT_REACHED, cache_mode, cache_status};
    use crate::shout::{CacheMode, Forward, Source};

    fn mode_of(values: &[&str]) -> CacheMode {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header value");
            headers.append(CACHE_CONTROL, value);
        }
        cache_mode(&headers)
    }

    #[test]
    fn directives_are_found_at_any_position() {
        for (values, caching) in [
            (&[][..], CacheMode::Default),
            (&[""], CacheMode::Default),
            (&["no-cache"], CacheMode::Reload),
            (&["No-Cache"], CacheMode::Reload),
            (&["max-age=0, no-cache"], CacheMode::Reload),
            (&["max-age=0,no-cache ,x"], CacheMode::Reload),
            (&["max-age=0", "\tno-cache"], CacheMode::Reload),
            (&["no-cache=x"], CacheMode::Reload),
            (&["no-cache=\"a, b\""], CacheMode::Reload),
            (&["x=\"a, b\", no-cache"], CacheMode::Reload),
            (&[r#"x="a\", b", no-cache"#], CacheMode::Reload),
            (&[r#"x="a\\", no-cache"#], CacheMode::Reload),
            (&["é, no-cache"], CacheMode::Reload),
            (&["no-store"], CacheMode::NoStore),
            (&["NO-STORE"], CacheMode::NoStore),
            (&["no-cache, no-store"], CacheMode::NoStore),
            (&["no-store", "no-cache"], CacheMode::NoStore),
            (&["max-age=0"], CacheMode::Default),
            (&["only-if-cached"], CacheMode::Default),
            (&["no-cached"], CacheMode::Default),
            (&["x-no-cache"], CacheMode::Default),
            (&["no cache"], CacheMode::Default),
            (&["x=no-cache"], CacheMode::Default),
            (&["\"no-cache\""], CacheMode::Default),
            (&["x=\"a, no-cache\""], CacheMode::Default),
            (&["x=\"a, no-cache, b\", y"], CacheMode::Default),
            (&[r#"x="a\", no-cache, b""#], CacheMode::Default),
            (&["x=\"a, no-store"], CacheMode::Default),
        ] {
            assert_eq!(mode_of(values), caching, "{values:?}");
        }
    }

    #[test]
    fn the_page_explains_every_status() {
        let mut sources = vec![
            Source::Empty,
            Source::Cache,
            Source::SharedCache,
            Source::Stale,
            Source::Coalesced,
        ];
        for forward in [Forward::Miss, Forward::Request, Forward::Bypass] {
            sources.push(Source::Fallback { forward });
            sources.extend([false, true].map(|stored| Source::Upstream { forward, stored }));
        }
        let page = include_str!("docs/page.js");
        for status in sources.into_iter().map(cache_status).chain([NOT_REACHED]) {
            let status = status.to_str().expect("ASCII");
            assert!(page.contains(&format!("\n  \"{status}\": ")), "{status}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn quoted_directives_are_ignored(text in "[ !#-\\[\\]-~]*", after in any::<bool>()) {
            let quoted = format!("x=\"{text}, no-cache, {text}\"");
            if after {
                prop_assert_eq!(mode_of(&[&format!("{quoted}, no-cache")]), CacheMode::Reload);
            } else {
                prop_assert_eq!(mode_of(&[&quoted]), CacheMode::Default);
            }
        }
    }
}
