//! One client's requests, and what becomes of them.

use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::model::{Fault, Link, Network, Server, TIMEOUT};
use crate::auth::Principal;
use crate::config::RateLimit;
use crate::quota::shared::SharedQuotas;

/// How requests are spread over the replicas.
#[derive(Debug, Clone, Copy)]
pub(super) enum Spread {
    RoundRobin,
    Random,
    One,
    /// Another replica every second.
    Moving,
}

#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) replicas: u32,
    pub(super) spread: Spread,
    pub(super) per_second: f64,
    pub(super) burst: u32,
    /// Requests, as a multiple of the limit.
    pub(super) load: f64,
    /// Whether they come as many at a time as the load allows.
    pub(super) in_bursts: bool,
    /// Whether half of the requests that wait are cancelled.
    pub(super) cancels: bool,
    pub(super) network: Network,
    pub(super) fault: Fault,
    pub(super) seconds: u64,
    pub(super) seed: u64,
}

#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) admitted: usize,
    pub(super) rejected: usize,
    /// Requests that waited for a call.
    pub(super) waited: usize,
    pub(super) calls: u32,
    /// By how much the worst interval exceeds 1.1 × (rate × time + burst).
    pub(super) excess: f64,
}

impl Outcome {
    pub(super) fn requests(&self) -> usize {
        self.admitted + self.rejected
    }
}

/// Simulates `run` in a runtime of its own, whose clock is paused.
pub(super) fn simulate(run: &Run) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(requests(run))
}

/// Returns when requests are sent.
fn schedule(run: &Run, started: Instant) -> Vec<Instant> {
    let at = |seconds: f64| started + Duration::from_secs_f64(seconds);
    let per_second = run.per_second * run.load;
    if !run.in_bursts {
        let count = (per_second * run.seconds as f64) as u32;
        return (0..count)
            .map(|request| at(f64::from(request) / per_second))
            .collect();
    }
    let size = (f64::from(run.burst) * run.load).floor().max(1.0);
    let interval = size / per_second;
    let bursts = (run.seconds as f64 / interval) as u32;
    (0..bursts)
        .flat_map(|burst| std::iter::repeat_n(at(f64::from(burst) * interval), size as usize))
        .collect()
}

async fn requests(run: &Run) -> Outcome {
    let server = Arc::new(Server::new(run.network, run.fault.clone(), run.seed));
    let config = RateLimit {
        replenish_one: Duration::from_secs_f64(1.0 / run.per_second),
        burst: run.burst.try_into().expect("above zero"),
    };
    let replicas: Vec<_> = (0..run.replicas)
        .map(|_| {
            let link = Link {
                server: Arc::clone(&server),
                replicas: run.replicas,
                is_up: Arc::new(AtomicBool::new(true)),
                failures: AtomicU32::new(0),
            };
            Arc::new(SharedQuotas::with_store(&config, Box::new(link)))
        })
        .collect();
    let mut upkeep = JoinSet::new();
    for quotas in &replicas {
        let quotas = Arc::clone(quotas);
        upkeep.spawn(async move { quotas.upkeep().await });
    }
    let principal = Principal {
        client_id: "app".into(),
        subject: None,
    };
    let mut random = StdRng::seed_from_u64(run.seed);
    let started = Instant::now();
    let decisions = Arc::new(Mutex::new(Vec::new()));
    let mut pending = JoinSet::new();
    for (number, at) in schedule(run, started).into_iter().enumerate() {
        sleep_until(at).await;
        let replica = match run.spread {
            Spread::RoundRobin => number % replicas.len(),
            Spread::Random => random.random_range(0..replicas.len()),
            Spread::One => 0,
            Spread::Moving => (at - started).as_secs() as usize % replicas.len(),
        };
        let quotas = Arc::clone(&replicas[replica]);
        if let Some(decision) = quotas.take_leased(&principal) {
            let accepted = decision.retry_after.is_none();
            decisions
                .lock()
                .expect("not poisoned")
                .push((Instant::now(), accepted, false));
            continue;
        }
        let (principal, decisions) = (principal.clone(), Arc::clone(&decisions));
        let patience = match run.cancels && random.random() {
            true => Duration::from_millis(random.random_range(0..20)),
            false => Duration::MAX,
        };
        pending.spawn(async move {
            let sent = Instant::now();
            let Ok(decision) = timeout(patience, quotas.take(&principal)).await else {
                return;
            };
            let accepted = decision.retry_after.is_none();
            let now = Instant::now();
            // The clock has a resolution of a millisecond.
            assert!(
                now - sent <= TIMEOUT + Duration::from_millis(1),
                "{:?}",
                now - sent
            );
            decisions
                .lock()
                .expect("not poisoned")
                .push((now, accepted, true));
        });
    }
    while let Some(ended) = pending.join_next().await {
        ended.expect("no panic");
    }
    let decisions = decisions.lock().expect("not poisoned");
    let admitted: Vec<_> = decisions
        .iter()
        .filter(|(_, accepted, _)| *accepted)
        .map(|(at, ..)| *at)
        .collect();
    Outcome {
        admitted: admitted.len(),
        rejected: decisions.len() - admitted.len(),
        waited: decisions.iter().filter(|(_, _, waited)| *waited).count(),
        calls: server.calls(),
        excess: excess(run, &admitted),
    }
}

/// Fills a bucket by one per accepted request, which leaks at 1.1 × the rate: no interval exceeds the limit if it never
/// holds more than 1.1 × the burst. One request more is allowed for the resolution of the clock.
fn excess(run: &Run, admitted: &[Instant]) -> f64 {
    let (mut level, mut highest) = (0.0_f64, 0.0_f64);
    let mut last = admitted.first().copied();
    for &at in admitted {
        let leaked = last.map_or(0.0, |last| (at - last).as_secs_f64()) * run.per_second * 1.1;
        last = Some(at);
        level = (level - leaked).max(0.0) + 1.0;
        highest = highest.max(level);
    }
    highest - f64::from(run.burst) * 1.1 - 1.0
}
