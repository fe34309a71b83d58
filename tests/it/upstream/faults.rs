//! Every way in which SHOUTCLOUD can fail: what the consumer sees, how often it is asked, and how long that takes.

use std::time::Duration;

use tokio::time::Instant;

use super::app_with;
use super::script::{Part, Script};
use crate::support::assert_problem;
use crate::support::clock::Paced;

/// The contract's defaults for one call; a budget that never ends, no breaker, no cache.
const PATIENT: [(&str, &str); 2] = [
    ("SHOUTCLOUD_MAX_RETRIES", "3"),
    ("SHOUTCLOUD_RETRY_RESERVE", "1000000"),
];

/// The longest that three waits of full jitter may take: 50, 100 and 200 ms.
const BACKOFF: u64 = 350;
/// How exact a time is: the clock goes in steps while bytes are on their way, and there are some per attempt.
const STEPS: u64 = 200;
/// A flood is work, and the clock runs meanwhile; still less than an attempt's timeout.
const FLOOD: u64 = 1_500;

struct Fault {
    name: &'static str,
    part: Part,
    ends: (u16, &'static str),
    attempts: usize,
    /// In milliseconds: at least, and at most.
    takes: (u64, u64),
    retry_after: Option<&'static str>,
}

/// What may pass, and does not: an attempt and three retries.
fn transient(name: &'static str, part: Part) -> Fault {
    Fault {
        name,
        part,
        ends: (503, "upstream-unavailable"),
        attempts: 4,
        takes: (0, BACKOFF),
        retry_after: Some("1"),
    }
}

/// What will not be better the next time.
fn permanent(name: &'static str, part: Part) -> Fault {
    Fault {
        ends: (502, "upstream-invalid"),
        attempts: 1,
        takes: (0, 0),
        retry_after: None,
        ..transient(name, part)
    }
}

/// No whole answer: two attempts of 2 s, and what the deadline of 5 s leaves of a third.
fn too_slow(name: &'static str, part: Part) -> Fault {
    Fault {
        ends: (504, "upstream-timeout"),
        attempts: 3,
        takes: (5_000, 5_000),
        retry_after: None,
        ..transient(name, part)
    }
}

fn asking(status: &str, retry_after: &str) -> Part {
    Part::Bytes(
        format!("HTTP/1.1 {status}\r\nretry-after: {retry_after}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            .into_bytes(),
    )
}

/// Asks for `wait` seconds as a date, by a clock that is `offset` seconds ahead.
fn asking_by_date(status: &str, offset: u64, wait: u64) -> Part {
    let date = httpdate(Duration::from_secs(offset));
    let until = httpdate(Duration::from_secs(offset + wait));
    Part::Bytes(
        format!(
            "HTTP/1.1 {status}\r\ndate: {date}\r\nretry-after: {until}\r\nconnection: close\r\n\
             content-length: 0\r\n\r\n"
        )
        .into_bytes(),
    )
}

fn endless(head: &'static str, piece: &str, pause: u64) -> Part {
    Part::Endless {
        head,
        piece: piece.to_owned(),
        pause: Duration::from_millis(pause),
    }
}

fn faults() -> Vec<Fault> {
    let a_day = httpdate(Duration::from_secs(86_400));
    let flood = "s3cret ".repeat(1_000);
    let mut faults = vec![
        too_slow("stalls", Part::Stall),
        too_slow(
            "stalls after its head",
            endless("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", "", 60_000),
        ),
        too_slow(
            "drips its head",
            endless("HTTP/1.1 200 OK\r\nx-s3cret: ", "s", 100),
        ),
        too_slow(
            "drips its body",
            endless("HTTP/1.1 200 OK\r\n\r\n{\"INPUT\":\"", "s", 100),
        ),
        transient("resets at once", Part::Reset("")),
        transient("resets in its head", Part::Reset("HTTP/1.1 200 s3cret")),
        transient(
            "resets in its body",
            Part::Reset("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"s3cret"),
        ),
        transient("closes at once", Part::Bytes(Vec::new())),
        transient(
            "truncates",
            Part::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"INPUT\":\"s3cret".to_vec()),
        ),
        Fault {
            takes: (3_000, 3_000 + BACKOFF),
            ..transient("asks for a second each time", asking("503 s3cret", "1"))
        },
        Fault {
            attempts: 3,
            takes: (4_000, 4_000 + BACKOFF),
            retry_after: Some("2"),
            ..transient(
                "asks for 2 s each time: the third wait does not fit",
                asking("429 s3cret", "2"),
            )
        },
        Fault {
            attempts: 1,
            takes: (0, 0),
            retry_after: Some("60"),
            ..transient("asks for a day", asking("503 s3cret", "86400"))
        },
        Fault {
            attempts: 1,
            takes: (0, 0),
            retry_after: Some("60"),
            ..transient("asks for tomorrow", asking("429 s3cret", &a_day))
        },
        Fault {
            takes: (3_000, 3_000 + BACKOFF),
            ..transient(
                "asks for a second by a clock that is an hour ahead",
                asking_by_date("503 s3cret", 3_600, 1),
            )
        },
        Fault {
            attempts: 1,
            takes: (0, 0),
            retry_after: Some("60"),
            ..transient(
                "asks for an hour by a clock that is an hour ahead",
                asking_by_date("503 s3cret", 3_600, 3_600),
            )
        },
        transient(
            "closes in the middle of its JSON, without length and chunks",
            Part::Bytes(b"HTTP/1.1 200 OK\r\n\r\n{\"INPUT\":\"ih\",\"OUTPUT\":\"s3cret".to_vec()),
        ),
        transient("asks for nothing readable", asking("503 s3cret", "s3cret")),
        permanent("HTML", Part::body("<html>s3cret</html>")),
        permanent("broken JSON", Part::body(r#"{"INPUT":"ih","OUTPUT":"s3cret"#)),
        permanent(
            "wrong types",
            Part::body(r#"{"INPUT":["s3cret"],"OUTPUT":{"s3cret":1}}"#),
        ),
        permanent(
            "another request's INPUT",
            Part::body(r#"{"INPUT":"s3cret","OUTPUT":"S3CRET"}"#),
        ),
        permanent("another text", Part::body(r#"{"INPUT":"ih","OUTPUT":"S3CRET"}"#)),
        permanent(
            "bad UTF-8",
            Part::body(b"{\"INPUT\":\"ih\",\"OUTPUT\":\"s3cret\xff\"}"),
        ),
        Fault {
            takes: (0, FLOOD),
            ..permanent("floods its body", endless("HTTP/1.1 200 OK\r\n\r\n", &flood, 0))
        },
        Fault {
            takes: (0, FLOOD),
            ..permanent(
                "floods its head",
                endless("HTTP/1.1 200 OK\r\n", &"x-s3cret: s3cret\r\n".repeat(100), 0),
            )
        },
        permanent(
            "redirects",
            Part::Bytes(
                b"HTTP/1.1 307 s3cret\r\nlocation: http://127.0.0.1:1/s3cret\r\ncontent-length: 0\r\n\r\n"
                    .to_vec(),
            ),
        ),
        permanent(
            "speaks garbage",
            Part::Bytes(b"s3cret s3cret s3cret\r\n\r\n".to_vec()),
        ),
    ];
    for status in [
        "500 s3cret",
        "502 s3cret",
        "503 s3cret",
        "504 s3cret",
        "429 s3cret",
        "408 s3cret",
    ] {
        faults.push(transient(status, Part::status(status)));
    }
    for status in ["400 s3cret", "404 s3cret"] {
        faults.push(permanent(status, Part::status(status)));
    }
    faults
}

fn httpdate(from_now: Duration) -> String {
    // RFC 9110 section 5.6.7, by the one library that tests and service share.
    httpdate::fmt_http_date(std::time::SystemTime::now() + from_now)
}

#[tokio::test]
async fn every_fault_has_its_answer_its_attempts_and_its_time() {
    let script = Script::start([Part::Stall]).await;
    let app = app_with(&script.server, &PATIENT).await;
    let _clock = Paced::start();
    for fault in faults() {
        let name = fault.name;
        script.then([fault.part]);
        let before = script.attempts().len();
        let began = Instant::now();
        let response = app.shout("hi").send().await.expect("an answer");
        let took = u64::try_from(began.elapsed().as_millis()).expect("short");
        assert_eq!(response.status(), fault.ends.0, "{name}");
        assert_eq!(script.attempts().len() - before, fault.attempts, "{name}");
        let (least, most) = fault.takes;
        assert!((least..=most + STEPS).contains(&took), "{name}: {took} ms");
        let retry_after = response.headers().get("retry-after").cloned();
        assert_eq!(
            retry_after.as_ref().and_then(|value| value.to_str().ok()),
            fault.retry_after,
            "{name}"
        );
        assert!(!format!("{:?}", response.headers()).contains("s3cret"), "{name}");
        let problem = assert_problem(response, fault.ends.0, fault.ends.1).await;
        assert!(!problem.to_string().contains("s3cret"), "{name}: {problem}");
    }
}

#[tokio::test]
async fn a_fault_that_passes_is_hidden_and_a_permanent_one_is_not_tried_again() {
    let script = Script::start([Part::Stall]).await;
    let app = app_with(&script.server, &PATIENT).await;
    let _clock = Paced::start();
    for fault in faults() {
        let name = fault.name;
        script.then([fault.part, Part::Shout]);
        let before = script.attempts().len();
        let response = app.shout("hi").send().await.expect("an answer");
        let may_pass = fault.attempts > 1;
        assert_eq!(
            response.status(),
            if may_pass { 200 } else { fault.ends.0 },
            "{name}"
        );
        assert_eq!(
            script.attempts().len() - before,
            1 + usize::from(may_pass),
            "{name}"
        );
        if may_pass {
            assert_eq!(response.text().await.expect("UTF-8"), "IH", "{name}");
        }
    }
}

#[tokio::test]
async fn a_slow_shout_is_a_shout() {
    let pause = Duration::from_millis(10);
    let script = Script::start([Part::DrippedShout { pause }]).await;
    let app = app_with(&script.server, &PATIENT).await;
    let _clock = Paced::start();
    let response = app.shout("hi").send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.expect("UTF-8"), "IH");
    assert_eq!(script.attempts().len(), 1);
}

#[tokio::test]
async fn an_attempt_that_may_last_as_long_as_the_deadline_is_ended_by_the_deadline() {
    let script = Script::start([Part::Stall]).await;
    let times = [
        ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "3s"),
        ("SHOUTCLOUD_DEADLINE", "3s"),
    ];
    let app = app_with(&script.server, &times).await;
    let _clock = Paced::start();
    let response = app.shout("hi").send().await.expect("an answer");
    assert_problem(response, 504, "upstream-timeout").await;
    assert_eq!(script.attempts().len(), 1);
}
