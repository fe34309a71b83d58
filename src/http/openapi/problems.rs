//! The problems of the OpenAPI document: a response and a schema per status, an example per kind.

use std::collections::BTreeSet;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use utoipa::PartialSchema as _;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::{
    AllOfBuilder, ContentBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Schema, Type,
};

use super::super::problem::{Body, Kind, QuotaCheck};
use super::headers::{self, Header};
use crate::auth::AuthError;
use crate::config::{Auth, Config};

/// Returns the response of each status of a problem.
pub(super) fn responses(config: &Config) -> impl Iterator<Item = (StatusCode, Response)> {
    statuses(config).into_iter().map(|status| {
        let examples = kinds(status, config).map(|kind| {
            let example = ExampleBuilder::new().summary(kind.title());
            (kind.name(), example.value(Some(example_of(kind, config))).build())
        });
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(schema_name(status))))
            .examples_from_iter(examples)
            .build();
        let descriptions: Vec<_> = kinds(status, config)
            .map(|kind| description(kind, config))
            .collect();
        let mut response = ResponseBuilder::new()
            .description(descriptions.join("\n\n"))
            .content("application/problem+json", content);
        for header in headers_of(status, config) {
            response = response.header_ref(header.name(), header.reference());
        }
        (status, response.build())
    })
}

/// Returns the headers of all problems.
pub(super) fn headers(config: &Config) -> impl Iterator<Item = Header> {
    let statuses = statuses(config).into_iter();
    statuses.flat_map(|status| headers_of(status, config))
}

fn headers_of(status: StatusCode, config: &Config) -> Vec<Header> {
    headers::of_problems(status, reports_quota(status, config))
}

/// Returns whether a problem of this status may report the client's quota.
fn reports_quota(status: StatusCode, config: &Config) -> bool {
    let is_checked = |kind: Kind| kind.quota_check() != QuotaCheck::Never;
    config.rate_limit.is_some() && kinds(status, config).any(is_checked)
}

/// Returns what a kind of problem means, whether to retry, and where it lacks headers that others of its status have.
fn description(kind: Kind, config: &Config) -> String {
    let quota = match kind.quota_check() {
        _ if !reports_quota(kind.status(), config) => "",
        QuotaCheck::Never => " Without `ratelimit`.",
        QuotaCheck::Sometimes => " With `ratelimit` only if the quota was checked.",
        QuotaCheck::Always => "",
    };
    format!(
        "`{}`: {} Retry: {}.{quota}",
        kind.name(),
        kind.explanation(),
        kind.retry().name()
    )
}

/// Returns the schema of every problem, and for each status the one that has its types only.
pub(super) fn schemas(config: &Config) -> Vec<(String, RefOr<Schema>)> {
    let mut schemas = vec![("Problem".to_owned(), Body::schema())];
    for status in statuses(config) {
        let types = kinds(status, config).map(|kind| format!("/docs#{}", kind.name()));
        let restricted = ObjectBuilder::new()
            .property(
                "type",
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .description(Some(
                        "What this service sends; an intermediary may send another type",
                    ))
                    .enum_values(Some(types)),
            )
            .property(
                "status",
                ObjectBuilder::new()
                    .schema_type(Type::Integer)
                    .enum_values(Some([status.as_u16()])),
            );
        let schema = AllOfBuilder::new()
            .item(Ref::from_schema_name("Problem"))
            .item(restricted);
        schemas.push((schema_name(status), schema.into()));
    }
    schemas
}

fn schema_name(status: StatusCode) -> String {
    format!("Problem{}", status.as_str())
}

fn statuses(config: &Config) -> BTreeSet<StatusCode> {
    let documented = Kind::ALL.into_iter().filter(|kind| is_documented(*kind, config));
    documented.map(Kind::status).collect()
}

fn kinds(status: StatusCode, config: &Config) -> impl Iterator<Item = Kind> {
    Kind::ALL
        .into_iter()
        .filter(move |kind| kind.status() == status && is_documented(*kind, config))
}

/// Returns whether `POST /v1` can respond with this kind of problem in this configuration.
fn is_documented(kind: Kind, config: &Config) -> bool {
    match kind {
        Kind::NotFound | Kind::MethodNotAllowed => false,
        Kind::Unauthenticated | Kind::KeysUnavailable => matches!(config.auth, Auth::Cognito(_)),
        Kind::Forbidden => match &config.auth {
            Auth::Cognito(cognito) => {
                !cognito.required_scopes.is_empty() || !cognito.allowed_groups.is_empty()
            }
            Auth::Disabled => false,
        },
        Kind::RateLimited => config.rate_limit.is_some(),
        _ => true,
    }
}

fn example_of(kind: Kind, config: &Config) -> Value {
    json!({
        "type": format!("/docs#{}", kind.name()),
        "title": kind.title(),
        "status": kind.status().as_u16(),
        "detail": detail_of_example(kind, config),
        "instance": format!("/requests/{}", headers::REQUEST_ID),
    })
}

/// Returns a detail of this kind of problem. A test compares them with those of responses.
fn detail_of_example(kind: Kind, config: &Config) -> String {
    let detail = match kind {
        Kind::MalformedRequest => "the body is not UTF-8",
        Kind::Unauthenticated => return AuthError::Missing.to_string(),
        Kind::Forbidden => return rejection_of_scopes(config).to_string(),
        Kind::NotFound | Kind::MethodNotAllowed => "",
        Kind::NotAcceptable => "accept allows neither application/json nor text/plain",
        Kind::RequestTimeout => "the body did not arrive in time",
        Kind::ContentTooLarge => {
            return format!(
                "the body must not be larger than {} bytes",
                config.http.max_body_bytes
            );
        }
        Kind::UnsupportedMediaType => "send exactly one content-type: application/json or text/plain",
        Kind::ExpectationFailed => "no 100 (Continue) is sent here; send the body without waiting for one",
        Kind::RateLimited => "the rate limit of this client is exceeded",
        Kind::InternalError => "the service failed to process this request",
        Kind::UpstreamInvalid => "SHOUTCLOUD did not respond with this text in upper case",
        Kind::UpstreamUnavailable => "SHOUTCLOUD is currently unavailable",
        Kind::Overloaded => "the maximum number of requests is in flight",
        Kind::KeysUnavailable => {
            return AuthError::KeysUnavailable {
                retry_after: Duration::ZERO,
            }
            .to_string();
        }
        Kind::UpstreamTimeout => "SHOUTCLOUD did not respond in time",
    };
    detail.to_owned()
}

fn rejection_of_scopes(config: &Config) -> AuthError {
    match &config.auth {
        Auth::Cognito(cognito) => match cognito.required_scopes.first() {
            Some(scope) => AuthError::MissingScope(scope.clone()),
            None => AuthError::MissingGroup,
        },
        Auth::Disabled => AuthError::MissingGroup,
    }
}
