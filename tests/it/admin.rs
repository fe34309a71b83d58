//! Probes, metrics, version.

use crate::support::{App, assert_problem};

#[tokio::test]
async fn probes_answer_and_other_paths_do_not() {
    let app = App::start(&[]).await;
    assert_eq!(app.admin("/livez").await.status(), 200);
    assert_eq!(app.admin("/readyz").await.status(), 200);
    assert_problem(app.admin("/v1").await, 404, "not-found").await;
    let post = app
        .client
        .post(format!("http://{}/livez", app.admin))
        .send()
        .await
        .expect("an answer");
    assert_eq!(post.headers()["allow"], "GET, HEAD");
    assert_problem(post, 405, "method-not-allowed").await;
    for path in ["/livez", "/readyz", "/metrics", "/version"] {
        let public = app
            .client
            .get(format!("http://{}{path}", app.public))
            .send()
            .await
            .expect("an answer");
        assert_eq!(public.status(), 404, "{path} is not for the public");
    }
}
