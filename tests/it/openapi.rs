//! The OpenAPI document, and that the service conforms to it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::api::responses::{self, RecordedResponse};
use crate::support::{App, send};

async fn document(app: &App) -> Value {
    let url = format!("http://{}/openapi.json", app.public);
    let response = send(app.client.get(url)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    serde_json::from_str(&response.text().await.expect("UTF-8")).expect("JSON")
}

#[tokio::test]
async fn it_is_an_openapi_3_1_document_of_v1() {
    let app = App::start(&[]).await;
    let document = document(&app).await;
    let version = document["openapi"].as_str().expect("a version");
    assert!(version.starts_with("3.1."), "{version}");
    assert_eq!(document["info"]["title"], "Shoutback");
    let names = |value: &Value| {
        value
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&document["paths"]), ["/v1"]);
    assert_eq!(names(&document["paths"]["/v1"]), ["options", "post"]);
    let content = &document["paths"]["/v1"]["post"]["requestBody"]["content"];
    assert_eq!(names(content), ["application/json", "text/plain"]);
    let security = &document["paths"]["/v1"]["post"]["security"][0];
    let scheme = &document["components"]["securitySchemes"][&names(security)[0]];
    assert_eq!(
        (&scheme["type"], &scheme["scheme"]),
        (&json!("http"), &json!("bearer"))
    );
    assert_eq!(document["paths"]["/v1"]["options"].get("security"), None);
}

#[tokio::test]
async fn it_documents_exactly_the_statuses_that_exist() {
    let app = App::start(&[]).await;
    let document = document(&app).await;
    let documented = |method: &str| -> BTreeSet<String> {
        let responses = &document["paths"]["/v1"][method]["responses"];
        responses
            .as_object()
            .expect("responses")
            .keys()
            .cloned()
            .collect()
    };
    // 500 needs a panic, which no request can cause.
    let mut expected = BTreeSet::from(["500".to_owned()]);
    let responses = responses::all().await;
    let posted = responses.iter().filter(|seen| seen.method == "post");
    expected.extend(posted.map(|seen| seen.status.to_string()));
    assert_eq!(documented("post"), expected);
    assert_eq!(documented("options"), BTreeSet::from(["204".to_owned()]));
}

#[tokio::test]
async fn every_response_conforms_to_its_documentation() {
    let app = App::start(&[]).await;
    let document = document(&app).await;
    for seen in responses::all().await {
        if seen.method == "get" {
            continue;
        }
        let response = &document["paths"]["/v1"][seen.method]["responses"][seen.status.to_string()];
        assert!(
            response.is_object(),
            "{}: {} is not documented",
            seen.case,
            seen.status
        );
        assert_headers(seen, response);
        assert_body(seen, response, &document);
    }
}

fn assert_headers(seen: &RecordedResponse, response: &Value) {
    let nothing = Map::new();
    let documented = response["headers"].as_object().unwrap_or(&nothing);
    for name in documented.keys() {
        // A 415 has one of them.
        let is_other = |other: &str| seen.status == 415 && seen.header(other).is_some();
        let is_optional = match name.as_str() {
            "accept" => is_other("accept-encoding"),
            "accept-encoding" => is_other("accept"),
            _ => false,
        };
        assert!(
            seen.header(name).is_some() || is_optional,
            "{}: {name} is documented",
            seen.case
        );
    }
    for name in [
        "accept",
        "accept-encoding",
        "allow",
        "cache-status",
        "retry-after",
        "www-authenticate",
    ] {
        if seen.header(name).is_some() {
            assert!(
                documented.contains_key(name),
                "{}: {name} is not documented",
                seen.case
            );
        }
    }
}

fn assert_body(seen: &RecordedResponse, response: &Value, document: &Value) {
    let Some(content) = response["content"].as_object() else {
        assert_eq!(seen.body, "", "{}", seen.case);
        return;
    };
    let content_type = seen.header("content-type").expect("a media type");
    let essence = content_type.split(';').next().expect("a media type");
    let media = content
        .get(essence)
        .unwrap_or_else(|| panic!("{}: {essence} is not documented", seen.case));
    // Resolves `#/components/…`.
    let mut schema = media["schema"].clone();
    schema["components"] = document["components"].clone();
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
    let document = document(&app).await;
    let mut schema =
        document["paths"]["/v1"]["post"]["requestBody"]["content"]["application/json"]["schema"].clone();
    schema["components"] = document["components"].clone();
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
        assert_eq!(validator.is_valid(&body), status == 200, "{body}");
        let request = app
            .post()
            .bearer_auth(app.cognito.token())
            .header("content-type", "application/json")
            .body(body.to_string());
        assert_eq!(
            request.send().await.expect("a response").status(),
            status,
            "{body}"
        );
    }
}
