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
use super::Operation;
use super::headers::{self, Header};
use crate::auth::AuthError;
use crate::config::{Auth, Config};

/// Returns the kinds of problems with which an operation can respond in this configuration.
pub(super) fn of(operation: &Operation, authenticates: bool, config: &Config) -> Vec<Kind> {
    let checks_tokens = authenticates && matches!(config.auth, Auth::Cognito(_));
    let responds_with = |kind: &Kind| match kind {
        Kind::NotFound | Kind::MethodNotAllowed => false,
        Kind::Unauthenticated | Kind::KeysUnavailable => checks_tokens,
        Kind::Forbidden => match &config.auth {
            Auth::Cognito(cognito) => {
                checks_tokens && !(cognito.required_scopes.is_empty() && cognito.allowed_groups.is_empty())
            }
            Auth::Disabled => false,
        },
        Kind::RateLimited => authenticates && config.rate_limit.is_some(),
        // Authentication rejects a `content-length` that exceeds the limit, whether the body is read or not.
        Kind::ContentTooLarge => authenticates || operation.reads_text,
        Kind::MalformedRequest
        | Kind::NotAcceptable
        | Kind::RequestTimeout
        | Kind::UnsupportedMediaType
        | Kind::ExpectationFailed => operation.reads_text,
        Kind::UpstreamInvalid | Kind::UpstreamUnavailable | Kind::UpstreamTimeout => {
            operation.calls_shoutcloud
        }
        Kind::InternalError | Kind::Overloaded => true,
    };
    Kind::ALL.into_iter().filter(responds_with).collect()
}

/// Returns the response of each status of these problems.
pub(super) fn responses(problems: &[Kind], config: &Config) -> impl Iterator<Item = (StatusCode, Response)> {
    statuses(problems).into_iter().map(move |status| {
        let examples = of_status(status, problems).map(|kind| {
            let example = ExampleBuilder::new().summary(kind.title());
            (kind.name(), example.value(Some(example_of(kind, config))).build())
        });
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(schema_name(status))))
            .examples_from_iter(examples)
            .build();
        let descriptions: Vec<_> = of_status(status, problems)
            .map(|kind| description(kind, problems))
            .collect();
        let mut response = ResponseBuilder::new()
            .description(descriptions.join("\n\n"))
            .content("application/problem+json", content);
        for header in headers_of(status, problems) {
            response = response.header_ref(header.name(), header.reference());
        }
        (status, response.build())
    })
}

/// Returns the headers of these problems.
pub(super) fn headers(problems: &[Kind]) -> impl Iterator<Item = Header> {
    let statuses = statuses(problems).into_iter();
    statuses.flat_map(|status| headers_of(status, problems))
}

fn headers_of(status: StatusCode, problems: &[Kind]) -> Vec<Header> {
    headers::of_problems(status, reports_quota(status, problems))
}

/// Returns whether a problem of this status may report the client's quota.
fn reports_quota(status: StatusCode, problems: &[Kind]) -> bool {
    let is_checked = |kind: Kind| kind.quota_check() != QuotaCheck::Never;
    problems.contains(&Kind::RateLimited) && of_status(status, problems).any(is_checked)
}

/// Returns what a kind of problem means, whether to retry, and where it lacks headers that others of its status have.
fn description(kind: Kind, problems: &[Kind]) -> String {
    let quota = match kind.quota_check() {
        _ if !reports_quota(kind.status(), problems) => "",
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

/// Returns the schema of every problem, and for each status the one that has only its types, of all operations.
pub(super) fn schemas(problems: &[Kind]) -> Vec<(String, RefOr<Schema>)> {
    let mut schemas = vec![("Problem".to_owned(), Body::schema())];
    for status in statuses(problems) {
        let types = of_status(status, problems).map(|kind| format!("/docs#{}", kind.name()));
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

fn statuses(problems: &[Kind]) -> BTreeSet<StatusCode> {
    problems.iter().map(|kind| kind.status()).collect()
}

/// Returns each of the problems that have a status once.
fn of_status(status: StatusCode, problems: &[Kind]) -> impl Iterator<Item = Kind> {
    Kind::ALL
        .into_iter()
        .filter(move |kind| kind.status() == status && problems.contains(kind))
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
