//! The OpenAPI 3.1 document of a configuration: a limit, a header or a problem that the configuration excludes is not in it.
//!
//! Statuses and problems come from [`Kind`](super::problem::Kind), schemas from the types that are serialized.

mod headers;
mod problems;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use utoipa::PartialSchema as _;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::external_docs::ExternalDocs;
use utoipa::openapi::path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::security::{
    AuthorizationCode, ClientCredentials, Flow, HttpAuthScheme, HttpBuilder, OAuth2, Scopes,
    SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::server::Server;
use utoipa::openapi::tag::Tag;
use utoipa::openapi::{
    ComponentsBuilder, Contact, Content, ContentBuilder, HttpMethod, InfoBuilder, License, ObjectBuilder,
    OpenApi, OpenApiBuilder, PathsBuilder, Ref, RefOr, Required, ResponseBuilder, Schema, Type,
};

use super::media::Message;
use super::problem::Kind;
use crate::config::{Auth, Cognito, Config};
use crate::version;

/// Where people read more, relative to the server.
const PAGE: &str = "/docs";
const SECURITY_SCHEME: &str = "cognito";
const TAG: &str = "shouts";
const REQUEST: &str = "hello, world!";
const RESPONSE: &str = "!DLROW ,OLLEH";

/// A `POST` of the document, and what it does, from which its problems follow.
pub(super) struct Operation {
    /// Describes it, without security and problems, which are added.
    pub(super) describe: fn(&Config) -> OperationBuilder,
    /// Whether it reads a text from the body and negotiates the format of the response.
    pub(super) reads_text: bool,
    pub(super) calls_shoutcloud: bool,
}

/// Creates the document of these operations: path, operation, and whether it authenticates.
pub(super) fn document<'a>(
    config: &Config,
    operations: impl Iterator<Item = (&'static str, &'a Operation, bool)>,
) -> OpenApi {
    let operations: Vec<_> = operations.collect();
    let problems: Vec<_> = operations
        .iter()
        .map(|(_, operation, authenticates)| problems::of(operation, *authenticates, config))
        .collect();
    let mut components = ComponentsBuilder::new()
        .schema("Message", Message::schema())
        .schemas_from_iter(problems::schemas(&problems.concat()));
    let used: BTreeSet<_> = headers::of_success(config)
        .into_iter()
        .chain(problems::headers(&problems.concat()))
        .collect();
    for header in used {
        components = components.header(header.name(), header.definition());
    }
    if let Auth::Cognito(cognito) = &config.auth {
        components = components.security_scheme(SECURITY_SCHEME, security_scheme(config, cognito));
    }
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Shoutback")
                .version(version::VERSION)
                .description(Some("Reverses a text and returns it in upper case."))
                .contact(Some(
                    Contact::builder()
                        .name(Some("The operator of this service"))
                        .url(Some(PAGE))
                        .build(),
                ))
                .license(Some(
                    License::builder()
                        .name("Apache License 2.0")
                        .identifier(Some("Apache-2.0"))
                        .build(),
                )),
        )
        .servers(Some([Server::builder()
            .url("/")
            .description(Some("The service that serves this document"))
            .build()]))
        .tags(Some([Tag::builder()
            .name(TAG)
            .description(Some("Texts, reversed and in upper case"))
            .build()]))
        .external_docs(Some(external_docs()))
        .paths(operations.iter().zip(&problems).fold(
            PathsBuilder::new(),
            |builder, ((path, operation, authenticates), problems)| {
                builder.path(*path, operation.path_item(*authenticates, problems, config))
            },
        ))
        .components(Some(components.build()))
        .build()
}

impl Operation {
    fn path_item(&self, authenticates: bool, problems: &[Kind], config: &Config) -> PathItem {
        let security = match &config.auth {
            Auth::Cognito(cognito) if authenticates => vec![SecurityRequirement::new(
                SECURITY_SCHEME,
                cognito.required_scopes.clone(),
            )],
            Auth::Cognito(_) | Auth::Disabled => Vec::new(),
        };
        let operation = (self.describe)(config).securities(Some(security));
        let operation = problems::responses(problems, config)
            .fold(operation, |operation, (status, problem)| {
                operation.response(status.as_str(), problem)
            });
        PathItem::new(HttpMethod::Post, operation)
    }
}

