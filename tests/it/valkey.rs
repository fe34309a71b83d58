//! State that replicas share through a real Valkey. Ignored without one: the suite `valkey` runs these tests, beside those that
//! break the network and the server.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::valkey::Valkey;
use crate::support::{App, send, until};

const TEXT: &str = "hello, world!";
const SHOUT: &str = "!DLROW ,OLLEH";
const LONG_TIMEOUT: (&str, &str) = ("VALKEY_TIMEOUT", "1s");

/// Starts a replica and waits until it uses the Valkey. A busy machine may stop a process for longer than the default timeout.
async fn replica(valkey: &Valkey, settings: &[(&str, &str)]) -> App {
    let mut merged = vec![("VALKEY_URL", &*valkey.url), LONG_TIMEOUT];
    merged.extend(settings);
    let app = App::start(&merged).await;
    until("it uses Valkey", async || {
        app.metric("shoutback_valkey_up", &[]).await == 1.0
    })
    .await;
    app
}

/// Starts another replica of the service that `first` is one of: with the same clients, and a memory of its own.
async fn replica_beside(first: &App, valkey: &Valkey, settings: &[(&str, &str)]) -> App {
    let (endpoint, clients) = (first.cognito.endpoint(), first.cognito.client().id.clone());
    let mut merged = vec![
        ("COGNITO_ENDPOINT", &*endpoint),
        ("COGNITO_CLIENT_IDS", &*clients),
    ];
    merged.extend(settings);
    replica(valkey, &merged).await
}

/// Returns the body and the header `cache-status` of a shout by the client with this token.
async fn shout(app: &App, token: &str, text: &str) -> (String, String) {
    let response = send(app.shout_with(token, text)).await;
    assert_eq!(response.status(), 200);
    let status = response.headers()["cache-status"]
        .to_str()
        .expect("ASCII")
        .to_owned();
    (response.text().await.expect("UTF-8"), status)
}

async fn cache_status(app: &App, token: &str, text: &str) -> String {
    shout(app, token, text).await.1
}

async fn operations(app: &App, operation: &str) -> f64 {
    let label = format!("operation=\"{operation}\"");
    app.metric("shoutback_valkey_requests_total", &[&label]).await
}

fn milliseconds_ago(milliseconds: u128) -> u128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    now.as_millis() - milliseconds
}

mod cache {
    use super::*;

    const SHARED: (&str, &str) = ("CACHE_SHARED", "on");
    const KEYS: &str = "shoutback:cache:*";

    #[tokio::test]
    #[ignore = "needs valkey-server"]
    async fn a_result_of_one_replica_is_a_hit_in_the_others() {
        let valkey = Valkey::start().await;
        let first = replica(&valkey, &[SHARED]).await;
        let second = replica_beside(&first, &valkey, &[SHARED]).await;
        let token = first.cognito.token();
        let response = |status: &str| (SHOUT.to_owned(), status.to_owned());
        assert_eq!(
            shout(&first, &token, TEXT).await,
            response("shoutback; fwd=miss; stored")
        );
        valkey.key(KEYS).await;
        assert_eq!(
            shout(&second, &token, TEXT).await,
            response("shoutback; hit; detail=shared")
        );
        assert_eq!(
            shout(&second, &token, TEXT).await,
            response("shoutback; hit"),
            "in its memory now"
        );
        assert_eq!((first.shoutcloud.calls(), second.shoutcloud.calls()), (1, 0));
        let labels = ["source=\"shared_cache\"", "outcome=\"success\""];
        assert_eq!(second.metric("shoutback_shouts_total", &labels).await, 1.0);
    }

    #[tokio::test]
    #[ignore = "needs valkey-server"]
    async fn values_are_versioned_and_expire() {
        let valkey = Valkey::start().await;
        let lifetimes = [SHARED, ("CACHE_TTL", "1m"), ("CACHE_STALE_IF_ERROR", "2m")];
        let app = replica(&valkey, &lifetimes).await;
        cache_status(&app, &app.cognito.token(), TEXT).await;
        let key = valkey.key(KEYS).await;
        assert!(!key.contains(TEXT));
        let value: String = valkey.command(&["GET", &key]).await;
        let parts: Vec<_> = value.splitn(3, ' ').collect();
        assert_eq!((parts[0], parts[2]), ("1", SHOUT));
        let written: u128 = parts[1].parse().expect("milliseconds");
        assert!((milliseconds_ago(60_000)..=milliseconds_ago(0)).contains(&written));
        let left: u64 = valkey.command(&["PTTL", &key]).await;
        assert!((120_001..=180_000).contains(&left), "{left}");
    }

