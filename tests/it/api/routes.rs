//! Paths and methods.

use reqwest::Method;

use crate::support::http1::Connection;
use crate::support::{App, assert_problem};

async fn send(app: &App, method: &str, path: &str) -> reqwest::Response {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let url = format!("http://{}{path}", app.public);
    app.client.request(method, url).send().await.expect("a response")
}

#[tokio::test]
async fn options_lists_the_methods_without_a_token() {
    let app = App::start(&[]).await;
    for path in app.api_paths().await {
        let response = send(&app, "OPTIONS", &path).await;
        assert_eq!(response.status(), 204, "{path}");
        assert_eq!(response.headers()["allow"], "OPTIONS, POST", "{path}");
        assert_eq!(response.text().await.expect("UTF-8"), "");
    }
}

#[tokio::test]
async fn other_methods_are_405_with_allow() {
    let app = App::start(&[]).await;
    let api = app.api_paths().await;
    let api: Vec<_> = api.iter().map(String::as_str).collect();
    for (paths, methods, allow) in [
        (
            &api[..],
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
                let response = send(&app, method, path).await;
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
async fn the_root_redirects_to_the_documentation() {
    let app = App::start(&[]).await;
    let root = send(&app, "GET", "/").await;
    assert_eq!(root.status(), 307);
    assert_eq!(root.headers()["location"], "/docs");
    for (path, media_type) in [
        ("/docs", "text/html; charset=utf-8"),
        ("/openapi.json", "application/json"),
    ] {
        for method in ["GET", "HEAD"] {
            let response = send(&app, method, path).await;
            assert_eq!(response.status(), 200, "{method} {path}");
            assert_eq!(response.headers()["content-type"], media_type, "{method} {path}");
            assert_eq!(response.headers()["x-content-type-options"], "nosniff");
            let body = response.text().await.expect("UTF-8");
            assert_eq!(body.is_empty(), method == "HEAD", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_response_to_head_has_the_headers_of_get_and_no_body() {
    let app = App::start(&[]).await;
    let http2 = reqwest::Client::builder().no_proxy().http2_prior_knowledge();
    for client in [app.client.clone(), http2.build().expect("a client")] {
        for (path, status) in [("/docs", 200), ("/openapi.json", 200), ("/v1", 405), ("/x", 404)] {
            let url = format!("http://{}{path}", app.public);
            let id = "x-request-id";
            let get = client.get(&url).header(id, "a").send().await.expect("a response");
            let head = client
                .head(&url)
                .header(id, "a")
                .send()
                .await
                .expect("a response");
            assert_eq!(
                (get.status().as_u16(), head.status().as_u16()),
                (status, status),
                "{path}"
            );
            let comparable = |response: &reqwest::Response| {
                let mut headers = response.headers().clone();
                headers.remove("date");
                headers
            };
            assert_eq!(comparable(&head), comparable(&get), "{path}");
            let length = head.headers()["content-length"].to_str().expect("ASCII").parse();
            assert_eq!(
                get.bytes().await.map(|body| body.len()).ok(),
                length.ok(),
                "{path}"
            );
            assert!(head.bytes().await.expect("no error").is_empty(), "{path}");
        }
    }
}

#[tokio::test]
async fn the_docs_have_a_section_per_problem_and_load_nothing_external() {
    let app = App::start(&[]).await;
    let page = send(&app, "GET", "/docs").await.text().await.expect("UTF-8");
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
    for external in ["src=\"http", "src=\"//", "href=\"//", "@import", "url(http"] {
        assert!(!page.contains(external), "{external}");
    }
}

#[tokio::test]
async fn other_paths_are_404_without_normalization() {
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
async fn queries_are_ignored() {
    let app = App::start(&[]).await;
    assert_eq!(send(&app, "OPTIONS", "/v1?x=1").await.status(), 204);
    assert_eq!(send(&app, "GET", "/docs?x=1").await.status(), 200);
}
