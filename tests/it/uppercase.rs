//! The local fallback compared with the emulator, which is an independent implementation.

use serde_json::{Value, json};
use shoutback::shout::simple_uppercase;
use shoutback_emulators::shoutcloud::{Behaviour, Emulator};

use crate::support::{client, loopback, send};

#[tokio::test]
async fn the_fallback_and_the_emulator_agree_on_all_of_unicode() {
    let emulator = Emulator::start(loopback().await, Behaviour::default()).expect("a SHOUTCLOUD emulator");
    let client = client();
    let all: Vec<char> = (char::MIN..=char::MAX).collect();
    for characters in all.chunks(1 << 16) {
        let text: String = characters.iter().collect();
        let request = client
            .post(emulator.url())
            .header("content-type", "application/json")
            .body(json!({ "INPUT": text }).to_string());
        let response = send(request).await;
        let body = response.text().await.expect("UTF-8");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        let (local, remote) = (simple_uppercase(&text), body["OUTPUT"].as_str().expect("a text"));
        for ((c, local), remote) in characters.iter().zip(local.chars()).zip(remote.chars()) {
            assert_eq!(local, remote, "U+{:04X}", u32::from(*c));
        }
        assert_eq!(local.chars().count(), characters.len());
        assert_eq!(remote.chars().count(), characters.len());
    }
}
