//! What a caller reads: the OpenAPI document and the page.

mod page;

use std::sync::LazyLock;

use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;
use utoipa::PartialSchema as _;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, Content, ContentBuilder, HttpMethod, InfoBuilder, License, ObjectBuilder, OpenApi,
    OpenApiBuilder, PathsBuilder, Ref, Required, ResponseBuilder, Type,
};

use super::media::Message;
use super::problem::{Body, Kind};
use crate::version;

pub use self::page::Page;
pub(super) use self::page::{ASSETS, page};

/// The OpenAPI 3.1 document. Statuses and problems come from [`Kind`], schemas from the types that are sent.
pub fn openapi() -> OpenApi {
    let mut shout = OperationBuilder::new()
        .operation_id(Some("shout"))
        .summary(Some("Reverse a text and have it capitalised"))
        .description(Some(
            "The text is reversed by extended grapheme cluster and capitalised by SHOUTCLOUD. Send JSON or text; the \
             answer has the form that `accept` asks for, or else that of the request.",
        ))
        .security(SecurityRequirement::new("cognito", Vec::<String>::new()))
        .parameter(
            ParameterBuilder::new()
                .name("x-request-id")
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some(
                    "The request's id: 1 to 128 letters, digits and `._~:-`. One is made up where none, or another, is sent.",
                ))
                .schema(Some(ObjectBuilder::new().schema_type(Type::String))),
        )
        .parameter(
            ParameterBuilder::new()
                .name("cache-control")
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some(
                    "`no-cache`: a new answer, which is kept for later requests; `no-store`: one that is not kept either. \
                     Other directives are ignored.",
                ))
                .schema(Some(ObjectBuilder::new().schema_type(Type::String))),
        )
        .request_body(Some(
            RequestBodyBuilder::new()
                .required(Some(Required::True))
                .content("application/json", ContentBuilder::new().schema(Some(Ref::from_schema_name("Message"))).build())
                .content("text/plain", text())
                .build(),
        ))
        .response(
            "200",
            ResponseBuilder::new()
                .description("The text, reversed and in capitals")
                .content("application/json", ContentBuilder::new().schema(Some(Ref::from_schema_name("Message"))).build())
                .content("text/plain", text())
                .header("x-request-id", header("The request's id"))
                .header("cache-status", header(CACHE_STATUS))
                .header("server-timing", header("Milliseconds spent on `auth` and `upstream`, whichever occurred"))
                .header("ratelimit", header("What is left of the client's quota, and seconds until it is full again"))
                .header("ratelimit-policy", header("The client's quota, and seconds in which it fills")),
        );
    let mut statuses: Vec<_> = Kind::ALL
        .into_iter()
        .filter(|kind| on_v1(*kind))
        .map(Kind::status)
        .collect();
    statuses.sort_unstable();
    statuses.dedup();
    for status in statuses {
        let names: Vec<_> = Kind::ALL
            .iter()
            .filter(|kind| kind.status() == status)
            .map(|kind| kind.name())
            .collect();
        let mut response = ResponseBuilder::new().description(names.join(", ")).content(
            "application/problem+json",
            ContentBuilder::new()
                .schema(Some(Ref::from_schema_name("Problem")))
                .build(),
        );
        response = response.header("cache-status", header(CACHE_STATUS));
        response = match status.as_u16() {
            401 | 403 => response.header("www-authenticate", header("The challenge (RFC 6750)")),
            429 | 503 => response.header("retry-after", header("Seconds to wait, from 1 to 60")),
            _ => response,
        };
        shout = shout.response(status.as_str(), response);
    }
    let allow = ResponseBuilder::new()
        .description("The methods of this path")
        .header("allow", header("The methods"))
        .header("cache-status", header(CACHE_STATUS));
    let options = OperationBuilder::new()
        .operation_id(Some("methods"))
        .response("204", allow);
    let mut v1 = PathItem::new(HttpMethod::Post, shout);
    v1.options = Some(options.build());
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Shoutback")
                .version(version::VERSION)
                .description(Some("Takes a text, reverses it and returns it in capitals."))
                .license(Some(
                    License::builder()
                        .name("Apache-2.0")
                        .identifier(Some("Apache-2.0"))
                        .build(),
                )),
        )
        .paths(PathsBuilder::new().path("/v1", v1))
        .components(Some(
            ComponentsBuilder::new()
                .schema("Message", Message::schema())
                .schema("Problem", Body::schema())
                .security_scheme(
                    "cognito",
                    SecurityScheme::Http({
                        let mut http = Http::new(HttpAuthScheme::Bearer);
                        http.bearer_format = Some("JWT".to_owned());
                        http.description =
                            Some("An Amazon Cognito access token with the scope shoutback/shout".to_owned());
                        http
                    }),
                )
                .build(),
        ))
        .build()
}

const CACHE_STATUS: &str =
    "How the cache was involved (RFC 9211); the bare `shoutback` if it was not reached";

/// What `POST /v1` can answer: all but what belongs to other paths and methods.
fn on_v1(kind: Kind) -> bool {
    !matches!(kind, Kind::NotFound | Kind::MethodNotAllowed)
}

fn text() -> Content {
    ContentBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

fn header(description: &str) -> utoipa::openapi::Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .description(Some(description))
        .build()
}

pub(super) async fn openapi_json() -> impl IntoResponse {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| openapi().to_json().expect("the document is JSON"));
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}
