//! Fuzzes the strict parser of JSON bodies, and compares its result with serde_json's.
#![no_main]

use std::collections::HashSet;
use std::fmt;

use libfuzzer_sys::fuzz_target;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use shoutback::json;

fuzz_target!(|data: &[u8]| {
    let parsed = json::members(data, ["data"]).map(|[data]| data);
    match (parsed, serde_json::from_slice::<Object>(data)) {
        (Ok(parsed), Ok(expected)) => {
            assert!(expected.has_unique_names());
            assert_eq!(parsed.as_ref(), expected.get("data"));
        }
        // serde_json rejects lone surrogates in every string that it stores, so everywhere in an `Object`.
        (Err(error), Ok(expected)) => assert!(!expected.has_unique_names(), "{error}"),
        // Ignored members are not stored, so they may exceed serde_json's limits for stored values.
        (Ok(_), Err(error)) => {
            let error = error.to_string();
            assert!(
                error.starts_with("recursion limit exceeded") || error.starts_with("number out of range"),
                "{error}"
            );
        }
        (Err(_), Err(_)) => {}
    }
});

/// The members of an object in order, including repeated names.
struct Object(Vec<(String, Value)>);

impl Object {
    fn has_unique_names(&self) -> bool {
        let mut seen = HashSet::new();
        self.0.iter().all(|(name, _)| seen.insert(name))
    }

    fn get(&self, wanted: &str) -> Option<&Value> {
        self.0
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}