fn external_docs() -> ExternalDocs {
    ExternalDocs::builder()
        .url(PAGE)
        .description(Some("Try the API, and read about each problem"))
        .build()
}

/// Returns how a client authenticates: with a token from the flows of the Cognito domain, if it is configured, or else with a
/// token that it has.
fn security_scheme(config: &Config, cognito: &Cognito) -> SecurityScheme {
    let with = match cognito.required_scopes.as_slice() {
        [] => String::new(),
        [scope] => format!(" with the scope `{scope}`"),
        scopes => format!(" with the scopes `{}`", scopes.join("` and `")),
    };
    let description = format!("An Amazon Cognito access token{with}");
    let Some(sign_in) = &config.sign_in else {
        return SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .bearer_format("JWT")
                .description(Some(format!(
                    "{description}, from the token endpoint of its user pool"
                )))
                .build(),
        );
    };
    let scopes = || {
        let described = |scope: &String| (scope.clone(), "Required to call this API".to_owned());
        Scopes::from_iter(cognito.required_scopes.iter().map(described))
    };
    let token_url = format!("{}/oauth2/token", sign_in.origin);
    SecurityScheme::OAuth2(OAuth2::with_description(
        [
            Flow::ClientCredentials(ClientCredentials::new(&token_url, scopes())),
            Flow::AuthorizationCode(AuthorizationCode::new(
                format!("{}/oauth2/authorize", sign_in.origin),
                &token_url,
                scopes(),
            )),
        ],
        description,
    ))
}

/// The operation of `/v1`. `OPTIONS` is not an operation that clients need.
pub(super) fn shout_operation(config: &Config) -> OperationBuilder {
    let mut response = ResponseBuilder::new()
        .description("The text, reversed and in upper case")
        .content("application/json", json_text(RESPONSE))
        .content("text/plain", plain_text(RESPONSE));
    for header in headers::of_success(config) {
        response = response.header_ref(header.name(), header.reference());
    }
    OperationBuilder::new()
        .operation_id(Some("shout"))
        .tag(TAG)
        .summary(Some("Reverse a text and convert it to upper case"))
        .description(Some(format!(
            "The text is reversed by extended grapheme cluster and converted to upper case by SHOUTCLOUD. Send JSON or \
             plain text, at most {} bytes; `accept` selects the format of the response, whose default is that of the request. \
             Requests are safe to repeat. After a problem with *Retry: yes*, wait for `retry-after` if it is sent, and stop \
             after three retries, except after 429.",
            config.http.max_body_bytes
        )))
        .parameter(request_header(
            "x-request-id",
            "The request id: 1 to 128 letters, digits and `._~:-`. One is generated if it is missing or invalid.",
            headers::REQUEST_ID,
        ))
        .parameter(request_header(
            "cache-control",
            "`no-cache` bypasses the cache and stores the new response; `no-store` bypasses the cache and stores nothing. \
             Other directives are ignored.",
            "no-cache",
        ))
        .request_body(Some(
            RequestBodyBuilder::new()
                .required(Some(Required::True))
                .description(Some("The text"))
                .content("application/json", json_text(REQUEST))
                .content("text/plain", plain_text(REQUEST))
                .build(),
        ))
        .response("200", response)
}

fn request_header(name: &str, description: &str, example: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(string()))
        .example(Some(example.into()))
        .build()
}

fn json_text(text: &str) -> Content {
    content(Ref::from_schema_name("Message"), json!({ "data": text }))
}

fn plain_text(text: &str) -> Content {
    content(string(), text.into())
}

fn content(schema: impl Into<RefOr<Schema>>, example: Value) -> Content {
    ContentBuilder::new()
        .schema(Some(schema))
        .examples_from_iter([("text", ExampleBuilder::new().value(Some(example)).build())])
        .build()
}

fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}
