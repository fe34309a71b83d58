//! The OpenAPI document, and that the service conforms to it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::api::responses::{self, RecordedResponse};
use crate::support::App;

/// Returns the document of a configuration like that of `responses::all`.
async fn complete_document() -> Value {
    let settings = [("MAX_BODY_BYTES", "1000"), ("RATE_LIMIT_PER_CLIENT", "1/h")];
    App::start(&settings).await.document().await
}

fn names(value: &Value) -> Vec<&str> {
    let object = value.as_object().expect("an object");
    object.keys().map(String::as_str).collect()
}

/// Yields the path and the `POST` of each operation.
fn operations(document: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.contains_key("/v1"));
    paths.iter().map(|(path, item)| (path.as_str(), &item["post"]))
}

/// Returns a part of the document that can resolve `#/components/…`.
fn resolvable(part: &Value, document: &Value) -> Value {
    let mut part = part.clone();
    part["components"] = document["components"].clone();
    part
}

/// Returns the types of the problems that a response may have.
fn types<'a>(document: &'a Value, status: &str) -> Vec<&'a str> {
    let schema = &document["components"]["schemas"][format!("Problem{status}")]["allOf"][1];
    let types = schema["properties"]["type"]["enum"].as_array().expect("types");
    types
        .iter()
        .map(|name| name.as_str().expect("a string"))
        .collect()
}

#[tokio::test]
async fn it_is_an_openapi_3_1_document_of_post_requests() {
    let document = complete_document().await;
    let version = document["openapi"].as_str().expect("a version");
    assert!(version.starts_with("3.1."), "{version}");
    assert_eq!(document["info"]["title"], "Shoutback");
    assert_eq!(document["info"]["license"]["identifier"], "Apache-2.0");
    assert_eq!(document["servers"][0]["url"], "/");
    for (path, operation) in operations(&document) {
        assert_eq!(names(&document["paths"][path]), ["post"], "{path}");
        let content = &operation["requestBody"]["content"];
        assert_eq!(names(content), ["application/json", "text/plain"], "{path}");
    }
}

#[tokio::test]
async fn its_security_is_that_of_the_configuration() {
    let security = async |settings: &[(&str, &str)]| {
        let document = App::start_unready(settings).await.document().await;
        let required = document["paths"]["/v1"]["post"]["security"].clone();
        for (path, operation) in operations(&document) {
            assert_eq!(operation["security"], required, "{path}");
        }
        (required, document["components"]["securitySchemes"].clone())
    };
    let (required, schemes) = security(&[]).await;
    assert_eq!(required, json!([{ "cognito": ["shoutback/shout"] }]));
    let scheme = &schemes["cognito"];
    assert_eq!(
        (&scheme["type"], &scheme["scheme"]),
        (&json!("http"), &json!("bearer"))
    );
    let description = scheme["description"].as_str().expect("a description");
    assert!(
        description.contains("with the scope `shoutback/shout`"),
        "{description}"
    );

    let (required, schemes) = security(&[("AUTH_REQUIRED_SCOPES", "")]).await;
    assert_eq!(required, json!([{ "cognito": [] }]));
    let description = schemes["cognito"]["description"].as_str().expect("a description");
    assert!(!description.contains("scope"), "{description}");

    let (required, schemes) = security(&[
        ("AUTH_REQUIRED_SCOPES", "a/b,c/d"),
        ("COGNITO_CLIENT_IDS", "page"),
        ("DOCS_CLIENT_ID", "page"),
        ("DOCS_COGNITO_DOMAIN", "auth.example.com"),
    ])
    .await;
    assert_eq!(required, json!([{ "cognito": ["a/b", "c/d"] }]));
    let flows = &schemes["cognito"]["flows"];
    assert_eq!(names(flows), ["authorizationCode", "clientCredentials"]);
    for flow in ["authorizationCode", "clientCredentials"] {
        assert_eq!(flows[flow]["tokenUrl"], "https://auth.example.com/oauth2/token");
        assert_eq!(names(&flows[flow]["scopes"]), ["a/b", "c/d"]);
    }

    let (required, schemes) = security(&[("AUTH_MODE", "disabled")]).await;
    assert_eq!(required, json!([]));
    assert_eq!(schemes, Value::Null);
}

#[tokio::test]
async fn it_omits_problems_and_headers_that_the_configuration_excludes() {
    let settings = [("AUTH_MODE", "disabled"), ("RATE_LIMIT_PER_CLIENT", "off")];
    let open = App::start(&settings).await.document().await;
    assert_eq!(
        types(&open, "503"),
        ["/docs#upstream-unavailable", "/docs#overloaded"]
    );
    for (path, operation) in operations(&open) {
        let responses = &operation["responses"];
        for status in names(responses) {
            assert!(!["401", "403", "429"].contains(&status), "{path}: {status}");
            assert_eq!(
                responses[status]["headers"].get("ratelimit"),
                None,
                "{path}: {status}"
            );
        }
    }
}

