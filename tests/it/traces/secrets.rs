//! Secrets are not exported.

use serde_json::json;

use crate::support::collector::Collector;
use crate::support::send;
use crate::support::upstream::{FakeUpstream, Reply};

use super::app_with;

#[tokio::test]
async fn tokens_texts_user_names_and_queries_are_not_exported() {
    let collector = Collector::start().await;
    let upstream = FakeUpstream::start([Reply::Status(503), Reply::Shout]).await;
    let url = format!("{}?key=q4ery", upstream.url());
    let app = app_with(&collector, &[("SHOUTCLOUD_URL", &url)]).await;
    let user = [("username", json!("us3rname")), ("sub", json!("s4bject"))];
    let token = app.token_with(&user);
    for token in [token.as_str(), "n0nsense.token.sent"] {
        let request = app.shout_with(token, "te%xt t9xt").header("cookie", "c00kie");
        let url = format!("http://{}/v1?a=q4ery", app.public);
        let (client, request) = request.build_split();
        let mut request = request.expect("a request");
        *request.url_mut() = url.parse().expect("a URL");
        client.execute(request).await.expect("a response");
    }
    // A token as the path and an unknown method.
    let url = format!("http://{}/{token}", app.public);
    let method = "M3THOD".parse().expect("a method");
    send(app.client.request(method, url)).await;
    collector.expect("HTTP", 1).await;
    collector.expect("POST /v1", 2).await;
    collector.expect("POST", 2).await;
    app.stop().await;
    let parts: Vec<_> = token.split('.').collect();
    for batch in collector.batches() {
        let bytes = String::from_utf8_lossy(&batch.bytes).to_lowercase();
        for secret in [
            "us3rname", "s4bject", "t9xt", "tx9t", "q4ery", "c00kie", "n0nsense", "bearer", "m3thod",
        ] {
            assert!(!bytes.contains(secret), "{secret}: {:#?}", batch.spans);
        }
        for part in &parts {
            assert!(!bytes.contains(&part.to_lowercase()), "{:#?}", batch.spans);
        }
    }
}
