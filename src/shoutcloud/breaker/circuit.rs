//! The breaker's state machine. Pure: time and jitter are arguments.

use std::time::Duration;

use tokio::time::Instant;

use super::window::{Counts, Window};
use crate::config::{Breaker as Config, Ratio};
use crate::telemetry::metrics::BreakerTransition;

/// `retry_after` while all probes are in flight: one of them may have closed the circuit by then.
const RETRY_AFTER_WHILE_PROBING: Duration = Duration::from_secs(1);

/// A period in one state. An attempt counts only in the generation that accepted it: one that started before the
/// circuit opened is no evidence of recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Generation(u64);

/// How an attempt counts, apart from its duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The upstream works: a shout, or a permanent 4xx.
    Succeeded,
    Failed,
    /// Cancelled by the deadline.
    Cancelled,
}

#[derive(Debug)]
enum State {
    /// All attempts are accepted and counted.
    Closed(Window),
    /// All attempts are rejected.
    Open { until: Instant },
    /// A few attempts at a time are accepted as probes.
    HalfOpen { in_flight: u32, succeeded: u32 },
}

/// The state machine: closed, open, half open.
#[derive(Debug)]
pub(super) struct Circuit {
    config: Config,
    state: State,
    generation: Generation,
    /// The counts of the window when the last attempt ended that the closed circuit counted.
    counts: Counts,
}

impl Circuit {
    /// Creates a closed circuit.
    pub(super) fn new(config: Config, now: Instant) -> Self {
        Self {
            state: State::Closed(Window::new(config.window, now)),
            config,
            generation: Generation(0),
            counts: Counts::default(),
        }
    }

    /// Returns for how long attempts are rejected; `None` if one would be accepted now.
    pub(super) fn rejection(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Open { until } if now < until => Some(until - now),
            State::HalfOpen { in_flight, .. } if in_flight >= self.config.probes.get() => {
                Some(RETRY_AFTER_WHILE_PROBING)
            }
            State::Closed(_) | State::Open { .. } | State::HalfOpen { .. } => None,
        }
    }

    /// Accepts an attempt, or returns for how long attempts are rejected.
    pub(super) fn try_acquire(
        &mut self,
        now: Instant,
    ) -> (Result<Generation, Duration>, Option<BreakerTransition>) {
        if let Some(left) = self.rejection(now) {
            return (Err(left), None);
        }
        let transition = matches!(self.state, State::Open { .. }).then(|| {
            let half_open = State::HalfOpen {
                in_flight: 0,
                succeeded: 0,
            };
            self.transition(BreakerTransition::HalfOpened, half_open)
        });
        if let State::HalfOpen { in_flight, .. } = &mut self.state {
            *in_flight += 1;
        }
        (Ok(self.generation), transition)
    }

    /// Records the end of an attempt that was accepted in `generation`. `jitter` scales the open time if this opens the
    /// circuit.
    pub(super) fn record(
        &mut self,
        generation: Generation,
        now: Instant,
        duration: Duration,
        outcome: Outcome,
        jitter: f64,
    ) -> Option<BreakerTransition> {
        if generation != self.generation {
            return None;
        }
        let slow = self
            .config
            .slow_call
            .is_some_and(|slow_call| duration >= slow_call);
        if outcome == Outcome::Cancelled && !slow {
            self.release(generation);
            return None;
        }
        let failed = outcome == Outcome::Failed;
        match &mut self.state {
            State::Closed(window) => {
                let counts = window.record(
                    now,
                    Counts {
                        calls: 1,
                        failed: failed.into(),
                        slow: slow.into(),
                    },
                );
                self.counts = counts;
                // Only on evidence against the upstream: it may have recovered since the failures in the window.
                ((failed || slow) && self.exceeds_threshold(counts))
                    .then(|| self.open(BreakerTransition::Opened, now, jitter))
            }
            State::Open { .. } => None,
            // A slow probe counts as a failure: once closed, slowness alone would open the circuit again.
            State::HalfOpen { .. } if failed || slow => {
                Some(self.open(BreakerTransition::Reopened, now, jitter))
            }
            State::HalfOpen { in_flight, succeeded } => {
                *in_flight -= 1;
                *succeeded += 1;
                (*succeeded >= self.config.probes.get()).then(|| {
                    let closed = State::Closed(Window::new(self.config.window, now));
                    self.transition(BreakerTransition::Closed, closed)
                })
            }
        }
    }

    /// Releases the permit of an attempt that was accepted in `generation` and dropped; it counts as nothing.
    pub(super) fn release(&mut self, generation: Generation) {
        if let State::HalfOpen { in_flight, .. } = &mut self.state
            && generation == self.generation
        {
            *in_flight -= 1;
        }
    }

    /// Returns the counts that opened the circuit.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Returns whether failures alone would have opened the circuit.
    pub(super) fn reaches_failure_rate(&self) -> bool {
        reaches(self.counts, self.counts.failed, self.config.failure_rate)
    }

    fn exceeds_threshold(&self, counts: Counts) -> bool {
        let reaches = |part: u64, ratio: Ratio| reaches(counts, part, ratio);
        counts.calls >= u64::from(self.config.min_calls.get())
            && (reaches(counts.failed, self.config.failure_rate)
                || self.config.slow_call.is_some() && reaches(counts.slow, self.config.slow_rate))
    }

    fn open(&mut self, transition: BreakerTransition, now: Instant, jitter: f64) -> BreakerTransition {
        let until = now + self.config.open_for.mul_f64(jitter);
        self.transition(transition, State::Open { until })
    }

    fn transition(&mut self, transition: BreakerTransition, state: State) -> BreakerTransition {
        self.generation.0 += 1;
        self.state = state;
        transition
    }
}

fn reaches(counts: Counts, part: u64, ratio: Ratio) -> bool {
    u128::from(part) * 1_000_000 >= u128::from(counts.calls) * u128::from(ratio.millionths())
}

#[cfg(test)]
mod tests;