    #[tokio::test]
    #[ignore = "needs valkey-server"]
    async fn only_a_shout_of_the_text_of_the_right_age_and_length_is_used() {
        let valkey = Valkey::start().await;
        let lifetimes = [SHARED, ("CACHE_TTL", "1h"), ("CACHE_STALE_IF_ERROR", "1h")];
        let first = replica(&valkey, &lifetimes).await;
        let token = first.cognito.token();
        cache_status(&first, &token, TEXT).await;
        let key = valkey.key(KEYS).await;
        let minute = 60_000;
        let now = milliseconds_ago(0);
        // Zeros in front of the time change the length only. The limit is four bytes per byte of the text, and 64.
        let of_length = |length: usize| format!("1 {now:0>width$} {SHOUT}", width = length - SHOUT.len() - 3);
        let limit = 4 * TEXT.len() + 64;
        let hit = "shoutback; hit; detail=shared";
        let miss = "shoutback; fwd=miss; stored";
        let values = [
            (format!("1 {now} {SHOUT}"), hit),
            (format!("1 {} {SHOUT}", milliseconds_ago(59 * minute)), hit),
            (format!("1 {} {SHOUT}", milliseconds_ago(61 * minute)), miss),
            (format!("1 {} {SHOUT}", milliseconds_ago(121 * minute)), miss),
            (of_length(limit), hit),
            (of_length(limit + 1), miss),
            (String::new(), miss),
            ("garbage".to_owned(), miss),
            (format!("1 {now} SOMETHING ELSE"), miss),
            (format!("2 {now} {SHOUT}"), miss),
        ];
        for (value, expected) in values {
            () = valkey.command(&["SET", &key, &value]).await;
            let app = replica_beside(&first, &valkey, &lifetimes).await;
            assert_eq!(cache_status(&app, &token, TEXT).await, expected, "{value}");
        }
    }

    #[tokio::test]
    #[ignore = "needs valkey-server"]
    async fn a_stale_value_is_used_only_if_the_call_fails() {
        let valkey = Valkey::start().await;
        let settings = [
            SHARED,
            ("CACHE_TTL", "1h"),
            ("CACHE_STALE_IF_ERROR", "1h"),
            ("SHOUTCLOUD_MAX_RETRIES", "0"),
        ];
        let first = replica(&valkey, &settings).await;
        let token = first.cognito.token();
        cache_status(&first, &token, TEXT).await;
        let key = valkey.key(KEYS).await;
        for (minutes, status) in [(61, 200), (121, 503)] {
            let value = format!("1 {} {SHOUT}", milliseconds_ago(minutes * 60_000));
            () = valkey.command(&["SET", &key, &value]).await;
            let app = replica_beside(&first, &valkey, &settings).await;
            app.shoutcloud
                .set_behaviour(shoutback_emulators::shoutcloud::Behaviour {
                    failure_rate: 1.0,
                    ..Default::default()
                });
            let response = send(app.shout_with(&token, TEXT)).await;
            assert_eq!(response.status(), status, "{minutes} minutes old");
            if status == 200 {
                assert_eq!(
                    response.headers()["cache-status"],
                    "shoutback; hit; detail=stale-if-error"
                );
            }
        }
    }

    #[tokio::test]
    #[ignore = "needs valkey-server"]
    async fn values_of_more_than_a_mebibyte_are_not_written() {
        let valkey = Valkey::start().await;
        let app = replica(&valkey, &[SHARED, ("MAX_BODY_BYTES", "1MiB")]).await;
        // Each has three bytes in upper case; the version and the time before them take 16.
        let longest = ((1 << 20) - 16) / 3;
        let token = app.cognito.token();
        cache_status(&app, &token, &"\u{250}".repeat(longest + 1)).await;
        cache_status(&app, &token, &"\u{250}".repeat(longest)).await;
        let key = valkey.key(KEYS).await;
        let length: usize = valkey.command(&["STRLEN", &key]).await;
        assert_eq!(length, 1 << 20);
        assert_eq!(operations(&app, "cache_write").await, 1.0);
    }

