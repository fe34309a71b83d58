//! Encoding: three parts in base64url, JSON objects in UTF-8, no duplicate names, no critical extensions.

use serde_json::json;
use shoutback::auth::AuthError;

use super::{HEADER, TokenTest, parts, sign};
use crate::support::jwt::{b64, seal, with_first, with_last};
use crate::support::rsa::ADA;

#[tokio::test]
async fn critical_extensions_are_rejected() {
    let test = TokenTest::start(&[]).await;
    let cases = r#"["b64"] ["exp"] ["x"] [] null false """#.split(' ').map(|crit| {
        let header = with_last(HEADER, &format!(r#""crit":{crit},"b64":true,"x":1"#));
        (format!("crit {crit}"), sign(header, test.claims()))
    });
    test.assert_all_rejected(AuthError::UnacceptableHeader, cases)
        .await;
    let unknown = with_last(HEADER, r#""typ":"JWT","x":[1,{"y":null}]"#);
    test.assert_accepted("unknown header members", &sign(unknown, test.claims()))
        .await;
}

#[tokio::test]
async fn duplicate_names_are_rejected() {
    let test = TokenTest::start(&[]).await;
    let header_members = [
        r#""alg":"none""#,
        r#""alg":"RS256""#,
        r#""\u0061lg":"RS256""#,
        r#""\u0061\u006c\u0067":"HS256""#,
        r#""kid":"AdaKey/0123+456789=""#,
        r#""k\u0069d":"other""#,
        r#""x":1,"x":1"#,
        r#""x":1,"\u0078":2"#,
        r#""crit":[],"crit":[]"#,
    ];
    let issuer = json!(test.app.cognito.issuer());
    let client = json!(test.app.cognito.client().id);
    let claims = with_last(&test.claims(), r#""nbf":0,"cognito:groups":["g"]"#);
    let claim_members = [
        &format!(r#""iss":{issuer}"#),
        r#""iss":"https://evil.example""#,
        &format!(r#""\u0069ss":{issuer}"#),
        r#""token_use":"access""#,
        r#""token_use":"id""#,
        r#""token\u005fuse":"access""#,
        &format!(r#""client_id":{client}"#),
        r#""client_id":"other""#,
        r#""exp":4000000000"#,
        r#""exp":0"#,
        r#""\u0065xp":4000000000"#,
        r#""nbf":0"#,
        r#""scope":"shoutback/shout""#,
        r#""cognito:groups":["g"]"#,
        r#""cognito\u003agroups":["g"]"#,
        r#""sub":"another user""#,
        r#""x":1,"x":1"#,
        r#""x":1,"\u0078":1"#,
    ];
    type Insert = fn(&str, &str) -> String;
    let mut cases = Vec::new();
    for (place, with) in [("first", with_first as Insert), ("last", with_last)] {
        for member in header_members {
            let case = format!("header {} {place}", member.escape_debug());
            cases.push((case, sign(with(HEADER, member), test.claims())));
        }
        for member in claim_members {
            let case = format!("claim {} {place}", member.escape_debug());
            cases.push((case, sign(HEADER, with(&claims, member))));
        }
    }
    test.assert_all_rejected(AuthError::MalformedToken, cases).await;
    test.assert_accepted("each name once", &sign(HEADER, claims))
        .await;
}

#[tokio::test]
async fn header_and_claims_must_be_json_objects_in_utf_8() {
    let test = TokenTest::start(&[]).await;
    let broken = |valid: &str| -> Vec<(&str, Vec<u8>)> {
        let bytes = |text: String| text.into_bytes();
        let with = |member: &str| bytes(with_last(valid, member));
        let with_bytes = |content: &[u8]| {
            let text = with_last(valid, r#""x":"?""#);
            let (before, after) = text.rsplit_once('?').expect("the placeholder");
            [before.as_bytes(), content, after.as_bytes()].concat()
        };
        vec![
            ("in an array", bytes(format!("[{valid}]"))),
            (
                "an array of values",
                bytes(r#"["RS256","AdaKey/0123+456789="]"#.to_owned()),
            ),
            ("a string", bytes(json!(valid).to_string())),
            ("null", bytes("null".to_owned())),
            ("a number", bytes("1".to_owned())),
            ("empty", vec![]),
            ("an opening brace", b"{".to_vec()),
            ("a byte order mark", bytes(format!("\u{feff}{valid}"))),
            ("two objects", bytes(format!("{valid}{valid}"))),
            ("trailing text", bytes(format!("{valid}x"))),
            ("a trailing NUL", bytes(format!("{valid}\0"))),
            ("truncated", bytes(valid[..valid.len() - 1].to_owned())),
            ("a trailing comma", bytes(valid.replace('}', ",}"))),
            ("a comment", bytes(format!("/**/{valid}"))),
            ("single quotes", bytes(valid.replace('"', "'"))),
            (
                "UTF-16",
                valid.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            ),
            ("invalid UTF-8", with_bytes(b"\xff")),
            ("an overlong slash", with_bytes(b"\xc0\xaf")),
            ("a lone surrogate", with(r#""x":"\ud800""#)),
            ("a lone surrogate in a name", with(r#""\udc00":1"#)),
            ("surrogates in the wrong order", with(r#""x":"\udc00\ud800""#)),
            ("a raw newline in a string", with("\"x\":\"\n\"")),
            ("not a number", with(r#""x":NaN"#)),
            ("infinity", with(r#""x":-Infinity"#)),
            ("a leading zero", with(r#""x":01"#)),
        ]
    };
    let claims = test.claims();
    let mut cases = Vec::new();
    for (name, header) in broken(HEADER) {
        cases.push((format!("header: {name}"), sign(header, &claims)));
    }
    for (name, claims) in broken(&claims) {
        cases.push((format!("claims: {name}"), sign(HEADER, claims)));
    }
    let deep = format!("{}1{}", "[".repeat(2500), "]".repeat(2500));
    let numbers = "1e400 Infinity NaN 0x7fffffff +4000000000 4000000000.";
    let exps = numbers.split(' ').map(|exp| ("exp", exp));
    for (name, value) in exps.chain([("scope", deep.as_str())]) {
        let claims = test.claims_with_text(name, value);
        cases.push((format!("{name} {value:.20}"), sign(HEADER, claims)));
    }
    test.assert_all_rejected(AuthError::MalformedToken, cases).await;

    let spaced = format!(" \r\n\t{HEADER}\n");
    let odd = with_last(&claims, r#""x":"\ud83d\ude00 é 😀","y":[{"x":1},{"x":1}]"#);
    test.assert_accepted(
        "white space, surrogate pairs, non-ASCII letters",
        &sign(spaced, odd),
    )
    .await;
    let deep = with_last(&claims, &format!(r#""x":{deep}"#));
    test.assert_accepted("deep nesting in an unknown claim", &sign(HEADER, deep))
        .await;
}

#[tokio::test]
async fn non_canonical_base64url_is_rejected() {
    let test = TokenTest::start(&[]).await;
    // One byte more than a multiple of three leaves four unused bits; the question marks are encoded with a character
    // that only the URL alphabet has.
    let pad = |text: String| text.clone() + &" ".repeat((4 - text.len() % 3) % 3);
    let header = b64(pad(with_last(HEADER, r#""x":"????""#)));
    let claims = b64(pad(with_last(&test.claims(), r#""x":"????""#)));
    let sealed = |header: &str, claims: &str| seal(header, claims, |message| ADA.rs256(message));
    let valid = (0..1000)
        .map(|_| sealed(&header, &b64(pad(with_last(&test.claims(), r#""x":"????""#)))))
        .find(|token| parts(token)[2].contains(['-', '_']))
        .expect("most signatures contain one of them");
    test.assert_accepted("unchanged", &valid).await;
    let signature = parts(&valid)[2];
    let message = valid.strip_suffix(signature).expect("a suffix");

    let standard_alphabet = |part: &str| {
        assert!(part.contains(['-', '_']), "{part}");
        part.replace('-', "+").replace('_', "/")
    };
    let stray = |part: &str, by: u8| {
        let (rest, last) = part.split_at(part.len() - 1);
        let last = last.as_bytes()[0];
        assert!(b"AQgw".contains(&last), "four bits of {part} are unused");
        format!("{rest}{}", char::from(last + by))
    };
    let insert = |part: &str, text: &str| format!("{}{text}{}", &part[..8], &part[8..]);
    type Change<'a> = &'a dyn Fn(&str) -> String;
    let changes: [(&str, Change<'_>); 14] = [
        ("padded", &|part| format!("{part}==")),
        ("half padded", &|part| format!("{part}=")),
        ("padded twice", &|part| format!("{part}====")),
        ("in the standard alphabet", &standard_alphabet),
        ("with one stray bit", &|part| stray(part, 1)),
        ("with four stray bits", &|part| stray(part, 7)),
        ("with a space before", &|part| format!(" {part}")),
        ("with a space inside", &|part| insert(part, " ")),
        ("with a tab inside", &|part| insert(part, "\t")),
        ("with a leftover character", &|part| format!("{part}AAA")),
        ("percent-encoded", &|part| {
            format!("%{:02x}{}", part.as_bytes()[0], &part[1..])
        }),
        ("with an invalid character", &|part| format!("{part}!A")),
        ("with padding inside", &|part| insert(part, "==")),
        ("empty", &|_| String::new()),
    ];
    let mut cases = Vec::new();
    for (how, change) in changes {
        if how != "with a space before" {
            cases.push((format!("header {how}"), sealed(&change(&header), &claims)));
        }
        cases.push((format!("claims {how}"), sealed(&header, &change(&claims))));
        if how != "empty" {
            cases.push((
                format!("signature {how}"),
                format!("{message}{}", change(signature)),
            ));
        }
    }
    test.assert_all_rejected(AuthError::MalformedToken, cases).await;
}

#[tokio::test]
async fn tokens_without_exactly_three_parts_are_rejected() {
    let test = TokenTest::start(&[]).await;
    let valid = test.valid_token();
    let [header, claims, signature] = parts(&valid);
    let encrypted = b64(r#"{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":"AdaKey/0123+456789="}"#);
    let cases = [
        ("one part", header.to_owned()),
        ("two parts", format!("{header}.{claims}")),
        ("two parts, claims first", format!("{claims}.{signature}")),
        ("four parts", format!("{valid}.{signature}")),
        ("an empty fourth part", format!("{valid}.")),
        ("an empty first part", format!(".{valid}")),
        ("an empty part inside", format!("{header}..{claims}.{signature}")),
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
        ("quoted", format!("\"{valid}\"")),
        ("two tokens", format!("{valid},{valid}")),
        ("two tokens with a space", format!("{valid} {valid}")),
    ];
    test.assert_all_rejected(AuthError::MalformedToken, cases).await;
    let other_claims = test.claims_with(&[("sub", json!("another user"))]);
    test.assert_all_rejected(
        AuthError::BadSignature,
        [
            ("no signature", format!("{header}.{claims}.")),
            (
                "the signature of another token",
                format!("{header}.{claims}.{}", parts(&test.valid_token())[2]),
            ),
            (
                "the claims of another user",
                format!("{header}.{}.{signature}", b64(other_claims)),
            ),
        ],
    )
    .await;
}
