//! Cognito's hosted UI: the authorization endpoint and the pages on which users sign in and out.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, StatusCode};
use url::form_urlencoded;

use super::authorize::{AuthorizeError, AuthorizeRequest, check_client_id, is_callback, parameters};
use super::grants::{USERS, User};
use super::pool::Pool;

#[cfg(test)]
mod tests;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    query: &'a str,
    users: &'a [User],
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    message: &'static str,
}

pub(super) async fn authorize(State(pool): State<Arc<Pool>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    match AuthorizeRequest::parse(&pool, &query) {
        Ok(_) => redirect(&format!("/login?{query}")),
        Err(error) => error_response(error),
    }
}

pub(super) async fn login(State(pool): State<Arc<Pool>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    match AuthorizeRequest::parse(&pool, &query) {
        Ok(_) => page(
            StatusCode::OK,
            &LoginPage {
                query: &query,
                users: &USERS,
            },
        ),
        Err(error) => error_response(error),
    }
}

pub(super) async fn submit_login(
    State(pool): State<Arc<Pool>>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    let request = match AuthorizeRequest::parse(&pool, &query.unwrap_or_default()) {
        Ok(request) => request,
        Err(error) => return error_response(error),
    };
    let form = parameters(&body);
    let username = form.get("username").map_or("", String::as_str);
    match request.issue_code(&pool, username) {
        Some(code) => redirect_with(
            &request.redirect_uri,
            request.state.as_deref(),
            &[("code", &code)],
        ),
        None => error_response(AuthorizeError::Page("There is no user of this name.")),
    }
}

/// Redirects to `logout_uri`. There is no session to end: every sign-in shows the login page.
pub(super) async fn logout(State(pool): State<Arc<Pool>>, RawQuery(query): RawQuery) -> Response {
    let query = parameters(query.unwrap_or_default().as_bytes());
    if let Err(error) = check_client_id(&pool, &query) {
        return error_response(error);
    }
    match query.get("logout_uri").filter(|uri| is_callback(uri)) {
        Some(uri) => redirect(uri),
        None => error_response(AuthorizeError::Page(
            "logout_uri is not a sign-out URL of the client.",
        )),
    }
}

fn error_response(error: AuthorizeError) -> Response {
    match error {
        AuthorizeError::Page(message) => page(StatusCode::BAD_REQUEST, &ErrorPage { message }),
        AuthorizeError::Redirect {
            redirect_uri,
            state,
            error,
            description,
        } => {
            let parameters = [("error", error), ("error_description", description)];
            redirect_with(&redirect_uri, state.as_deref(), &parameters)
        }
    }
}

fn redirect_with(redirect_uri: &str, state: Option<&str>, parameters: &[(&str, &str)]) -> Response {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters);
    if let Some(state) = state {
        query.append_pair("state", state);
    }
    redirect(&format!("{redirect_uri}?{}", query.finish()))
}

fn redirect(location: &str) -> Response {
    let mut response = StatusCode::FOUND.into_response();
    match HeaderValue::from_str(location) {
        Ok(location) => {
            response.headers_mut().insert(LOCATION, location);
            response
        }
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

fn page(status: StatusCode, template: &impl Template) -> Response {
    let Ok(html) = template.render() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