#[tokio::test]
async fn it_documents_exactly_the_statuses_that_exist() {
    let document = complete_document().await;
    let responses = responses::all().await;
    for (path, operation) in operations(&document) {
        let documented = names(&operation["responses"]);
        // 500 needs a panic, which no request can cause.
        let mut expected = BTreeSet::from(["500".to_owned()]);
        let posted = responses
            .iter()
            .filter(|seen| seen.method == "post" && seen.path == path);
        expected.extend(posted.map(|seen| seen.status.to_string()));
        assert_eq!(
            documented,
            expected.into_iter().collect::<Vec<_>>(),
            "{path}: documented and seen; the fields of its Operation in src/http/routes.rs decide what is documented, \
             tests/it/api/responses.rs what is seen"
        );
    }
}

#[tokio::test]
async fn every_response_conforms_to_its_documentation() {
    let document = complete_document().await;
    for seen in responses::all().await {
        if seen.method != "post" {
            continue;
        }
        let response = &document["paths"][&seen.path]["post"]["responses"][seen.status.to_string()];
        assert!(
            response.is_object(),
            "{} {}: {} is not documented",
            seen.path,
            seen.case,
            seen.status
        );
        assert_headers(seen, response, &document);
        assert_body(seen, response, &document);
    }
}

#[tokio::test]
async fn the_headers_of_the_quota_are_sent_exactly_where_they_are_documented() {
    let document = complete_document().await;
    let of_v1 = &document["paths"]["/v1"]["post"]["responses"];
    let mut sometimes = BTreeSet::new();
    for seen in responses::all().await.iter().filter(|seen| seen.method == "post") {
        let Some(name) = seen.problem() else {
            assert!(seen.header("ratelimit").is_some(), "{}", seen.case);
            continue;
        };
        let response = &of_v1[seen.status.to_string()];
        let paragraph = description_of(response, &name);
        let is_sent = seen.header("ratelimit").is_some();
        assert_eq!(
            is_sent,
            seen.header("ratelimit-policy").is_some(),
            "{}",
            seen.case
        );
        if paragraph.contains("With `ratelimit` only if") {
            sometimes.insert((name, is_sent));
        } else {
            let is_documented = response["headers"].get("ratelimit").is_some();
            let is_excluded = paragraph.contains("Without `ratelimit`");
            assert_eq!(
                is_sent,
                is_documented && !is_excluded,
                "{}: {paragraph}",
                seen.case
            );
        }
    }
    let too_large = |is_sent| sometimes.contains(&("content-too-large".to_owned(), is_sent));
    assert!(too_large(true) && too_large(false), "{sometimes:?}");
}

/// Returns the paragraph about a kind of problem in the description of a response.
fn description_of<'a>(response: &'a Value, name: &str) -> &'a str {
    let description = response["description"].as_str().expect("a description");
    let beginning = format!("`{name}`: ");
    let mut paragraphs = description.split("\n\n");
    paragraphs
        .find(|paragraph| paragraph.starts_with(&beginning))
        .unwrap_or_else(|| panic!("nothing about {name} in {description}"))
}

/// Headers that a documented status has only sometimes.
const OPTIONAL: [&str; 5] = [
    "accept",
    "accept-encoding",
    "ratelimit",
    "ratelimit-policy",
    "server-timing",
];

fn assert_headers(seen: &RecordedResponse, response: &Value, document: &Value) {
    let documented = names(&response["headers"]);
    for name in &documented {
        let is_optional = OPTIONAL.contains(name) && seen.status != 429;
        assert!(
            seen.header(name).is_some() || is_optional,
            "{}: {name} is documented",
            seen.case
        );
    }
    let defined = &document["components"]["headers"];
    for name in names(defined).into_iter().chain(["allow"]) {
        let Some(value) = seen.header(name) else {
            continue;
        };
        assert!(
            documented.contains(&name),
            "{}: {name} is not documented",
            seen.case
        );
        let schema = &defined[name]["schema"];
        let value = if schema["type"] == "integer" {
            json!(value.parse::<u64>().expect("an integer"))
        } else {
            json!(value)
        };
        for value in [&value, &defined[name]["example"]] {
            assert!(
                jsonschema::is_valid(schema, value),
                "{}: {name} is {value}",
                seen.case
            );
        }
    }
}

