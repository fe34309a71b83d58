//! The form: three parts in base64url, JSON objects in UTF-8, no name twice, no critical extension.

use serde_json::json;
use shoutback::auth::AuthError;

use super::{Gate, HEADER, sign};
use crate::support::jwt::{b64, seal, with_first, with_last};
use crate::support::rsa::ADA;

#[tokio::test]
async fn critical_extensions_are_refused_all_of_them() {
    let gate = Gate::open(&[]).await;
    let cases = [
        r#"["b64"]"#,
        r#"["exp"]"#,
        r#"["x"]"#,
        "[]",
        "null",
        "false",
        r#""""#,
    ]
    .map(|crit| {
        let header = with_last(HEADER, &format!(r#""crit":{crit},"b64":true,"x":1"#));
        (format!("crit {crit}"), sign(header, gate.claims()))
    });
    gate.refuses_all(&AuthError::UnacceptableHeader, cases).await;
    let unknown = with_last(HEADER, r#""typ":"JWT","x":[1,{"y":null}]"#);
    gate.accepts("unknown header members", &sign(unknown, gate.claims()))
        .await;
}

#[tokio::test]
async fn no_name_occurs_twice() {
    let gate = Gate::open(&[]).await;
    let mut cases = Vec::new();
    for member in [
        r#""alg":"none""#,
        r#""alg":"RS256""#,
        r#""\u0061lg":"RS256""#,
        r#""\u0061\u006c\u0067":"HS256""#,
        r#""kid":"AdaKey/0123+456789=""#,
        r#""k\u0069d":"other""#,
        r#""x":1,"x":1"#,
        r#""x":1,"\u0078":2"#,
        r#""crit":[],"crit":[]"#,
    ] {
        for (place, header) in [
            ("first", with_first(HEADER, member)),
            ("last", with_last(HEADER, member)),
        ] {
            cases.push((
                format!("header {} {place}", member.escape_debug()),
                sign(header, gate.claims()),
            ));
        }
    }
    let issuer = gate.app.cognito.issuer();
    let client = &gate.app.cognito.client().id;
    let claims = with_last(&gate.claims(), r#""nbf":0,"cognito:groups":["g"]"#);
    for member in [
        format!(r#""iss":"{issuer}""#),
        r#""iss":"https://evil.example""#.to_owned(),
        format!(r#""\u0069ss":"{issuer}""#),
        r#""token_use":"access""#.to_owned(),
        r#""token_use":"id""#.to_owned(),
        r#""token\u005fuse":"access""#.to_owned(),
        format!(r#""client_id":"{client}""#),
        r#""client_id":"other""#.to_owned(),
        r#""exp":4000000000"#.to_owned(),
        r#""exp":0"#.to_owned(),
        r#""\u0065xp":4000000000"#.to_owned(),
        r#""nbf":0"#.to_owned(),
        r#""scope":"shoutback/shout""#.to_owned(),
        r#""cognito:groups":["g"]"#.to_owned(),
        r#""cognito\u003agroups":["g"]"#.to_owned(),
        r#""sub":"somebody else""#.to_owned(),
        r#""x":1,"x":1"#.to_owned(),
        r#""x":1,"\u0078":1"#.to_owned(),
    ] {
        for (place, claims) in [
            ("first", with_first(&claims, &member)),
            ("last", with_last(&claims, &member)),
        ] {
            cases.push((
                format!("claim {} {place}", member.escape_debug()),
                sign(HEADER, claims),
            ));
        }
    }
    gate.refuses_all(&AuthError::MalformedToken, cases).await;
    gate.accepts("each of them once", &sign(HEADER, claims)).await;
}

#[tokio::test]
async fn header_and_claims_are_json_objects_in_utf_8() {
    let gate = Gate::open(&[]).await;
    let broken = |good: &str| -> Vec<(&str, Vec<u8>)> {
        let bytes = |text: String| text.into_bytes();
        let bent = |member: &str| bytes(with_last(good, member));
        let mut bad_utf8 = bent(r#""x":"?""#);
        let at = bad_utf8
            .iter()
            .rposition(|byte| *byte == b'?')
            .expect("it was put in");
        bad_utf8[at] = 0xFF;
        let mut overlong = bent(r#""x":"??""#);
        let at = overlong
            .iter()
            .rposition(|byte| *byte == b'?')
            .expect("it was put in");
        overlong[at - 1..=at].copy_from_slice(&[0xC0, 0xAF]);
        vec![
            ("an array of it", bytes(format!("[{good}]"))),
            (
                "an array of its values",
                bytes(r#"["RS256","AdaKey/0123+456789="]"#.to_owned()),
            ),
            ("a string", bytes(json!(good).to_string())),
            ("null", bytes("null".to_owned())),
            ("a number", bytes("1".to_owned())),
            ("nothing", vec![]),
            ("a byte order mark", bytes(format!("\u{feff}{good}"))),
            ("two objects", bytes(format!("{good}{good}"))),
            ("more after it", bytes(format!("{good}x"))),
            ("a NUL after it", bytes(format!("{good}\0"))),
            ("cut off", bytes(good[..good.len() - 1].to_owned())),
            ("a comma too many", bytes(good.replace('}', ",}"))),
            ("a comment", bytes(format!("/**/{good}"))),
            ("single quotes", bytes(good.replace('"', "'"))),
            ("UTF-16", good.encode_utf16().flat_map(u16::to_le_bytes).collect()),
            ("bad UTF-8", bad_utf8),
            ("an overlong slash", overlong),
            ("a lone surrogate", bent(r#""x":"\ud800""#)),
            ("a lone surrogate in a name", bent(r#""\udc00":1"#)),
            ("surrogates in the wrong order", bent(r#""x":"\udc00\ud800""#)),
            ("a raw line end in a string", bent("\"x\":\"\n\"")),
            ("not a number", bent(r#""x":NaN"#)),
            ("infinity", bent(r#""x":-Infinity"#)),
            ("a leading zero", bent(r#""x":01"#)),
        ]
    };
    let claims = gate.claims();
    let mut cases = Vec::new();
    for (name, header) in broken(HEADER) {
        cases.push((format!("header: {name}"), sign(header, &claims)));
    }
    for (name, claims) in broken(&claims) {
        cases.push((format!("claims: {name}"), sign(HEADER, claims)));
    }
    let deep = format!("{}1{}", "[".repeat(2500), "]".repeat(2500));
    let claims_too_deep = gate.claims_with_text("scope", &deep);
    cases.push(("scope nested deep".to_owned(), sign(HEADER, claims_too_deep)));
    for exp in [
        "1e400",
        "Infinity",
        "NaN",
        "0x7fffffff",
        "+4000000000",
        "4000000000.",
    ] {
        let claims = gate.claims_with_text("exp", exp);
        cases.push((format!("exp {exp}"), sign(HEADER, claims)));
    }
    gate.refuses_all(&AuthError::MalformedToken, cases).await;

    let spaced = format!(" \r\n\t{HEADER}\n");
    let odd = with_last(&claims, r#""x":"\ud83d\ude00 é 😀","y":[{"x":1},{"x":1}]"#);
    gate.accepts(
        "white space, pairs of surrogates, other letters",
        &sign(spaced, odd),
    )
    .await;
    let deep = with_last(&claims, &format!(r#""x":{deep}"#));
    gate.accepts("what nobody reads nested deep", &sign(HEADER, deep))
        .await;
}

#[tokio::test]
async fn a_part_has_one_spelling_in_base64url() {
    let gate = Gate::open(&[]).await;
    // One byte more than a multiple of three leaves four bits over; the question marks bring a character that the other
    // alphabet has not.
    let pad = |text: String| text.clone() + &" ".repeat((4 - text.len() % 3) % 3);
    let header = b64(pad(with_last(HEADER, r#""x":"????""#)));
    let claims = b64(pad(with_last(&gate.claims(), r#""x":"????""#)));
    let sealed = |header: &str, claims: &str| seal(header, claims, |message| ADA.rs256(message));
    let signature = |token: &str| token.rsplit('.').next().expect("three parts").to_owned();
    let good = (0..1000)
        .map(|_| sealed(&header, &b64(pad(with_last(&gate.claims(), r#""x":"????""#)))))
        .find(|token| signature(token).contains(['-', '_']))
        .expect("most signatures have one of them");
    gate.accepts("one of this form", &good).await;
    let sound = signature(&good);
    let message = good.strip_suffix(&sound).expect("it ends so");

    let other_alphabet = |part: &str| {
        assert!(part.contains(['-', '_']), "{part}");
        part.replace('-', "+").replace('_', "/")
    };
    let stray = |part: &str, by: u8| {
        let (rest, last) = part.split_at(part.len() - 1);
        let last = last.as_bytes()[0];
        assert!(b"AQgw".contains(&last), "four bits of {part} are free");
        format!("{rest}{}", char::from(last + by))
    };
    type Bend<'a> = &'a dyn Fn(&str) -> String;
    let bends: [(&str, Bend<'_>); 14] = [
        ("padded", &|part| format!("{part}==")),
        ("half padded", &|part| format!("{part}=")),
        ("padded twice", &|part| format!("{part}====")),
        ("in the other alphabet", &other_alphabet),
        ("with one stray bit", &|part| stray(part, 1)),
        ("with four stray bits", &|part| stray(part, 7)),
        ("with a space before", &|part| format!(" {part}")),
        ("with a space inside", &|part| {
            format!("{} {}", &part[..8], &part[8..])
        }),
        ("with a tab inside", &|part| {
            format!("{}\t{}", &part[..8], &part[8..])
        }),
        ("with a character left over", &|part| format!("{part}AAA")),
        ("percent-encoded", &|part| {
            format!("%{:02x}{}", part.as_bytes()[0], &part[1..])
        }),
        ("with a foreign character", &|part| format!("{part}!A")),
        ("with padding inside", &|part| {
            format!("{}=={}", &part[..8], &part[8..])
        }),
        ("empty", &|_| String::new()),
    ];
    let mut cases = Vec::new();
    for (how, bend) in bends {
        if how != "with a space before" {
            cases.push((format!("header {how}"), sealed(&bend(&header), &claims)));
        }
        cases.push((format!("claims {how}"), sealed(&header, &bend(&claims))));
        if how != "empty" {
            cases.push((format!("signature {how}"), format!("{message}{}", bend(&sound))));
        }
    }
    gate.refuses_all(&AuthError::MalformedToken, cases).await;
}

#[tokio::test]
async fn a_token_has_three_parts() {
    let gate = Gate::open(&[]).await;
    let good = gate.good();
    let parts: Vec<&str> = good.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        panic!("three parts");
    };
    let encrypted = b64(r#"{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":"AdaKey/0123+456789="}"#);
    let cases = [
        ("one part", header.to_owned()),
        ("two parts", format!("{header}.{claims}")),
        ("two parts, claims first", format!("{claims}.{signature}")),
        ("four parts", format!("{good}.{signature}")),
        ("an empty fourth part", format!("{good}.")),
        ("an empty part before", format!(".{good}")),
        ("an empty part within", format!("{header}..{claims}.{signature}")),
        ("claims left out", format!("{header}..{signature}")),
        ("header left out", format!(".{claims}.{signature}")),
        ("dots alone", "..".to_owned()),
        ("a dot", ".".to_owned()),
        ("many dots", ".".repeat(8000)),
        ("a word", "token".to_owned()),
        (
            "JWE",
            format!("{encrypted}.{header}.{claims}.{signature}.{header}"),
        ),
        (
            "JWE with a good header",
            format!("{header}.{header}.{claims}.{signature}.{header}"),
        ),
        (
            "JSON serialization",
            json!({"payload": claims, "signatures": [{"protected": header, "signature": signature}]})
                .to_string(),
        ),
        ("quoted", format!("\"{good}\"")),
        ("two tokens", format!("{good},{good}")),
        ("two tokens with a space", format!("{good} {good}")),
    ];
    gate.refuses_all(&AuthError::MalformedToken, cases).await;
    gate.refuses_all(
        &AuthError::BadSignature,
        [
            ("no signature", format!("{header}.{claims}.")),
            ("the signature of another token", {
                let other = gate.good();
                let signature = other.rsplit('.').next().expect("three parts");
                format!("{header}.{claims}.{signature}")
            }),
            ("another's claims", {
                let claims = b64(gate.claims_with(&[("sub", json!("somebody else"))]));
                format!("{header}.{claims}.{signature}")
            }),
        ],
    )
    .await;
}
