//! SHOUTCLOUD over TLS.

use rcgen::date_time_ymd;

use super::{Authority, Identity, Process, TlsServer, params};
use crate::support::rsa::ADA;
use crate::support::settings::NO_RETRIES;
use crate::support::upstream::shout_of;
use crate::support::{assert_problem, until};

const ATTEMPTS: &str = "http_client_request_duration_seconds_count{";

/// Starts a SHOUTCLOUD with `identity`, and a ready process that calls it and trusts `authority`.
async fn start(authority: &Authority, identity: &Identity) -> (TlsServer, Process) {
    let keys = TlsServer::publishing_key(&authority.issue(&params("localhost"))).await;
    let shoutcloud = TlsServer::start(identity, shout_of).await;
    let endpoint = format!("https://localhost:{}", keys.port);
    let url = format!("https://localhost:{}/V1/SHOUT", shoutcloud.port);
    let settings = [("SHOUTCLOUD_URL", url.as_str()), NO_RETRIES];
    let process = Process::start(&[authority], &endpoint, &settings).await;
    until("the process is ready", async || process.is_ready().await).await;
    (shoutcloud, process)
}

#[tokio::test]
async fn a_server_with_a_trusted_certificate_is_called() {
    let authority = Authority::new();
    let identity = authority.issue(&params("localhost"));
    let (shoutcloud, process) = start(&authority, &identity).await;
    let response = process.shout(&ADA).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.expect("UTF-8"), "IH");
    assert_eq!((shoutcloud.connections(), shoutcloud.requests()), (1, 1));
    assert_eq!(process.metric(ATTEMPTS, "error_type=\"\"").await, 1.0);
}

#[tokio::test]
async fn a_server_without_a_valid_certificate_gets_no_text() {
    let authority = Authority::new();
    let mut expired = params("localhost");
    expired.not_after = date_time_ymd(2020, 1, 1);
    for (case, identity) in [
        (
            "an unknown authority",
            Authority::new().issue(&params("localhost")),
        ),
        ("for another host", authority.issue(&params("other.example"))),
        ("expired", authority.issue(&expired)),
    ] {
        let (shoutcloud, process) = start(&authority, &identity).await;
        let response = process.shout(&ADA).await;
        assert!(response.headers().contains_key("retry-after"), "{case}");
        let problem = assert_problem(response, 503, "upstream-unavailable").await;
        assert!(!problem.to_string().contains("certificate"), "{case}: {problem}");
        assert_eq!(
            (shoutcloud.connections(), shoutcloud.requests()),
            (1, 0),
            "{case}"
        );
        assert_eq!(
            process.metric(ATTEMPTS, "error_type=\"tls\"").await,
            1.0,
            "{case}"
        );
        assert_eq!(process.metric(ATTEMPTS, "error_type=\"\"").await, 0.0, "{case}");
    }
}
