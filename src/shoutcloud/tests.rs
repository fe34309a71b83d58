//! Properties of the whole stack (bulkhead, retries, budget, breaker) under any sequence of outcomes, with concurrent
//! callers on a paused clock. The attempt is a fake, so that no connection is needed.

use std::sync::{Mutex, MutexGuard};

use http::StatusCode;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_oneof, proptest};
use proptest::sample::select;
use reqwest::Response;
use reqwest_middleware::Next;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::error::Transient;
use super::{
    Arc, AttemptError, Call, Duration, Error, Extensions, Instant, InvalidResponse, Metrics, Middleware,
    Progress, Request, Shoutcloud, Transport, UpstreamMetrics, retry, timeout_at,
};
use crate::config::{self, Environment, Ratio};

const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);
const OPEN_FOR: Duration = Duration::from_secs(2);

/// How the upstream responds to an attempt.
#[derive(Debug, Clone)]
enum Outcome {
    Shout,
    Permanent4xx,
    /// A redirect, say.
    Invalid,
    /// With `retry-after` in milliseconds.
    Transient(Option<u64>),
    Stall,
}

#[derive(Debug, Clone)]
struct Attempted {
    outcome: Outcome,
    /// In milliseconds.
    takes: u64,
}

fn attempted() -> impl Strategy<Value = Attempted> {
    let outcome = prop_oneof![
        3 => Just(Outcome::Shout),
        1 => Just(Outcome::Permanent4xx),
        1 => Just(Outcome::Invalid),
        3 => proptest::option::of(0..4_000_u64).prop_map(Outcome::Transient),
        1 => Just(Outcome::Stall),
    ];
    (outcome, 0..400_u64).prop_map(|(outcome, takes)| Attempted { outcome, takes })
}

/// The innermost middleware: what the upstream sees, and its responses in turn.
#[derive(Clone)]
struct FakeAttempt {
    metrics: Arc<UpstreamMetrics>,
    upstream: Arc<Mutex<Upstream>>,
}

struct Upstream {
    seen: u32,
    script: Vec<Attempted>,
}

impl FakeAttempt {
    fn upstream(&self) -> MutexGuard<'_, Upstream> {
        self.upstream.lock().expect("not poisoned")
    }

    fn next(&self) -> Attempted {
        let mut upstream = self.upstream();
        let next = upstream.seen as usize % upstream.script.len();
        upstream.seen += 1;
        upstream.script[next].clone()
    }
}

async fn respond(attempted: Attempted) -> Result<(), Error> {
    sleep(Duration::from_millis(attempted.takes)).await;
    match attempted.outcome {
        Outcome::Shout => Ok(()),
        Outcome::Permanent4xx => Err(InvalidResponse::Status(StatusCode::NOT_FOUND).into()),
        Outcome::Invalid => Err(InvalidResponse::Status(StatusCode::FOUND).into()),
        Outcome::Transient(retry_after) => Err(Error::Unavailable {
            cause: Transient::Status(StatusCode::SERVICE_UNAVAILABLE),
            retry_after: retry_after.map(Duration::from_millis),
        }),
        Outcome::Stall => std::future::pending().await,
    }
}

#[async_trait::async_trait]
impl Middleware for FakeAttempt {
    async fn handle(
        &self,
        _: Request,
        extensions: &mut Extensions,
        _: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let call = Call::of(extensions);
        retry::record_sent(&self.metrics, call);
        call.progress.record_attempt();
        let deadline = call.deadline;
        let times_out = Instant::now() + ATTEMPT_TIMEOUT;
        let late = if deadline <= times_out {
            Error::DeadlinePassed
        } else {
            Transient::Timeout.into()
        };
        timeout_at(times_out.min(deadline), respond(self.next()))
            .await
            .unwrap_or(Err(late))
            .map_err(AttemptError::from)?;
        call.output = Some("HI".to_owned());
        Ok(http::Response::new("").into())
    }
}

/// A call of one of three clients.
#[derive(Debug, Clone, Copy)]
struct Caller {
    client: usize,
    starts_at: u64,
    leaves_after: Option<u64>,
}

fn caller() -> impl Strategy<Value = Caller> {
    let leaves_after = proptest::option::weighted(0.2, 0..3_000_u64);
    (0..3_usize, 0..5_000_u64, leaves_after).prop_map(|(client, starts_at, leaves_after)| Caller {
        client,
        starts_at,
        leaves_after,
    })
}

struct Fixture {
    shoutcloud: Shoutcloud,
    attempt: FakeAttempt,
    metrics: Metrics,
}

