//! Valkey and the network, as models.

use std::collections::HashMap;
use std::future::pending;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::quota::shared::bucket::{Ask, Grant, Limits, Peers};
use crate::quota::shared::store::Store;

pub(super) const TIMEOUT: Duration = Duration::from_millis(20);

/// Round trips, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Network {
    pub(super) fastest: u64,
    pub(super) slowest: u64,
}

/// What goes wrong, at which time of the run.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    None,
    /// Every call fails at once.
    Refuses(Range<Duration>),
    /// No call ends, and none is executed.
    Hangs(Range<Duration>),
    /// The same for this client alone: the calls of others succeed, so that the breaker stays closed.
    ShardHangs(Range<Duration>),
    /// No call ends, and all are executed at the end of that time.
    ExecutesLate(Range<Duration>),
    /// A third of the calls is executed, but their replies are lost.
    LosesReplies(Range<Duration>),
    /// Every call fails at once; afterwards the server is empty.
    LosesDataAfter(Range<Duration>),
    /// The server's clock jumps by seconds.
    ClockJumps(Duration, i64),
}

/// The server.
pub(super) struct Server {
    started: Instant,
    fault: Fault,
    network: Network,
    state: Mutex<State>,
    calls: AtomicU32,
}

struct State {
    /// The level of each bucket, and when it was written, in seconds of the server's clock.
    buckets: HashMap<String, (f64, f64)>,
    lost_data: bool,
    random: StdRng,
}

impl Server {
    pub(super) fn new(network: Network, fault: Fault, seed: u64) -> Self {
        Self {
            started: Instant::now(),
            fault,
            network,
            state: Mutex::new(State {
                buckets: HashMap::new(),
                lost_data: false,
                random: StdRng::seed_from_u64(seed),
            }),
            calls: AtomicU32::new(0),
        }
    }

    pub(super) fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Does what lease.lua does.
    fn execute(&self, key: &str, limits: Limits, ask: Ask) -> Grant {
        let elapsed = self.started.elapsed();
        let jump = match self.fault {
            Fault::ClockJumps(at, seconds) if elapsed >= at => seconds as f64,
            _ => 0.0,
        };
        let now = 1e6 + elapsed.as_secs_f64() + jump;
        let server_time = (now * 1e6) as u64;
        if (1..60_000_000).contains(&server_time.saturating_sub(ask.deadline)) {
            return Grant {
                granted: None,
                level: 0.0,
                server_time,
            };
        }
        let mut state = self.state.lock().expect("not poisoned");
        if matches!(&self.fault, Fault::LosesDataAfter(time) if elapsed >= time.end) && !state.lost_data {
            state.lost_data = true;
            state.buckets.clear();
        }
        let burst = f64::from(limits.burst);
        let level = state.buckets.get(key).map_or(burst, |(level, at)| {
            level + (now - at).max(0.0) / limits.period.as_secs_f64()
        });
        let level = (level + f64::from(ask.give)).min(burst).min(ask.ceiling).max(0.0);
        let granted = ask.take.min(level as u32);
        let level = level - f64::from(granted);
        state.buckets.insert(key.to_owned(), (level, now));
        Grant {
            granted: Some(granted),
            level,
            server_time,
        }
    }

    fn random(&self, most: u64) -> u64 {
        self.state
            .lock()
            .expect("not poisoned")
            .random
            .random_range(0..=most)
    }

    async fn call(self: &Arc<Self>, key: &str, limits: Limits, ask: Ask) -> Option<Grant> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let Network { fastest, slowest } = self.network;
        let round_trip = fastest + self.random(slowest - fastest);
        let there = Duration::from_millis(round_trip / 2);
        let back = Duration::from_millis(round_trip - round_trip / 2);
        let elapsed = self.started.elapsed();
        match &self.fault {
            Fault::Refuses(time) | Fault::LosesDataAfter(time) if time.contains(&elapsed) => return None,
            Fault::Hangs(time) | Fault::ShardHangs(time) if time.contains(&elapsed) => {
                return pending().await;
            }
            Fault::ExecutesLate(time) if time.contains(&elapsed) => {
                let (server, key, end) = (Arc::clone(self), key.to_owned(), self.started + time.end);
                tokio::spawn(async move {
                    sleep_until(end).await;
                    server.execute(&key, limits, ask);
                });
                return pending().await;
            }
            _ => {}
        }
        sleep(there).await;
        let grant = self.execute(key, limits, ask);
        if matches!(&self.fault, Fault::LosesReplies(time) if time.contains(&elapsed)) && self.random(2) == 0
        {
            return pending().await;
        }
        sleep(back).await;
        Some(grant)
    }
}

/// One replica's connection to the server, with a breaker.
pub(super) struct Link {
    pub(super) server: Arc<Server>,
    pub(super) replicas: u32,
    pub(super) is_up: Arc<AtomicBool>,
    pub(super) failures: AtomicU32,
}

#[async_trait::async_trait]
impl Store for Link {
    async fn update(&self, key: &str, limits: Limits, ask: Ask) -> Option<Grant> {
        if !self.is_up() {
            return None;
        }
        let call = self.server.call(key, limits, ask);
        let grant = timeout(TIMEOUT, call).await.ok().flatten();
        if grant.is_some() {
            self.failures.store(0, Ordering::Relaxed);
        } else if !matches!(self.server.fault, Fault::ShardHangs(_))
            && self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= 5
            && self.is_up.swap(false, Ordering::Relaxed)
        {
            let (is_up, server) = (Arc::clone(&self.is_up), Arc::clone(&self.server));
            tokio::spawn(async move {
                sleep(Duration::from_millis(500)).await;
                while server.is_down() {
                    sleep(Duration::from_millis(100)).await;
                }
                is_up.store(true, Ordering::Relaxed);
            });
        }
        grant
    }

    fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    fn peers(&self) -> Peers {
        Peers {
            replicas: self.replicas,
            may_lease_ahead: true,
            timeout: TIMEOUT,
        }
    }

    async fn leave(&self) {}
}

impl Server {
    fn is_down(&self) -> bool {
        match &self.fault {
            Fault::Refuses(time)
            | Fault::LosesDataAfter(time)
            | Fault::Hangs(time)
            | Fault::ExecutesLate(time) => time.contains(&self.started.elapsed()),
            Fault::None | Fault::ShardHangs(_) | Fault::LosesReplies(_) | Fault::ClockJumps(..) => false,
        }
    }
}
