//! What a token says, once its signature holds.

use serde_json::Value;

use super::{Principal, Refusal};
use crate::json::{self, Malformed};

/// The claims that are looked at, as they stand in the token.
#[derive(Debug)]
pub struct Claims {
    pub(super) iss: Option<Value>,
    token_use: Option<Value>,
    client_id: Option<Value>,
    exp: Option<Value>,
    nbf: Option<Value>,
    scope: Option<Value>,
    groups: Option<Value>,
    sub: Option<Value>,
}

impl Claims {
    pub(super) fn parse(text: &[u8]) -> Result<Self, Malformed> {
        const NAMES: [&str; 8] = [
            "iss",
            "token_use",
            "client_id",
            "exp",
            "nbf",
            "scope",
            "cognito:groups",
            "sub",
        ];
        let [iss, token_use, client_id, exp, nbf, scope, groups, sub] = json::members(text, NAMES)?;
        Ok(Self {
            iss,
            token_use,
            client_id,
            exp,
            nbf,
            scope,
            groups,
            sub,
        })
    }
}

/// What a token has to say to be accepted.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) client_ids: Vec<String>,
    pub(super) required_scopes: Vec<String>,
    /// Empty: no group is asked for.
    pub(super) allowed_groups: Vec<String>,
    /// Seconds.
    pub(super) leeway: f64,
}

/// A token that may be believed until `exp`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Accepted {
    pub(super) principal: Principal,
    /// Seconds since 1970.
    pub(super) exp: f64,
}

impl Rules {
    /// Checks `claims` at `now`, in seconds since 1970.
    pub(super) fn check(&self, claims: &Claims, now: f64) -> Result<Accepted, Refusal> {
        if text(&claims.token_use) != Some("access") {
            return Err(Refusal::NotAnAccessToken);
        }
        let client_id = text(&claims.client_id)
            .filter(|id| self.client_ids.iter().any(|allowed| allowed == id))
            .ok_or(Refusal::UnknownClient)?;
        let exp = claims
            .exp
            .as_ref()
            .and_then(number)
            .filter(|exp| now < exp + self.leeway)
            .ok_or(Refusal::Expired)?;
        if claims
            .nbf
            .as_ref()
            .is_some_and(|nbf| number(nbf).is_none_or(|nbf| nbf > now + self.leeway))
        {
            return Err(Refusal::NotYetValid);
        }
        self.check_scopes(text(&claims.scope).unwrap_or_default())?;
        self.check_groups(
            claims
                .groups
                .as_ref()
                .and_then(Value::as_array)
                .map_or(&[], Vec::as_slice),
        )?;
        // A machine's token has its client's id as `sub`.
        let person = text(&claims.sub).filter(|sub| *sub != client_id).map(Into::into);
        Ok(Accepted {
            principal: Principal {
                client_id: client_id.into(),
                person,
            },
            exp,
        })
    }

    fn check_scopes(&self, granted: &str) -> Result<(), Refusal> {
        let missing = self
            .required_scopes
            .iter()
            .find(|required| !granted.split(' ').any(|scope| scope == **required));
        missing.map_or(Ok(()), |scope| Err(Refusal::MissingScope(scope.clone())))
    }

    fn check_groups(&self, groups: &[Value]) -> Result<(), Refusal> {
        let is_allowed = |group: &Value| {
            self.allowed_groups
                .iter()
                .any(|allowed| group.as_str() == Some(allowed))
        };
        if self.allowed_groups.is_empty() || groups.iter().any(is_allowed) {
            Ok(())
        } else {
            Err(Refusal::MissingGroup)
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
    use serde_json::{Value, json};

    use super::{Claims, Refusal, Rules};

    const NOW: f64 = 1_800_000_000.0;

    fn check(change: &[(&str, Value)]) -> Result<super::Accepted, Refusal> {
        let rules = Rules {
            client_ids: vec!["app".into(), "other".into()],
            required_scopes: vec!["shoutback/shout".into()],
            allowed_groups: vec!["loud".into(), "louder".into()],
            leeway: 30.0,
        };
        let mut claims = json!({
            "token_use": "access", "client_id": "app", "exp": NOW + 1.0, "scope": "openid shoutback/shout",
            "cognito:groups": ["quiet", "loud"], "sub": "app",
        });
        for (name, value) in change {
            claims[name] = value.clone();
        }
        rules.check(
            &Claims::parse(claims.to_string().as_bytes()).expect("an object"),
            NOW,
        )
    }

    #[test]
    fn a_machine_and_a_person() {
        let machine = check(&[]).expect("accepted");
        assert_eq!(
            (&*machine.principal.client_id, machine.principal.person),
            ("app", None)
        );
        let person = check(&[("sub", json!("ada"))]).expect("accepted");
        assert_eq!(person.principal.person.as_deref(), Some("ada"));
    }

    #[test]
    fn times_to_the_second_and_below() {
        for (exp, accepted) in [
            (NOW - 29.0, true),
            (NOW - 29.999, true),
            (NOW - 30.0, false),
            (NOW - 31.0, false),
            (1e300, true),
        ] {
            assert_eq!(check(&[("exp", json!(exp))]).is_ok(), accepted, "{exp}");
        }
        for (nbf, accepted) in [
            (NOW + 30.0, true),
            (NOW + 30.001, false),
            (NOW + 31.0, false),
            (-1.0, true),
        ] {
            assert_eq!(check(&[("nbf", json!(nbf))]).is_ok(), accepted, "{nbf}");
        }
        for exp in [json!(null), json!("1900000000"), json!([NOW + 1.0]), json!(true)] {
            assert_eq!(check(&[("exp", exp.clone())]), Err(Refusal::Expired), "{exp}");
            assert_eq!(check(&[("nbf", exp.clone())]), Err(Refusal::NotYetValid), "{exp}");
        }
    }

    #[test]
    fn every_claim_has_its_refusal() {
        for (name, values, refusal) in [
            (
                "token_use",
                [json!("id"), json!("Access"), json!(["access"]), json!(null)],
                Refusal::NotAnAccessToken,
            ),
            (
                "client_id",
                [json!("App"), json!("third"), json!(["app"]), json!(null)],
                Refusal::UnknownClient,
            ),
            (
                "scope",
                [
                    json!("openid"),
                    json!("shoutback/shouts"),
                    json!(["shoutback/shout"]),
                    json!(null),
                ],
                Refusal::MissingScope("shoutback/shout".into()),
            ),
            (
                "cognito:groups",
                [json!([]), json!("loud"), json!(["Loud"]), json!({"loud": true})],
                Refusal::MissingGroup,
            ),
        ] {
            for value in values {
                assert_eq!(
                    check(&[(name, value.clone())]),
                    Err(refusal.clone()),
                    "{name}: {value}"
                );
            }
        }
    }
}
