//! Valkey (or another server of the Redis protocol), in which replicas share state.
//!
//! Nothing waits for Valkey longer than `VALKEY_TIMEOUT`, and nothing depends on it: a command that cannot be executed
//! is an [`Error`], and every caller continues without. Commands go over one multiplexed connection per node
//! (`connection`). When too many of the last commands failed (`health`), or one with an error that the next would meet
//! too, Valkey is *down*: commands fail at once, without a round trip, until the task [`Valkey::run`] has connected
//! again and written a heartbeat (`replicas`). So a dead server costs nothing per request, and a server that accepts
//! connections but no writes is not taken for a working one.

mod connection;
mod error;
mod health;
mod replicas;
mod script;
mod span;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::{Cmd, Value};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::config;
use crate::telemetry::metrics::{LabelValue as _, ValkeyMetrics, ValkeyOperation, ValkeyOutcome};
use crate::telemetry::trace::Tracing;

pub use self::error::Error;
pub use self::script::{Script, hex};

use self::connection::{Connection, Connector};
use self::health::Health;
use self::replicas::{HEARTBEAT_INTERVAL, Replicas};
use self::span::CommandSpans;

/// Commands in flight at the same time; further ones are skipped. They are far fewer than requests, because leases and
/// cached responses spare most round trips.
const MAX_IN_FLIGHT: usize = 1024;

/// Delays between attempts to connect: doubling, each shortened by up to half at random, so that replicas do not
/// connect together. Not longer, because replicas that are still without Valkey add their share to what the others admit.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// A connection that worked for less continues the backoff, so that a server that fails again and again after
/// connecting costs little.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// A handle to Valkey. Cheap to clone.
#[derive(Clone)]
pub struct Valkey(Arc<Inner>);

struct Inner {
    connector: Connector,
    timeout: Duration,
    /// `None` while Valkey is down.
    live: ArcSwapOption<Live>,
    failed: Notify,
    permits: Semaphore,
    replicas: Replicas,
    metrics: ValkeyMetrics,
    spans: CommandSpans,
}

/// A connection that works.
struct Live {
    connection: Connection,
    health: Health,
    since: Instant,
}

impl Valkey {
    /// Creates a handle that is down until [`Self::run`] has connected.
    pub fn new(config: &config::Valkey, metrics: ValkeyMetrics, tracing: Tracing) -> Self {
        metrics.set_up(false);
        Self(Arc::new(Inner {
            connector: Connector::new(config),
            timeout: config.timeout,
            live: ArcSwapOption::empty(),
            failed: Notify::new(),
            permits: Semaphore::new(MAX_IN_FLIGHT),
            replicas: Replicas::new(metrics.clone()),
            metrics,
            spans: CommandSpans::new(tracing, &config.url),
        }))
    }

    /// Returns whether commands are sent.
    pub fn is_up(&self) -> bool {
        self.0.live.load().is_some()
    }

    /// Returns the time limit of a command.
    pub fn timeout(&self) -> Duration {
        self.0.timeout
    }

    /// Returns the number of replicas that share the quotas, as last seen; at least 1.
    pub fn replicas(&self) -> u32 {
        self.0.replicas.count()
    }

    /// Returns whether every other replica counts this one by now.
    pub fn is_known_to_others(&self) -> bool {
        self.0.replicas.is_known_to_others()
    }

    /// Executes `command` within the time limit. A response that `parse` does not accept is a failure of the server.
    pub async fn execute<T>(
        &self,
        operation: ValkeyOperation,
        command: &Cmd,
        parse: impl Fn(Value) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let result = match self.0.live.load_full() {
            None => Err(Error::down()),
            Some(live) => self.execute_on(&live, operation, command, parse).await,
        };
        self.record(operation, &result);
        result
    }

    /// Executes `script` within the time limit of a command. Sends its text only if the server does not have it.
    pub async fn evaluate<T>(
        &self,
        operation: ValkeyOperation,
        script: &Script,
        key: &str,
        arguments: &[&str],
        parse: impl Fn(Value) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let by_digest = script.by_digest(key, arguments);
        match self.execute(operation, &by_digest, &parse).await {
            Err(error) if error.is_unknown_script() => {
                let by_text = script.by_text(key, arguments);
                self.execute(operation, &by_text, &parse).await
            }
            result => result,
        }
    }