impl Fixture {
    fn new(change: impl FnOnce(&mut config::Shoutcloud), script: Vec<Attempted>) -> Self {
        let environment = Environment::from([
            ("AUTH_MODE", "disabled"),
            ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "1s"),
            ("SHOUTCLOUD_DEADLINE", "3s"),
            ("BREAKER_SLOW_CALL", "1s"),
            ("BREAKER_OPEN_FOR", "2s"),
        ]);
        let mut config = config::Config::load(&environment)
            .expect("valid")
            .config
            .shoutcloud;
        change(&mut config);
        let metrics = Metrics::new(&[]);
        let upstream_metrics = Arc::new(metrics.upstream("api.shoutcloud.io", 80, &[]));
        let attempt = FakeAttempt {
            metrics: Arc::clone(&upstream_metrics),
            upstream: Arc::new(Mutex::new(Upstream { seen: 0, script })),
        };
        let transport = Transport::new(&config.url, config.connect_timeout, Arc::clone(&upstream_metrics));
        let transport = Arc::new(transport.expect("a transport"));
        let shoutcloud = Shoutcloud::with_attempt(&config, upstream_metrics, transport, attempt.clone())
            .expect("a client");
        Self {
            shoutcloud,
            attempt,
            metrics,
        }
    }

    /// Makes a call; returns the number of its attempts.
    fn call(&self, caller: Caller) -> impl Future<Output = u32> + use<> {
        let shoutcloud = self.shoutcloud.clone();
        async move {
            sleep(Duration::from_millis(caller.starts_at)).await;
            let progress = Progress::default();
            let client = caller.client.to_string().into();
            let deadline = Instant::now() + Duration::from_secs(60);
            let call = shoutcloud.uppercase(&client, "hi".to_owned(), deadline, &progress);
            match caller.leaves_after {
                Some(milliseconds) => _ = timeout(Duration::from_millis(milliseconds), call).await,
                None => _ = call.await,
            }
            progress.attempts()
        }
    }

    /// Returns the sum of the samples of `series`, a name with or without its labels.
    fn metric(&self, series: &str) -> f64 {
        let text = self.metrics.render();
        let samples = text.lines().filter(|line| line.starts_with(series));
        samples
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    fn is_half_open(&self) -> bool {
        self.metric("shoutback_breaker_state{state=\"half_open\"}") == 1.0
    }

    fn seen(&self) -> u32 {
        self.attempt.upstream().seen
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn retries_are_accounted_for_and_half_open_ends(
        script in proptest::collection::vec(attempted(), 1..20),
        callers in proptest::collection::vec(caller(), 1..60),
        (max_retries, reserve, deposit) in (0..4_u32, 0..20_u32, select(vec![0, 200_000, 1_000_000])),
        (min_calls, probes) in (1..10_u32, 1..4_u32),
        max_concurrency in select(vec![3, 100]),
    ) {
        let change = |config: &mut config::Shoutcloud| {
            config.max_retries = max_retries;
            config.retry_reserve = reserve;
            config.retry_budget = Ratio::from_millionths(deposit);
            config.max_concurrency = max_concurrency.try_into().expect("not 0");
            config.breaker.min_calls = min_calls.try_into().expect("not 0");
            config.breaker.probes = probes.try_into().expect("not 0");
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let fixture = Fixture::new(change, script);
            let number = callers.len();
            let calls: JoinSet<u32> = callers.into_iter().map(|caller| fixture.call(caller)).collect();
            let attempts = calls.join_all().await;

            let seen: u32 = attempts.iter().sum();
            assert_eq!(fixture.seen(), seen);
            let retries: u32 = attempts.iter().map(|attempts| attempts.saturating_sub(1)).sum();
            assert!(attempts.iter().all(|attempts| *attempts <= 1 + max_retries));
            let counted = fixture.metric("shoutback_upstream_retries_total");
            assert_eq!(counted, f64::from(retries), "each retry that was sent is counted, and no other");

            // What is deposited into a full budget is lost, so the balance has a range.
            let (reserve, retries) = (f64::from(reserve), f64::from(retries));
            let balance = fixture.metric("shoutback_retry_budget_remaining");
            let most = reserve + f64::from(deposit) / 1e6 * number as f64 - retries;
            assert!(balance >= reserve - retries - 1e-6, "{balance} < {reserve} - {retries}");
            assert!(balance <= most.min(reserve) + 1e-6, "{balance} > {most}");

            // Whatever the outcomes are from here on, so many attempts that end by themselves end half-open.
            sleep(OPEN_FOR * 2).await;
            for _ in 0..probes {
                fixture.call(Caller { client: 0, starts_at: 0, leaves_after: None }).await;
            }
            assert!(!fixture.is_half_open());
            assert_eq!(fixture.metric("shoutback_upstream_in_flight"), 0.0);
            assert_eq!(fixture.metric("shoutback_upstream_queued"), 0.0);
        });
    }
}