#[tokio::test]
async fn every_example_is_what_the_service_sends() {
    let document = complete_document().await;
    let app = App::start(&[]).await;
    // The problems of all operations, as schemas share them.
    let mut named = BTreeSet::new();
    for (path, operation) in operations(&document) {
        let problems = assert_examples(path, operation, &document).await;
        if path == "/v1" {
            assert!(problems.len() > 13, "{problems:?}");
        }
        named.extend(problems);
        let request = &operation["requestBody"]["content"];
        let response = &operation["responses"]["200"]["content"];
        for media_type in ["application/json", "text/plain"] {
            let example = |content: &Value| match &content[media_type]["examples"]["text"]["value"] {
                Value::String(text) => text.clone(),
                value => value.to_string(),
            };
            let request = app
                .post_to(path)
                .bearer_auth(app.cognito.token())
                .header("content-type", media_type)
                .body(example(request));
            let sent = request.send().await.expect("a response").text().await;
            assert_eq!(
                sent.expect("UTF-8"),
                example(response),
                "{path}: the example of the 200 in {media_type} is not the response to that of the request"
            );
        }
    }
    let schemas = names(&document["components"]["schemas"]).into_iter();
    let statuses =
        schemas.filter_map(|name| name.strip_prefix("Problem").filter(|status| !status.is_empty()));
    let allowed = statuses.flat_map(|status| types(&document, status));
    let allowed: BTreeSet<_> = allowed.map(str::to_owned).collect();
    assert_eq!(
        named, allowed,
        "the examples of problems, and the types that the schemas allow"
    );
}

/// Asserts that the examples of the problems of an operation conform to their schemas and are sent; returns their types.
async fn assert_examples(path: &str, operation: &Value, document: &Value) -> BTreeSet<String> {
    let responses = responses::all().await;
    let mut found = BTreeSet::new();
    for status in names(&operation["responses"]) {
        let content = &operation["responses"][status]["content"];
        for media_type in names(content) {
            let media = &content[media_type];
            let schema = resolvable(&media["schema"], document);
            for name in names(&media["examples"]) {
                let example = &media["examples"][name]["value"];
                assert!(
                    jsonschema::is_valid(&schema, example),
                    "{path}: its schema does not allow the example {example}"
                );
                let sent = |seen: &RecordedResponse| {
                    let same = |member: &str| seen.member(member) == example[member];
                    seen.path == path && ["type", "title", "status", "detail"].into_iter().all(same)
                };
                let is_sent = status == "200" || status == "500" || responses.iter().any(sent);
                assert!(
                    is_sent,
                    "{path}: no response is {example}; correct its detail in src/http/openapi/problems.rs, or add a case to \
                     tests/it/api/responses.rs"
                );
                if status != "200" {
                    assert_eq!(example["type"], format!("/docs#{name}"), "{path}");
                    found.insert(format!("/docs#{name}"));
                }
            }
        }
    }
    found
}

fn assert_body(seen: &RecordedResponse, response: &Value, document: &Value) {
    let content = response["content"].as_object().expect("content");
    let content_type = seen.header("content-type").expect("a media type");
    let essence = content_type.split(';').next().expect("a media type");
    let media = content
        .get(essence)
        .unwrap_or_else(|| panic!("{}: {essence} is not documented", seen.case));
    let schema = resolvable(&media["schema"], document);
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let body = if essence.ends_with("json") {
        serde_json::from_str(&seen.body).expect("JSON")
    } else {
        Value::String(seen.body.clone())
    };
    let errors: Vec<_> = validator
        .iter_errors(&body)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{}: {errors:?} in {body}", seen.case);
    assert!(
        !validator.is_valid(&json!({})),
        "{}: the schema accepts anything",
        seen.case
    );
}

#[tokio::test]
async fn requests_that_the_schema_rejects_are_malformed() {
    let app = App::start(&[]).await;
    let document = app.document().await;
    for (path, operation) in operations(&document) {
        let content = &operation["requestBody"]["content"];
        let schema = resolvable(&content["application/json"]["schema"], &document);
        let validator = jsonschema::draft202012::new(&schema).expect("a schema");
        for (body, status) in [
            (json!({"data": "hi"}), 200),
            (json!({"data": ""}), 200),
            (json!({"data": "hi", "more": 1}), 200),
            (json!({}), 400),
            (json!({"data": 1}), 400),
            (json!({"data": null}), 400),
            (json!(["hi"]), 400),
            (json!("hi"), 400),
        ] {
            assert_eq!(validator.is_valid(&body), status == 200, "{path}: {body}");
            let request = app
                .post_to(path)
                .bearer_auth(app.cognito.token())
                .header("content-type", "application/json")
                .body(body.to_string());
            assert_eq!(
                request.send().await.expect("a response").status(),
                status,
                "{path}: {body}"
            );
        }
    }
}
