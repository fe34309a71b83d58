//! The OpenAPI 3.1 document. Statuses and problems come from [`Kind`], schemas from the types that are serialized.

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

/// Creates the document of these paths.
pub(super) fn document(paths: impl Iterator<Item = (&'static str, PathItem)>) -> OpenApi {
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Shoutback")
                .version(version::VERSION)
                .description(Some("Reverses a text and returns it in upper case."))
                .license(Some(
                    License::builder()
                        .name("Apache-2.0")
                        .identifier(Some("Apache-2.0"))
                        .build(),
                )),
        )
        .paths(paths.fold(PathsBuilder::new(), |builder, (path, item)| {
            builder.path(path, item)
        }))
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

/// The operations of `/v1`.
pub(super) fn shout_operations() -> PathItem {
    let mut shout = OperationBuilder::new()
        .operation_id(Some("shout"))
        .summary(Some("Reverse a text and convert it to upper case"))
        .description(Some(
            "The text is reversed by extended grapheme cluster and converted to upper case by SHOUTCLOUD. Send JSON or \
             plain text. `accept` selects the format of the response; the default is that of the request.",
        ))
        .security(SecurityRequirement::new("cognito", Vec::<String>::new()))
        .parameter(
            ParameterBuilder::new()
                .name("x-request-id")
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some(
                    "The request id: 1 to 128 letters, digits and `._~:-`. One is generated if it is missing or invalid.",
                ))
                .schema(Some(ObjectBuilder::new().schema_type(Type::String))),
        )
        .parameter(
            ParameterBuilder::new()
                .name("cache-control")
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some(
                    "`no-cache` bypasses the cache and stores the new response; `no-store` bypasses the cache and stores \
                     nothing. Other directives are ignored.",
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
                .description("The text, reversed and in upper case")
                .content("application/json", ContentBuilder::new().schema(Some(Ref::from_schema_name("Message"))).build())
                .content("text/plain", text())
                .header("x-request-id", header("The request id"))
                .header("cache-status", header(CACHE_STATUS))
                .header("server-timing", header("Milliseconds spent on `auth` and `upstream`, if they occurred"))
                .header("ratelimit", header("Remaining quota of the client, and seconds until it is fully replenished"))
                .header("ratelimit-policy", header("Quota of the client, and seconds in which it is replenished")),
        );
    let mut statuses: Vec<_> = Kind::ALL
        .into_iter()
        .filter(|kind| is_v1_problem(*kind))
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
            415 => response
                .header(
                    "accept",
                    header("The media types of a request, if the media type or charset was wrong"),
                )
                .header(
                    "accept-encoding",
                    header("`identity`, if the body had a content coding"),
                ),
            401 | 403 => response.header("www-authenticate", header("The challenge (RFC 6750)")),
            429 | 503 => response.header("retry-after", header("Seconds to wait, from 1 to 60")),
            _ => response,
        };
        shout = shout.response(status.as_str(), response);
    }
    let allow = ResponseBuilder::new()
        .description("The supported methods of this path")
        .header("allow", header("The supported methods"))
        .header("cache-status", header(CACHE_STATUS));
    let options = OperationBuilder::new()
        .operation_id(Some("methods"))
        .response("204", allow);
    let mut v1 = PathItem::new(HttpMethod::Post, shout);
    v1.options = Some(options.build());
    v1
}

const CACHE_STATUS: &str =
    "How the cache handled the request (RFC 9211); only `shoutback` if it was not reached";

/// Returns whether `POST /v1` can respond with this kind of problem.
fn is_v1_problem(kind: Kind) -> bool {
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
