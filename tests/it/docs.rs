//! `/docs`: its assets, headers and content.

use std::collections::BTreeMap;

use reqwest::Response;

use crate::support::{App, client, loopback, send};

const ASSETS: [(&str, &str); 3] = [
    ("/docs/page.css", "text/css; charset=utf-8"),
    ("/docs/page.js", "text/javascript; charset=utf-8"),
    ("/docs/icon.svg", "image/svg+xml"),
];

async fn fetch(app: &App, path: &str, etag: Option<&str>) -> Response {
    let mut request = client().get(format!("http://{}{path}", app.public));
    if let Some(etag) = etag {
        request = request.header("if-none-match", etag);
    }
    send(request).await
}

async fn page(app: &App) -> String {
    fetch(app, "/docs", None).await.text().await.expect("UTF-8")
}

fn header(response: &Response, name: &str) -> String {
    let value = response
        .headers()
        .get(name)
        .unwrap_or_else(|| panic!("no {name}"));
    value.to_str().expect("ASCII").to_owned()
}

/// Returns the directives of the content security policy.
async fn policy(app: &App) -> BTreeMap<String, String> {
    let policy = header(&fetch(app, "/docs", None).await, "content-security-policy");
    let directives = policy.split(';').map(str::trim);
    let pair = |directive: &str| {
        let (name, sources) = directive.split_once(' ').expect("sources");
        (name.to_owned(), sources.to_owned())
    };
    directives.map(pair).collect()
}

#[tokio::test]
async fn a_browser_may_only_load_from_and_call_this_service() {
    let app = App::start(&[]).await;
    let policy = policy(&app).await;
    let expected = [
        ("base-uri", "'none'"),
        ("connect-src", "'self'"),
        ("default-src", "'none'"),
        ("form-action", "'none'"),
        ("frame-ancestors", "'none'"),
        ("img-src", "'self'"),
        ("require-trusted-types-for", "'script'"),
        ("script-src", "'self'"),
        ("style-src", "'self'"),
    ];
    let expected = expected.map(|(name, sources)| (name.to_owned(), sources.to_owned()));
    assert_eq!(policy, BTreeMap::from(expected));
    let response = fetch(&app, "/docs", None).await;
    assert_eq!(header(&response, "referrer-policy"), "no-referrer");
    assert_eq!(header(&response, "cross-origin-opener-policy"), "same-origin");
    assert_eq!(header(&response, "x-content-type-options"), "nosniff");
    let page = page(&app).await;
    assert!(page.contains("data-sign-in=\"\"") && page.contains("data-client-id=\"\""));
    for inline in ["<style", " style=", " onclick=", "javascript:"] {
        assert!(!page.contains(inline), "{inline}");
    }
}

#[tokio::test]
async fn with_a_cognito_domain_it_may_also_call_that() {
    // `DOCS_CLIENT_ID` needs the id of the client before the application starts.
    let cognito = shoutback_emulators::cognito::Emulator::start(loopback().await, "us-east-2_TestPool1");
    let cognito = cognito.expect("an emulator");
    let id = cognito.client().id.clone();
    let variables = [
        ("COGNITO_ENDPOINT", cognito.endpoint()),
        ("COGNITO_CLIENT_IDS", id.clone()),
        ("DOCS_CLIENT_ID", id.clone()),
        ("DOCS_COGNITO_DOMAIN", "auth.example.com".to_owned()),
    ];
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let app = App::start(&variables).await;
    assert_eq!(
        policy(&app).await["connect-src"],
        "'self' https://auth.example.com"
    );
    let page = page(&app).await;
    for attribute in [
        "data-auth=\"cognito\"".to_owned(),
        "data-sign-in=\"https://auth.example.com\"".to_owned(),
        format!("data-client-id=\"{id}\""),
        "data-scopes=\"shoutback/shout\"".to_owned(),
    ] {
        assert!(page.contains(&attribute), "{attribute}");
    }

    let mut open = variables.clone();
    open.push(("AUTH_MODE", "disabled"));
    let app = App::start(&open).await;
    assert_eq!(policy(&app).await["connect-src"], "'self'");
    let page = fetch(&app, "/docs", None).await.text().await.expect("UTF-8");
    assert!(page.contains("data-auth=\"disabled\"") && page.contains("data-sign-in=\"\""));
}

#[tokio::test]
async fn assets_exist_and_are_revalidated_with_etags() {
    let app = App::start(&[]).await;
    let page = page(&app).await;
    for (path, content_type) in ASSETS {
        assert!(page.contains(&format!("\"{path}\"")), "{path}");
        let response = fetch(&app, path, None).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(header(&response, "content-type"), content_type);
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
    }
    let pages = [("/docs", "")];
    for (path, _) in ASSETS.iter().chain(&pages) {
        let response = fetch(&app, path, None).await;
        assert_eq!(header(&response, "cache-control"), "no-cache", "{path}");
        let etag = header(&response, "etag");
        assert!(!response.text().await.expect("UTF-8").is_empty(), "{path}");
        for known in [etag.clone(), format!("\"other\", W/{etag}"), "*".to_owned()] {
            let response = fetch(&app, path, Some(&known)).await;
            assert_eq!(response.status(), 304, "{path} {known}");
            assert_eq!(header(&response, "etag"), etag);
            assert_eq!(response.text().await.expect("UTF-8"), "");
        }
        let response = fetch(&app, path, Some("\"other\"")).await;
        assert_eq!(response.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn every_referenced_id_exists_once() {
    let app = App::start(&[]).await;
    let page = page(&app).await;
    let after = |mark: &str| -> Vec<String> {
        let parts = page.split(mark).skip(1);
        parts
            .map(|part| part.split('"').next().expect("an end").to_owned())
            .collect()
    };
    let ids = after(" id=\"");
    for id in &ids {
        assert_eq!(ids.iter().filter(|other| *other == id).count(), 1, "{id}");
    }
    let mut references = after("href=\"#");
    references.extend(after("aria-labelledby=\""));
    references.extend(after("aria-describedby=\""));
    references.extend(after(" for=\""));
    assert!(references.len() > 30, "{references:?}");
    for id in references {
        assert!(ids.contains(&id), "{id}");
    }
}

#[tokio::test]
async fn it_shows_the_configuration() {
    let app = App::start(&[
        ("MAX_BODY_BYTES", "1MiB"),
        ("AUTH_REQUIRED_SCOPES", "shoutback/shout,a&b"),
    ])
    .await;
    let page = page(&app).await;
    assert!(page.contains("At most 1 MiB."), "the limit");
    assert!(
        page.contains("with the scopes <code>shoutback/shout</code> and <code>a&#38;b</code>"),
        "the scopes"
    );
}
