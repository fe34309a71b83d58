//! Paths and methods.

use reqwest::Method;

use crate::support::http1::Connection;
use crate::support::{App, assert_problem};

async fn ask(app: &App, method: &str, path: &str) -> reqwest::Response {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let url = format!("http://{}{path}", app.public);
    app.client.request(method, url).send().await.expect("an answer")
}

#[tokio::test]
async fn options_lists_the_methods_without_a_token() {
    let app = App::start(&[]).await;
    let response = ask(&app, "OPTIONS", "/v1").await;
    assert_eq!(response.status(), 204);
    assert_eq!(response.headers()["allow"], "OPTIONS, POST");
    assert_eq!(response.text().await.expect("UTF-8"), "");
}

#[tokio::test]
async fn other_methods_are_405_and_say_which_are_not() {
    let app = App::start(&[]).await;
    for (paths, methods, allow) in [
        (
            &["/v1"][..],
            &["GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "post", "BREW"][..],
            "OPTIONS, POST",
        ),
        (
            &[
                "/",
                "/docs",
                "/docs/icon.svg",
                "/docs/page.css",
                "/docs/page.js",
                "/openapi.json",
            ],
            &["POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"],
            "GET, HEAD",
        ),
    ] {
        for path in paths {
            for method in methods {
                let response = ask(&app, method, path).await;
                assert_eq!(response.status(), 405, "{method} {path}");
                assert_eq!(response.headers()["allow"], allow, "{method} {path}");
                if *method == "HEAD" {
                    assert_eq!(response.text().await.expect("UTF-8"), "");
                } else {
                    assert_problem(response, 405, "method-not-allowed").await;
                }
            }
        }
    }
}

#[tokio::test]
async fn the_root_sends_readers_to_the_documentation() {
    let app = App::start(&[]).await;
    let root = ask(&app, "GET", "/").await;
    assert_eq!(root.status(), 307);
    assert_eq!(root.headers()["location"], "/docs");
    for (path, form) in [
        ("/docs", "text/html; charset=utf-8"),
        ("/openapi.json", "application/json"),
    ] {
        for method in ["GET", "HEAD"] {
            let response = ask(&app, method, path).await;
            assert_eq!(response.status(), 200, "{method} {path}");
            assert_eq!(response.headers()["content-type"], form, "{method} {path}");
            assert_eq!(response.headers()["x-content-type-options"], "nosniff");
            let body = response.text().await.expect("UTF-8");
            assert_eq!(body.is_empty(), method == "HEAD", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_page_has_a_section_for_every_problem_and_asks_nobody_else() {
    let app = App::start(&[]).await;
    let page = ask(&app, "GET", "/docs").await.text().await.expect("UTF-8");
    for name in [
        "malformed-request",
        "unauthenticated",
        "forbidden",
        "not-found",
        "method-not-allowed",
        "not-acceptable",
        "content-too-large",
        "unsupported-media-type",
        "request-timeout",
        "rate-limited",
        "internal-error",
        "upstream-invalid",
        "upstream-unavailable",
        "overloaded",
        "keys-unavailable",
        "upstream-timeout",
    ] {
        assert!(page.contains(&format!("id=\"{name}\"")), "{name}");
    }
    for elsewhere in ["src=\"http", "src=\"//", "href=\"//", "@import", "url(http"] {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
}

#[tokio::test]
async fn every_other_path_is_404_as_it_stands() {
    let app = App::start(&[]).await;
    let token = app.cognito.token();
    for path in [
        "/v1/",
        "/v2",
        "//v1",
        "/V1",
        "/v1/x",
        "/./v1",
        "/x/../v1",
        "/v%31",
        "/v1%2f",
        "/v1%00",
        "/v1.json",
        "/v",
        "/docs/",
        "/docs/page",
        "/docs/page.js/",
        "/docs/examples/shout.py",
        "/Docs",
        "//",
        "/livez",
        "/readyz",
        "/metrics",
        "/version",
    ] {
        for method in ["POST", "GET"] {
            let mut connection = Connection::open(app.public).await;
            let request = format!(
                "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
                 content-type: text/plain\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi"
            );
            connection.send(request).await;
            let answer = connection.response().await;
            assert_eq!(answer.status, 404, "{method} {path}");
            assert_eq!(answer.problem(), "not-found", "{method} {path}");
        }
    }
    assert_eq!(app.shoutcloud.calls(), 0);
}

#[tokio::test]
async fn a_query_does_not_make_another_path() {
    let app = App::start(&[]).await;
    assert_eq!(ask(&app, "OPTIONS", "/v1?x=1").await.status(), 204);
    assert_eq!(ask(&app, "GET", "/docs?x=1").await.status(), 200);
}
