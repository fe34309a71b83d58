//! Checks the claims of a token whose signature is valid.

use serde_json::Value;

use super::{AuthError, Principal};
use crate::json::{self, ParseError};

/// The claims that the checks need, with their types unchecked.
#[derive(Debug)]
pub struct Claims {
    pub(super) iss: Option<Value>,
    token_use: Option<Value>,
    client_id: Option<Value>,
    aud: Option<Value>,
    exp: Option<Value>,
    nbf: Option<Value>,
    scope: Option<Value>,
    groups: Option<Value>,
    sub: Option<Value>,
}

impl Claims {
    pub(super) fn parse(text: &[u8]) -> Result<Self, ParseError> {
        const NAMES: [&str; 9] = [
            "iss",
            "token_use",
            "client_id",
            "aud",
            "exp",
            "nbf",
            "scope",
            "cognito:groups",
            "sub",
        ];
        let [iss, token_use, client_id, aud, exp, nbf, scope, groups, sub] = json::members(text, NAMES)?;
        Ok(Self {
            iss,
            token_use,
            client_id,
            aud,
            exp,
            nbf,
            scope,
            groups,
            sub,
        })
    }
}

/// What the claims of an accepted token must contain.
#[derive(Debug, Clone)]
pub(super) struct ClaimsPolicy {
    pub(super) client_ids: Vec<String>,
    /// If empty, tokens with `aud` are rejected.
    pub(super) audiences: Vec<String>,
    pub(super) required_scopes: Vec<String>,
    /// Empty if no group is required.
    pub(super) allowed_groups: Vec<String>,
    /// In seconds.
    pub(super) leeway: f64,
}

/// The result of a successful check.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct VerifiedClaims {
    pub(super) principal: Principal,
    /// Seconds since 1970.
    pub(super) exp: f64,
}

impl ClaimsPolicy {
    /// Checks `claims` at `now`, in seconds since 1970.
    pub(super) fn check(&self, claims: &Claims, now: f64) -> Result<VerifiedClaims, AuthError> {
        if text(&claims.token_use) != Some("access") {
            return Err(AuthError::NotAnAccessToken);
        }
        let client_id = text(&claims.client_id)
            .filter(|id| self.client_ids.iter().any(|allowed| allowed == id))
            .ok_or(AuthError::UnknownClient)?;
        if claims.aud.as_ref().is_some_and(|aud| !self.is_for_us(aud)) {
            return Err(AuthError::WrongAudience);
        }
        let exp = claims
            .exp
            .as_ref()
            .and_then(number)
            .filter(|exp| now < exp + self.leeway)
            .ok_or(AuthError::Expired)?;
        if claims
            .nbf
            .as_ref()
            .is_some_and(|nbf| number(nbf).is_none_or(|nbf| nbf > now + self.leeway))
        {
            return Err(AuthError::NotYetValid);
        }
        self.check_scopes(text(&claims.scope).unwrap_or_default())?;
        self.check_groups(
            claims
                .groups
                .as_ref()
                .and_then(Value::as_array)
                .map_or(&[], Vec::as_slice),
        )?;
        // In a token of the client credentials grant `sub` is the client id.
        let subject = text(&claims.sub).filter(|sub| *sub != client_id).map(Into::into);
        Ok(VerifiedClaims {
            principal: Principal {
                client_id: client_id.into(),
                subject,
            },
            exp,
        })
    }

    /// Returns whether `aud` is, or as a list contains, one of the audiences.
    fn is_for_us(&self, aud: &Value) -> bool {
        let is_ours = |value: &Value| {
            self.audiences
                .iter()
                .any(|audience| value.as_str() == Some(audience))
        };
        match aud {
            Value::Array(values) => values.iter().any(is_ours),
            value => is_ours(value),
        }
    }

    fn check_scopes(&self, granted: &str) -> Result<(), AuthError> {
        let missing = self
            .required_scopes
            .iter()
            .find(|required| !granted.split(' ').any(|scope| scope == **required));
        missing.map_or(Ok(()), |scope| Err(AuthError::MissingScope(scope.clone())))
    }

    fn check_groups(&self, groups: &[Value]) -> Result<(), AuthError> {
        let is_allowed = |group: &Value| {
            self.allowed_groups
                .iter()
                .any(|allowed| group.as_str() == Some(allowed))
        };
        if self.allowed_groups.is_empty() || groups.iter().any(is_allowed) {
            Ok(())
        } else {
            Err(AuthError::MissingGroup)
        }
    }
}

fn text(claim: &Option<Value>) -> Option<&str> {
    claim.as_ref().and_then(Value::as_str)
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().filter(|number| number.is_finite())
}

#[cfg(test)]
mod tests {
    //! `tests/it/tokens` has the invalid claims; these are the cases that need a fixed clock or the principal.

    use serde_json::json;

    use super::{AuthError, Claims, ClaimsPolicy, VerifiedClaims};

    const NOW: f64 = 1_800_000_000.0;

    fn check(name: &str, value: impl serde::Serialize) -> Result<VerifiedClaims, AuthError> {
        let policy = ClaimsPolicy {
            client_ids: vec!["app".into()],
            audiences: vec![],
            required_scopes: vec![],
            allowed_groups: vec![],
            leeway: 30.0,
        };
        let mut claims = json!({"token_use": "access", "client_id": "app", "exp": NOW + 1.0});
        claims[name] = json!(value);
        policy.check(
            &Claims::parse(claims.to_string().as_bytes()).expect("an object"),
            NOW,
        )
    }

    #[test]
    fn subject_is_present_only_for_users() {
        for (sub, subject) in [("app", None), ("ada", Some("ada"))] {
            let principal = check("sub", sub).expect("valid claims").principal;
            assert_eq!(
                (&*principal.client_id, principal.subject.as_deref()),
                ("app", subject)
            );
        }
    }

    #[test]
    fn exp_and_nbf_are_checked_with_leeway() {
        for (name, value, accepted) in [
            ("exp", NOW - 29.0, true),
            ("exp", NOW - 29.999, true),
            ("exp", NOW - 30.0, false),
            ("exp", NOW - 31.0, false),
            ("exp", 1e300, true),
            ("nbf", NOW + 30.0, true),
            ("nbf", NOW + 30.001, false),
            ("nbf", NOW + 31.0, false),
            ("nbf", -1.0, true),
        ] {
            assert_eq!(check(name, value).is_ok(), accepted, "{name} {value}");
        }
    }
}
