//! Which refusal a request gets that deserves several, and what is read of it before.

use serde_json::{Map, Value, json};

use crate::support::App;
use crate::support::http1::{Connection, Response};

const LIMIT: usize = 100;

/// A request that is good until faults are put into it.
struct Request {
    method: &'static str,
    path: &'static str,
    claims: Map<String, Value>,
    quota_is_used_up: bool,
    content_type: &'static str,
    accept: &'static str,
    declares_too_much: bool,
    is_too_long: bool,
    is_malformed: bool,
}

type Fault = (u16, fn(&mut Request));

/// Every refusal, first to last.
const FAULTS: [Fault; 10] = [
    (404, |request| request.path = "/v2"),
    (405, |request| request.method = "PUT"),
    (413, |request| request.declares_too_much = true),
    (401, |request| {
        request.claims.insert("exp".to_owned(), json!(1));
    }),
    (403, |request| {
        request.claims.insert("scope".to_owned(), json!("openid"));
    }),
    (429, |request| request.quota_is_used_up = true),
    (415, |request| request.content_type = "text/html"),
    (406, |request| request.accept = "image/png"),
    (413, |request| request.is_too_long = true),
    (400, |request| request.is_malformed = true),
];

impl Request {
    /// A good one, of a person who has not asked before.
    fn of(app: &App, person: &str) -> Self {
        let mut claims = app.cognito.claims();
        claims.insert("sub".to_owned(), json!(person));
        Self {
            method: "POST",
            path: "/v1",
            claims,
            quota_is_used_up: false,
            content_type: "application/json",
            accept: "*/*",
            declares_too_much: false,
            is_too_long: false,
            is_malformed: false,
        }
    }

    async fn send(&self, app: &App) -> Response {
        let mut connection = Connection::open(app.public).await;
        connection
            .send(format!(
                "{} {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: {}\r\naccept: {}\r\n",
                self.method,
                self.path,
                app.cognito.sign(&self.claims),
                self.content_type,
                self.accept
            ))
            .await;
        if self.declares_too_much {
            connection
                .send(format!("content-length: {}\r\n\r\n", LIMIT + 1))
                .await;
        } else {
            let mut body = if self.is_malformed { "{" } else { r#"{"data":""}"# }.to_owned();
            if self.is_too_long {
                body.push_str(&" ".repeat(LIMIT));
            }
            connection
                .send(format!(
                    "transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                    body.len()
                ))
                .await;
        }
        connection.response().await
    }
}

#[tokio::test]
async fn a_request_that_deserves_several_refusals_gets_the_first() {
    let limit = LIMIT.to_string();
    let app = App::start(&[
        ("MAX_BODY_BYTES", limit.as_str()),
        ("RATE_LIMIT_PER_CLIENT", "1/h"),
        ("RATE_LIMIT_BURST", "1"),
    ])
    .await;
    assert_eq!(Request::of(&app, "good").send(&app).await.status, 200);
    let singles = FAULTS.iter().map(|fault| vec![*fault]);
    let pairs = (0..FAULTS.len())
        .flat_map(|first| (first + 1..FAULTS.len()).map(move |second| vec![FAULTS[first], FAULTS[second]]));
    let all_after = (0..FAULTS.len()).map(|first| FAULTS[first..].to_vec());
    for (person, faults) in singles.chain(pairs).chain(all_after).enumerate() {
        let statuses: Vec<_> = faults.iter().map(|(status, _)| *status).collect();
        let person = person.to_string();
        let mut request = Request::of(&app, &person);
        for (_, put_in) in &faults {
            put_in(&mut request);
        }
        if request.quota_is_used_up {
            let good = Request::of(&app, &person);
            assert_eq!(good.send(&app).await.status, 200, "{statuses:?}");
        }
        let answer = request.send(&app).await;
        assert_eq!(answer.status, statuses[0], "{statuses:?}: {answer:?}");
        answer.problem();
    }
}

#[tokio::test]
async fn no_byte_of_a_body_is_asked_for_before_the_request_is_let_in() {
    let app = App::start(&[]).await;
    let good = app.cognito.token();
    let forbidden = app.token_with(&[("scope", json!("openid"))]);
    for (token, length, form, accept, status) in [
        ("bad", "5", "text/plain", "*/*", 401),
        (forbidden.as_str(), "5", "text/plain", "*/*", 403),
        (&good, "65537", "text/plain", "*/*", 413),
        (&good, "5", "text/html", "*/*", 415),
        (&good, "5", "text/plain", "image/png", 406),
        (&good, "5", "text/plain", "*/*", 100),
    ] {
        let mut connection = Connection::open(app.public).await;
        connection
            .send(format!(
                "POST /v1 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: {form}\r\n\
                 accept: {accept}\r\ncontent-length: {length}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n"
            ))
            .await;
        assert_eq!(connection.response().await.status, status);
        if status == 100 {
            connection.send("hello").await;
            let answer = connection.response().await;
            assert_eq!((answer.status, answer.body.as_str()), (200, "OLLEH"));
        }
        assert_eq!(connection.rest().await, "", "{status}");
    }
}
