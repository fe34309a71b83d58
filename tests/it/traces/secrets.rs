//! What no span and no log line may hold.

use serde_json::json;

use crate::support::collector::Collector;

use super::{Upstream, app_with};

#[tokio::test]
async fn neither_a_token_nor_a_text_nor_a_name_nor_a_query_is_exported() {
    let collector = Collector::start().await;
    let upstream = Upstream::start(&[503]).await;
    let url = format!("http://{}/V1/SHOUT?key=q4ery", upstream.server.address);
    let app = app_with(&collector, &[("SHOUTCLOUD_URL", &url)]).await;
    let person = [("username", json!("us3rname")), ("sub", json!("s4bject"))];
    let token = app.token_with(&person);
    for token in [token.as_str(), "n0nsense.token.sent"] {
        let request = app
            .shout_with(token, "te%xt t9xt")
            .header("cookie", "c00kie")
            .header("user-agent", "ag3nt");
        let url = format!("http://{}/v1?a=q4ery", app.public);
        let (client, request) = request.build_split();
        let mut request = request.expect("a request");
        *request.url_mut() = url.parse().expect("a URL");
        client.execute(request).await.expect("an answer");
    }
    // What is sent in the wrong place.
    let url = format!("http://{}/{token}", app.public);
    let method = "M3THOD".parse().expect("a method");
    app.client.request(method, url).send().await.expect("an answer");
    collector.expect("HTTP", 1).await;
    collector.expect("POST /v1", 2).await;
    collector.expect("POST", 2).await;
    app.stop().await;
    let parts: Vec<_> = token.split('.').collect();
    for batch in collector.batches() {
        let bytes = String::from_utf8_lossy(&batch.bytes).to_lowercase();
        for secret in [
            "us3rname", "s4bject", "t9xt", "tx9t", "q4ery", "c00kie", "n0nsense", "bearer", "ag3nt", "m3thod",
        ] {
            assert!(!bytes.contains(secret), "{secret}: {:#?}", batch.spans);
        }
        for part in &parts {
            assert!(!bytes.contains(&part.to_lowercase()), "{:#?}", batch.spans);
        }
    }
}