    async fn execute_on<T>(
        &self,
        live: &Arc<Live>,
        operation: ValkeyOperation,
        command: &Cmd,
        parse: impl Fn(Value) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Ok(_permit) = self.0.permits.try_acquire() else {
            return Err(Error::too_many());
        };
        let span = self.0.spans.start(operation, command);
        let result = match timeout(self.0.timeout, live.connection.query(command)).await {
            Ok(result) => result.map_err(Error::from).and_then(parse),
            Err(_) => Err(Error::timeout()),
        };
        if let Some(span) = span {
            span::end(span, &result.as_ref().map(|_| Value::Nil).map_err(Error::clone));
        }
        let failing = match &result {
            Ok(_) => live.health.record(true),
            Err(error) if !error.is_of_server_or_connection() => live.health.record(true),
            Err(error) => live.health.record(false) || error.is_permanent(),
        };
        if let (true, Err(error)) = (failing, &result) {
            self.mark_down(live, error);
        }
        result
    }

    fn record<T>(&self, operation: ValkeyOperation, result: &Result<T, Error>) {
        let outcome = match result {
            Ok(_) => ValkeyOutcome::Success,
            // The same command follows with the text of the script.
            Err(error) if error.is_unknown_script() => return,
            Err(error) => error.outcome(),
        };
        self.0.metrics.record(operation, outcome);
    }

    /// Stops sending commands over `live`, unless another command has done so.
    fn mark_down(&self, live: &Arc<Live>, error: &Error) {
        let previous = self.0.live.compare_and_swap(live, None);
        if previous
            .as_ref()
            .is_some_and(|previous| Arc::ptr_eq(previous, live))
        {
            self.0.metrics.set_up(false);
            log_down(error);
            self.0.failed.notify_one();
        }
    }

    /// Connects, sends heartbeats while connected, and connects again after a failure; runs until dropped.
    pub async fn run(self) {
        let mut backoff = FIRST_BACKOFF;
        // One line per change of state: `mark_down` logs every later failure.
        let mut is_logged = false;
        loop {
            match self.connect().await {
                Ok(live) => {
                    let since = live.since;
                    self.mark_up(live);
                    self.heartbeats().await;
                    if since.elapsed() >= STABLE_AFTER {
                        backoff = FIRST_BACKOFF;
                    }
                }
                Err(error) if !is_logged => log_down(&error),
                Err(_) => {}
            }
            is_logged = true;
            sleep(backoff.mul_f64(rand::random_range(0.5..=1.0))).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    fn mark_up(&self, live: Live) {
        self.0.live.store(Some(Arc::new(live)));
        self.0.metrics.set_up(true);
        tracing::info!(
            event.action = "valkey",
            event.kind = "event",
            event.outcome = "success",
            "Valkey is in use: the quotas are shared with all replicas, {} at the moment",
            self.replicas()
        );
    }

    /// Opens a connection and writes a heartbeat through it.
    async fn connect(&self) -> Result<Live, Error> {
        let opened = async {
            let connection = self.0.connector.connect().await?;
            let response = connection.query(&self.0.replicas.registration()).await?;
            self.0.replicas.registered(replicas::count(&response)?);
            Ok(Live {
                connection,
                health: Health::default(),
                since: Instant::now(),
            })
        };
        let result = match timeout(connection::CONNECT_TIMEOUT, opened).await {
            Ok(result) => result,
            Err(_) => Err(Error::timeout()),
        };
        self.record(ValkeyOperation::Connect, &result);
        result
    }

    /// Sends heartbeats until Valkey is down.
    async fn heartbeats(&self) {
        let mut tick = interval(HEARTBEAT_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.tick().await;
        loop {
            tokio::select! {
                () = self.0.failed.notified() => return,
                _ = tick.tick() => {
                    if let Ok(count) = self.beat().await {
                        self.0.replicas.counted(count);
                    }
                }
            }
        }
    }

    /// Removes this replica from those that share the quotas.
    pub async fn leave(&self) {
        self.0.replicas.leave();
        _ = self.beat().await;
    }

    /// Returns the number of replicas.
    async fn beat(&self) -> Result<u32, Error> {
        let (script, arguments) = (&self.0.replicas.script, self.0.replicas.arguments());
        let (operation, key) = (ValkeyOperation::Heartbeat, replicas::KEY);
        self.evaluate(operation, script, key, &arguments, |response| {
            replicas::count(&response)
        })
        .await
    }
}

fn log_down(error: &Error) {
    tracing::warn!(
        event.action = "valkey",
        event.kind = "event",
        event.outcome = "failure",
        "error.type" = error.outcome().as_str(),
        error.message = %error,
        "Valkey is not in use: each replica enforces its share of the quotas, and the shared cache is skipped"
    );
}
