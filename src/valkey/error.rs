//! Why a command was not executed.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::telemetry::metrics::{LabelValue as _, ValkeyOutcome};
use crate::telemetry::redact::without_addresses;

/// A command that was not executed, or whose outcome is unknown.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    outcome: ValkeyOutcome,
    message: String,
    code: Option<String>,
    unknown_script: bool,
}

impl Error {
    fn new(outcome: ValkeyOutcome, message: impl Into<String>) -> Self {
        Self {
            outcome,
            message: message.into(),
            code: None,
            unknown_script: false,
        }
    }

    pub(super) fn down() -> Self {
        Self::new(ValkeyOutcome::Skipped, "Valkey is down")
    }

    pub(super) fn too_many() -> Self {
        Self::new(ValkeyOutcome::Skipped, "too many commands are in flight")
    }

    pub(super) fn timeout() -> Self {
        Self::new(ValkeyOutcome::Timeout, "no response in time")
    }

    pub(super) fn password_file(error: &std::io::Error) -> Self {
        Self::new(
            ValkeyOutcome::Authentication,
            format!("VALKEY_PASSWORD_FILE cannot be read: {error}"),
        )
    }

    /// Returns the error for a response of an unexpected type.
    pub fn invalid_response() -> Self {
        Self::new(
            ValkeyOutcome::InvalidResponse,
            "the response has an unexpected type",
        )
    }

    /// Returns how the operation ended, as a metric label.
    pub fn outcome(&self) -> ValkeyOutcome {
        self.outcome
    }

    /// Returns the code of the server's error, such as `WRONGTYPE`, if the server responded.
    pub(super) fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    pub(super) fn is_unknown_script(&self) -> bool {
        self.unknown_script
    }

    /// Returns whether the server or the connection is at fault, and not one key or this client.
    pub(super) fn is_of_server_or_connection(&self) -> bool {
        !self.unknown_script && !matches!(self.outcome, ValkeyOutcome::Skipped | ValkeyOutcome::WrongType)
    }

    /// Returns whether the next command over this connection would probably fail the same way.
    pub(super) fn is_permanent(&self) -> bool {
        matches!(
            self.outcome,
            ValkeyOutcome::Connection
                | ValkeyOutcome::Authentication
                | ValkeyOutcome::ReadOnly
                | ValkeyOutcome::OutOfMemory
                | ValkeyOutcome::Loading
                | ValkeyOutcome::Cluster
                | ValkeyOutcome::InvalidResponse
        )
    }
}

impl From<RedisError> for Error {
    fn from(error: RedisError) -> Self {
        let outcome = match error.kind() {
            _ if error.is_timeout() => ValkeyOutcome::Timeout,
            ErrorKind::Server(kind) => of_server(kind, error.code()),
            ErrorKind::AuthenticationFailed => ValkeyOutcome::Authentication,
            ErrorKind::Io | ErrorKind::Client => ValkeyOutcome::Connection,
            ErrorKind::ClusterConnectionNotFound => ValkeyOutcome::Cluster,
            ErrorKind::Extension => of_code(error.code()),
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => ValkeyOutcome::InvalidResponse,
            _ => ValkeyOutcome::ServerError,
        };
        Self {
            outcome,
            message: message(&error, outcome),
            code: error.code().map(ToOwned::to_owned),
            unknown_script: error.kind() == ErrorKind::Server(ServerErrorKind::NoScript),
        }
    }
}

fn of_server(kind: ServerErrorKind, code: Option<&str>) -> ValkeyOutcome {
    match kind {
        ServerErrorKind::ReadOnly => ValkeyOutcome::ReadOnly,
        ServerErrorKind::BusyLoading => ValkeyOutcome::Loading,
        ServerErrorKind::NoPerm => ValkeyOutcome::Permission,
        ServerErrorKind::Moved
        | ServerErrorKind::Ask
        | ServerErrorKind::TryAgain
        | ServerErrorKind::ClusterDown
        | ServerErrorKind::MasterDown
        | ServerErrorKind::CrossSlot => ValkeyOutcome::Cluster,
        _ => of_code(code),
    }
}

fn of_code(code: Option<&str>) -> ValkeyOutcome {
    match code {
        Some("OOM") => ValkeyOutcome::OutOfMemory,
        Some("NOAUTH" | "WRONGPASS") => ValkeyOutcome::Authentication,
        Some("WRONGTYPE") => ValkeyOutcome::WrongType,
        _ => ValkeyOutcome::ServerError,
    }
}

/// Describes the error on one line, without what the server may have repeated of a command: a key, or a secret.
fn message(error: &RedisError, outcome: ValkeyOutcome) -> String {
    match (outcome, error.code()) {
        (ValkeyOutcome::Connection, _) => without_addresses(&error.to_string()),
        (_, Some(code)) => format!("the server responds with {code}"),
        (_, None) => format!("{}: {}", outcome.as_str(), error.category()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, ValkeyOutcome};

    fn error(code: &str) -> Error {
        redis::make_extension_error(code.to_owned(), Some("a s3cret detail".to_owned())).into()
    }

    #[test]
    fn codes_of_the_server_are_told_apart_and_details_are_not_repeated() {
        for (code, outcome) in [
            ("OOM", ValkeyOutcome::OutOfMemory),
            ("NOAUTH", ValkeyOutcome::Authentication),
            ("WRONGPASS", ValkeyOutcome::Authentication),
            ("WRONGTYPE", ValkeyOutcome::WrongType),
            ("SOMETHING", ValkeyOutcome::ServerError),
        ] {
            let error = error(code);
            assert_eq!(error.outcome(), outcome, "{code}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_key_of_another_type_is_no_fault_of_the_server() {
        assert!(!error("WRONGTYPE").is_of_server_or_connection());
        assert!(error("OOM").is_of_server_or_connection());
        assert!(error("OOM").is_permanent());
        assert!(Error::timeout().is_of_server_or_connection());
        assert!(!Error::timeout().is_permanent());
    }
}
