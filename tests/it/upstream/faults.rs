//! Every way in which SHOUTCLOUD can fail: the response to the client, the number of attempts, and the duration.

use std::time::Duration;

use tokio::time::Instant;

use super::app_with;
use crate::support::clock::PacedClock;
use crate::support::upstream::{FakeUpstream, Reply};
use crate::support::{assert_problem, send};

/// The default number of retries, and a budget that is never used up.
const THREE_RETRIES: [(&str, &str); 2] = [
    ("SHOUTCLOUD_MAX_RETRIES", "3"),
    ("SHOUTCLOUD_RETRY_RESERVE", "1000000"),
];

/// The longest sum of three backoffs with full jitter: 50, 100 and 200 ms.
const MAX_BACKOFF: u64 = 350;
/// Tolerance: the clock advances in steps while bytes are in transit, and there are several per attempt.
const TOLERANCE: u64 = 200;
/// The clock also runs while a flood is read; this is less than the timeout of an attempt.
const MAX_FLOOD: u64 = 1_500;

struct Fault {
    name: &'static str,
    reply: Reply,
    problem: (u16, &'static str),
    attempts: usize,
    /// In milliseconds: at least, and at most.
    duration: (u64, u64),
    retry_after: Option<&'static str>,
}

/// A transient failure that persists: one attempt and three retries.
fn transient(name: &'static str, reply: Reply) -> Fault {
    Fault {
        name,
        reply,
        problem: (503, "upstream-unavailable"),
        attempts: 4,
        duration: (0, MAX_BACKOFF),
        retry_after: Some("1"),
    }
}

/// A failure that is not retried.
fn permanent(name: &'static str, reply: Reply) -> Fault {
    Fault {
        problem: (502, "upstream-invalid"),
        attempts: 1,
        duration: (0, 0),
        retry_after: None,
        ..transient(name, reply)
    }
}

/// No complete response: two attempts of 2 s, and a third until the deadline of 5 s.
fn too_slow(name: &'static str, reply: Reply) -> Fault {
    Fault {
        problem: (504, "upstream-timeout"),
        attempts: 3,
        duration: (5_000, 5_000),
        retry_after: None,
        ..transient(name, reply)
    }
}

fn with_retry_after(status: &str, retry_after: &str) -> Reply {
    Reply::Bytes(
        format!("HTTP/1.1 {status}\r\nretry-after: {retry_after}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            .into_bytes(),
    )
}

/// Asks for `wait` seconds with a date, by a clock that is `ahead` seconds ahead.
fn with_retry_date(status: &str, ahead: u64, wait: u64) -> Reply {
    let date = httpdate(Duration::from_secs(ahead));
    let retry_at = httpdate(Duration::from_secs(ahead + wait));
    Reply::Bytes(
        format!(
            "HTTP/1.1 {status}\r\ndate: {date}\r\nretry-after: {retry_at}\r\nconnection: close\r\n\
             content-length: 0\r\n\r\n"
        )
        .into_bytes(),
    )
}

fn endless(head: &'static str, piece: &str, pause: u64) -> Reply {
    Reply::Endless {
        head,
        piece: piece.to_owned(),
        pause: Duration::from_millis(pause),
    }
}

fn faults() -> Vec<Fault> {
    let a_day = httpdate(Duration::from_secs(86_400));
    let flood = "s3cret ".repeat(1_000);
    let faults =
        vec![
        too_slow("stalls", Reply::Stall),
        too_slow(
            "stalls after the headers",
            endless("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", "", 60_000),
        ),
        too_slow(
            "drips the headers",
            endless("HTTP/1.1 200 OK\r\nx-s3cret: ", "s", 100),
        ),
        too_slow(
            "drips the body",
            endless("HTTP/1.1 200 OK\r\n\r\n{\"INPUT\":\"", "s", 100),
        ),
        transient("resets at once", Reply::Reset("")),
        transient("resets in the headers", Reply::Reset("HTTP/1.1 200 s3cret")),
        transient(
            "resets in the body",
            Reply::Reset("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"s3cret"),
        ),
        transient("closes at once", Reply::Bytes(Vec::new())),
        transient(
            "truncates",
            Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"INPUT\":\"s3cret".to_vec()),
        ),
        Fault {
            duration: (3_000, 3_000 + MAX_BACKOFF),
            ..transient("retry-after of a second each time", with_retry_after("503 s3cret", "1"))
        },
        Fault {
            attempts: 3,
            duration: (4_000, 4_000 + MAX_BACKOFF),
            retry_after: Some("2"),
            ..transient(
                "retry-after of 2 s each time: the third wait exceeds the deadline",
                with_retry_after("429 s3cret", "2"),
            )
        },
        Fault {
            attempts: 1,
            duration: (0, 0),
            retry_after: Some("60"),
            ..transient("retry-after of a day", with_retry_after("503 s3cret", "86400"))
        },
        Fault {
            attempts: 1,
            duration: (0, 0),
            retry_after: Some("60"),
            ..transient("retry-after with tomorrow's date", with_retry_after("429 s3cret", &a_day))
        },
        Fault {
            duration: (3_000, 3_000 + MAX_BACKOFF),
            ..transient(
                "retry-after with a date in a second, by a clock that is an hour ahead",
                with_retry_date("503 s3cret", 3_600, 1),
            )
        },
        Fault {
            attempts: 1,
            duration: (0, 0),
            retry_after: Some("60"),
            ..transient(
                "retry-after with a date in an hour, by a clock that is an hour ahead",
                with_retry_date("503 s3cret", 3_600, 3_600),
            )
        },
        transient(
            "truncates without length and chunks",
            Reply::Bytes(b"HTTP/1.1 200 OK\r\n\r\n{\"INPUT\":\"ih\",\"OUTPUT\":\"s3cret".to_vec()),
        ),
        transient("invalid retry-after", with_retry_after("503 s3cret", "s3cret")),
        permanent("HTML", Reply::body("<html>s3cret</html>")),
        permanent("broken JSON", Reply::body(r#"{"INPUT":"ih","OUTPUT":"s3cret"#)),
        permanent(
            "wrong types",
            Reply::body(r#"{"INPUT":["s3cret"],"OUTPUT":{"s3cret":1}}"#),
        ),
        permanent(
            "another request's INPUT",
            Reply::body(r#"{"INPUT":"s3cret","OUTPUT":"S3CRET"}"#),
        ),
        permanent("another text", Reply::body(r#"{"INPUT":"ih","OUTPUT":"S3CRET"}"#)),
        permanent(
            "bad UTF-8",
            Reply::body(b"{\"INPUT\":\"ih\",\"OUTPUT\":\"s3cret\xff\"}"),
        ),
        Fault {
            duration: (0, MAX_FLOOD),
            ..permanent("floods the body", endless("HTTP/1.1 200 OK\r\n\r\n", &flood, 0))
        },
        Fault {
            duration: (0, MAX_FLOOD),
            ..permanent(
                "floods the headers",
                endless("HTTP/1.1 200 OK\r\n", &"x-s3cret: s3cret\r\n".repeat(100), 0),
            )
        },
        permanent(
            "redirects",
            Reply::Bytes(
                b"HTTP/1.1 307 s3cret\r\nlocation: http://127.0.0.1:1/s3cret\r\ncontent-length: 0\r\n\r\n"
                    .to_vec(),
            ),
        ),
        permanent(
            "does not speak HTTP",
            Reply::Bytes(b"s3cret s3cret s3cret\r\n\r\n".to_vec()),
        ),
    ];
    let transient = [500, 502, 503, 504, 429, 408].map(|status| transient("a status", Reply::Status(status)));
    let permanent = [400, 404].map(|status| permanent("a status", Reply::Status(status)));
    faults.into_iter().chain(transient).chain(permanent).collect()
}

fn httpdate(from_now: Duration) -> String {
    // RFC 9110 section 5.6.7.
    httpdate::fmt_http_date(std::time::SystemTime::now() + from_now)
}

#[tokio::test]
async fn each_fault_has_its_response_attempts_and_duration() {
    let upstream = FakeUpstream::start([Reply::Stall]).await;
    let app = app_with(&upstream, &THREE_RETRIES).await;
    let _clock = PacedClock::start();
    for fault in faults() {
        let name = format!("{}: {:?}", fault.name, fault.reply);
        upstream.set([fault.reply]);
        let before = upstream.calls();
        let started = Instant::now();
        let response = send(app.shout("hi")).await;
        let elapsed = u64::try_from(started.elapsed().as_millis()).expect("short");
        assert_eq!(response.status(), fault.problem.0, "{name}");
        assert_eq!(upstream.calls() - before, fault.attempts, "{name}");
        let (least, most) = fault.duration;
        assert!(
            (least..=most + TOLERANCE).contains(&elapsed),
            "{name}: {elapsed} ms"
        );
        let retry_after = response.headers().get("retry-after").cloned();
        assert_eq!(
            retry_after.as_ref().and_then(|value| value.to_str().ok()),
            fault.retry_after,
            "{name}"
        );
        assert!(!format!("{:?}", response.headers()).contains("s3cret"), "{name}");
        let problem = assert_problem(response, fault.problem.0, fault.problem.1).await;
        assert!(!problem.to_string().contains("s3cret"), "{name}: {problem}");
    }
}

#[tokio::test]
async fn a_retry_hides_a_transient_fault_and_a_permanent_one_is_not_retried() {
    let upstream = FakeUpstream::start([Reply::Stall]).await;
    let app = app_with(&upstream, &THREE_RETRIES).await;
    let _clock = PacedClock::start();
    for fault in faults() {
        let name = format!("{}: {:?}", fault.name, fault.reply);
        upstream.set([fault.reply, Reply::Shout]);
        let before = upstream.calls();
        let response = send(app.shout("hi")).await;
        let is_transient = fault.attempts > 1;
        assert_eq!(
            response.status(),
            if is_transient { 200 } else { fault.problem.0 },
            "{name}"
        );
        assert_eq!(upstream.calls() - before, 1 + usize::from(is_transient), "{name}");
        if is_transient {
            assert_eq!(response.text().await.expect("UTF-8"), "IH", "{name}");
        }
    }
}

#[tokio::test]
async fn a_slow_shout_succeeds() {
    let pause = Duration::from_millis(10);
    let upstream = FakeUpstream::start([Reply::DrippedShout { pause }]).await;
    let app = app_with(&upstream, &THREE_RETRIES).await;
    let _clock = PacedClock::start();
    let response = send(app.shout("hi")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.expect("UTF-8"), "IH");
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn an_attempt_with_the_timeout_of_the_deadline_ends_at_the_deadline() {
    let upstream = FakeUpstream::start([Reply::Stall]).await;
    let times = [
        ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "3s"),
        ("SHOUTCLOUD_DEADLINE", "3s"),
    ];
    let app = app_with(&upstream, &times).await;
    let _clock = PacedClock::start();
    let response = send(app.shout("hi")).await;
    assert_problem(response, 504, "upstream-timeout").await;
    assert_eq!(upstream.calls(), 1);
}