    #[tokio::test]
    #[ignore = "needs valkey-server"]
    async fn nothing_is_shared_by_default() {
        let valkey = Valkey::start().await;
        let app = replica(&valkey, &[]).await;
        cache_status(&app, &app.cognito.token(), TEXT).await;
        assert_eq!(
            operations(&app, "cache_read").await + operations(&app, "cache_write").await,
            0.0
        );
    }
}

mod quota {
    use super::*;

    const BURST: u32 = 2_000;
    const QUOTA: [(&str, &str); 2] = [("RATE_LIMIT_PER_CLIENT", "1/h"), ("RATE_LIMIT_BURST", "2000")];
    const BUCKETS: &str = "shoutback:quota:*";

    /// Returns `r` of the header `ratelimit`: what is left.
    async fn remaining(app: &App, token: &str) -> u32 {
        let response = send(app.shout_with(token, TEXT)).await;
        assert_eq!(response.status(), 200);
        let limit = response.headers()["ratelimit"].to_str().expect("ASCII");
        let left = limit
            .strip_prefix("\"client\";r=")
            .and_then(|rest| rest.split(';').next());
        left.and_then(|left| left.parse().ok())
            .unwrap_or_else(|| panic!("{limit}"))
    }

    /// Spends requests until a lease was for more than the request that needed it, and returns their number. A replica leases ahead
    /// of need once every other one counts it.
    async fn spend_until_it_leases_ahead(app: &App, token: &str) -> u32 {
        let mut spent = 0;
        until("it leases ahead", async || {
            spent += 1;
            assert_eq!(remaining(app, token).await, BURST - spent);
            operations(app, "quota_lease").await < f64::from(spent)
        })
        .await;
        spent
    }

    /// Returns the level of the only bucket. It gains less than one in a test.
    async fn level(valkey: &Valkey) -> u32 {
        let key = valkey.key(BUCKETS).await;
        let level: f64 = valkey.command(&["HGET", &key, "level"]).await;
        level as u32
    }

    async fn replicas(valkey: &Valkey) -> u32 {
        valkey.command(&["ZCARD", "shoutback:{replicas}"]).await
    }

    #[tokio::test]
    #[ignore = "needs valkey-server"]
    async fn replicas_spend_one_bucket_and_return_their_leases() {
        let valkey = Valkey::start().await;
        let first = replica(&valkey, &QUOTA).await;
        let token = first.cognito.token();
        let spent = spend_until_it_leases_ahead(&first, &token).await;
        assert!(level(&valkey).await < BURST - spent);
        // After a second without requests.
        until("the bucket has what was not spent", async || {
            level(&valkey).await == BURST - spent
        })
        .await;
        until("the return is counted", async || {
            operations(&first, "quota_return").await >= 1.0
        })
        .await;
        assert_eq!(remaining(&first, &token).await, BURST - spent - 1);
        // Its emulators still run.
        first.begin_stop();
        until("it has left", async || replicas(&valkey).await == 0).await;
        let second = replica_beside(&first, &valkey, &QUOTA).await;
        assert_eq!(remaining(&second, &token).await, BURST - spent - 2);
    }

    #[tokio::test]
    #[ignore = "needs valkey-server"]
    async fn a_replica_that_stops_returns_its_lease_and_is_not_counted_any_more() {
        let valkey = Valkey::start().await;
        let first = replica(&valkey, &QUOTA).await;
        let token = first.cognito.token();
        let spent = spend_until_it_leases_ahead(&first, &token).await;
        first.stop().await;
        assert_eq!(level(&valkey).await, BURST - spent);
        assert_eq!(replicas(&valkey).await, 0);
    }

    #[tokio::test]
    #[ignore = "needs valkey-server"]
    async fn only_leases_are_requested_while_requests_come() {
        let valkey = Valkey::start().await;
        let app = replica(&valkey, &QUOTA).await;
        remaining(&app, &app.cognito.token()).await;
        assert_eq!(operations(&app, "quota_lease").await, 1.0);
        assert_eq!(operations(&app, "quota_return").await, 0.0);
    }
}
