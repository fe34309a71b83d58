//! The buckets in Valkey.

use redis::Value;

use super::bucket::{Ask, Grant, Limits, Peers};
use crate::telemetry::metrics::ValkeyOperation;
use crate::valkey::{Error, Script, Valkey};

/// The buckets of all principals, as a trait for the simulation.
#[async_trait::async_trait]
pub(super) trait Store: Send + Sync {
    /// Changes the bucket `key`; returns `None` if that fails.
    async fn update(&self, key: &str, limits: Limits, ask: Ask) -> Option<Grant>;

    /// Returns whether calls are sent.
    fn is_up(&self) -> bool;

    /// Returns what is known of the replicas.
    fn peers(&self) -> Peers;

    /// Removes this replica from those that share the quotas.
    async fn leave(&self);
}

/// Executes the script of the leases.
pub(super) struct ValkeyStore {
    valkey: Valkey,
    script: Script,
}

impl ValkeyStore {
    pub(super) fn new(valkey: Valkey) -> Self {
        Self {
            valkey,
            script: Script::new(include_str!("lease.lua")),
        }
    }
}

#[async_trait::async_trait]
impl Store for ValkeyStore {
    async fn update(&self, key: &str, limits: Limits, ask: Ask) -> Option<Grant> {
        let operation = if ask.give > 0 {
            ValkeyOperation::QuotaReturn
        } else {
            ValkeyOperation::QuotaLease
        };
        let arguments = [
            format!("{:.6}", limits.period.as_secs_f64() * 1e6),
            limits.burst.to_string(),
            ask.take.to_string(),
            ask.give.to_string(),
            format!("{:.6}", ask.ceiling),
            ask.deadline.to_string(),
        ];
        let arguments = arguments.each_ref().map(String::as_str);
        self.valkey
            .evaluate(operation, &self.script, key, &arguments, |response| {
                grant(&response, ask)
            })
            .await
            .ok()
    }

    fn is_up(&self) -> bool {
        self.valkey.is_up()
    }

    fn peers(&self) -> Peers {
        Peers {
            replicas: self.valkey.replicas(),
            may_lease_ahead: self.valkey.is_known_to_others(),
            timeout: self.valkey.timeout(),
        }
    }

    async fn leave(&self) {
        self.valkey.leave().await;
    }
}

fn grant(response: &Value, ask: Ask) -> Result<Grant, Error> {
    let Value::Array(values) = response else {
        return Err(Error::invalid_response());
    };
    let &[
        Value::Int(granted),
        Value::Int(thousandths),
        Value::Int(server_time),
    ] = values.as_slice()
    else {
        return Err(Error::invalid_response());
    };
    let granted = match granted {
        -1 => None,
        // Within bounds, whatever the server returns.
        _ => Some(unsigned::<u32>(granted)?.min(ask.take)),
    };
    Ok(Grant {
        granted,
        level: (thousandths as f64 / 1000.0).clamp(0.0, f64::from(u32::MAX)),
        server_time: unsigned(server_time)?,
    })
}

fn unsigned<T: TryFrom<i64>>(value: i64) -> Result<T, Error> {
    T::try_from(value).map_err(|_| Error::invalid_response())
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::super::bucket::{Ask, Grant};
    use super::grant;

    fn respond(granted: i64, thousandths: i64, server_time: i64) -> Option<Grant> {
        let ask = Ask {
            take: 5,
            ..Ask::default()
        };
        let values = [granted, thousandths, server_time].map(Value::Int);
        grant(&Value::Array(values.into()), ask).ok()
    }

    #[test]
    fn a_response_has_tokens_granted_and_left() {
        let expected = Grant {
            granted: Some(3),
            level: 1.5,
            server_time: 7,
        };
        assert_eq!(respond(3, 1_500, 7), Some(expected));
        let late = respond(-1, 1_500, 7).expect("valid");
        assert_eq!(late.granted, None, "executed after its deadline");
    }

    #[test]
    fn a_response_is_held_to_its_bounds() {
        assert_eq!(
            respond(6, -1, 7).map(|it| (it.granted, it.level)),
            Some((Some(5), 0.0))
        );
        assert_eq!(respond(-2, 0, 7), None);
        assert_eq!(respond(1, 0, -7), None);
        assert!(grant(&Value::Nil, Ask::default()).is_err());
    }
}
