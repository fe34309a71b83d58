use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};

use super::{BreakerTransition, Circuit, Config, Duration, Generation, Instant, Outcome, Ratio, State};

const SECOND: Duration = Duration::from_secs(1);

/// A circuit with its clock and without jitter.
struct Fixture {
    circuit: Circuit,
    now: Instant,
}

impl Fixture {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            window: 30 * SECOND,
            min_calls: 4.try_into().expect("not 0"),
            failure_rate: Ratio::from_millionths(500_000),
            slow_call: Some(SECOND),
            slow_rate: Ratio::from_millionths(750_000),
            open_for: 10 * SECOND,
            probes: 2.try_into().expect("not 0"),
        };
        change(&mut config);
        let now = Instant::now();
        Self {
            circuit: Circuit::new(config, now),
            now,
        }
    }

    fn try_acquire(&mut self) -> Result<Generation, Duration> {
        self.circuit.try_acquire(self.now).0
    }

    fn record(
        &mut self,
        generation: Generation,
        duration: Duration,
        failed: bool,
    ) -> Option<BreakerTransition> {
        let outcome = if failed {
            Outcome::Failed
        } else {
            Outcome::Succeeded
        };
        self.circuit.record(generation, self.now, duration, outcome, 1.0)
    }

    fn attempts(&mut self, number: usize, duration: Duration, failed: bool) {
        for _ in 0..number {
            let generation = self.try_acquire().expect("accepted");
            self.record(generation, duration, failed);
        }
    }

    fn succeed(&mut self, number: usize) {
        self.attempts(number, Duration::ZERO, false);
    }

    fn fail(&mut self, number: usize) {
        self.attempts(number, Duration::ZERO, true);
    }

    fn state(&self) -> &'static str {
        match self.circuit.state {
            State::Closed(_) => "closed",
            State::Open { .. } => "open",
            State::HalfOpen { .. } => "half_open",
        }
    }

    fn half_open(&mut self) {
        self.fail(4);
        self.now += 10 * SECOND;
    }
}

#[test]
fn it_opens_at_the_failure_rate_after_the_minimum_of_attempts() {
    let mut fixture = Fixture::new(|_| {});
    fixture.fail(3);
    assert_eq!(
        fixture.state(),
        "closed",
        "three attempts are fewer than the minimum"
    );
    fixture.fail(1);
    assert_eq!(fixture.state(), "open");
    assert_eq!(fixture.try_acquire(), Err(10 * SECOND));
    let mut fixture = Fixture::new(|_| {});
    fixture.succeed(5);
    fixture.fail(4);
    assert_eq!(fixture.state(), "closed", "four of nine are less than half");
    fixture.fail(1);
    assert_eq!(fixture.state(), "open", "five of ten are half");
}

#[test]
fn failures_expire_with_the_window() {
    let mut fixture = Fixture::new(|_| {});
    fixture.fail(3);
    fixture.now += 30 * SECOND;
    fixture.fail(3);
    assert_eq!(fixture.state(), "closed");
}

#[test]
fn it_opens_at_the_slow_rate_if_that_is_configured() {
    let mut fixture = Fixture::new(|_| {});
    fixture.succeed(1);
    fixture.attempts(2, SECOND, false);
    assert_eq!(fixture.state(), "closed");
    fixture.attempts(1, SECOND, false);
    assert_eq!(fixture.state(), "open", "three of four are slow");
    let mut fixture = Fixture::new(|config| config.slow_call = None);
    fixture.attempts(100, 3_600 * SECOND, false);
    assert_eq!(fixture.state(), "closed");
}

#[test]
fn a_rejection_has_the_remaining_open_time() {
    let mut fixture = Fixture::new(|_| {});
    fixture.fail(4);
    fixture.now += 3 * SECOND;
    assert_eq!(fixture.try_acquire(), Err(7 * SECOND));
    fixture.now += 7 * SECOND - Duration::from_millis(1);
    assert_eq!(fixture.try_acquire(), Err(Duration::from_millis(1)));
    fixture.now += Duration::from_millis(1);
    assert!(fixture.try_acquire().is_ok());
}

#[test]
fn the_open_time_is_scaled_by_the_jitter() {
    for (jitter, seconds) in [(0.9, 9), (1.1, 11)] {
        let mut fixture = Fixture::new(|_| {});
        fixture.fail(3);
        let generation = fixture.try_acquire().expect("closed");
        fixture
            .circuit
            .record(generation, fixture.now, Duration::ZERO, Outcome::Failed, jitter);
        assert_eq!(fixture.try_acquire(), Err(SECOND * seconds));
    }
}

#[test]
fn half_open_it_accepts_two_probes_at_a_time_and_closes_after_two_successes() {
    let mut fixture = Fixture::new(|_| {});
    fixture.half_open();
    let (first, second) = (
        fixture.try_acquire().expect("a probe"),
        fixture.try_acquire().expect("another"),
    );
    assert_eq!(fixture.try_acquire(), Err(SECOND), "two probes at a time");
    fixture.record(first, Duration::ZERO, false);
    assert_eq!(fixture.state(), "half_open", "one success is not enough");
    assert!(fixture.try_acquire().is_ok(), "one probe has ended");
    fixture.record(second, Duration::ZERO, false);
    assert_eq!(fixture.state(), "closed");
    fixture.fail(3);
    assert_eq!(fixture.state(), "closed", "a new window");
}

#[test]
fn a_failed_or_slow_probe_reopens_it_at_once() {
    for (duration, failed) in [(Duration::ZERO, true), (SECOND, false)] {
        let mut fixture = Fixture::new(|_| {});
        fixture.half_open();
        fixture.succeed(1);
        fixture.attempts(1, duration, failed);
        assert_eq!(fixture.state(), "open");
        assert_eq!(fixture.try_acquire(), Err(10 * SECOND));
    }
}

#[test]
fn a_success_never_opens_it_and_the_next_failure_or_slow_attempt_does() {
    for (duration, failed) in [(Duration::ZERO, true), (SECOND, false)] {
        let mut fixture = Fixture::new(|_| {});
        fixture.fail(3);
        fixture.succeed(2);
        assert_eq!(fixture.state(), "closed", "three of five failed");
        fixture.attempts(1, duration, failed);
        assert_eq!(fixture.state(), "open");
    }
}

#[test]
fn a_cancelled_attempt_counts_only_if_it_was_already_slow() {
    let mut fixture = Fixture::new(|_| {});
    let cancel = |fixture: &mut Fixture, duration| {
        let generation = fixture.try_acquire().expect("accepted");
        let (now, cancelled) = (fixture.now, Outcome::Cancelled);
        fixture.circuit.record(generation, now, duration, cancelled, 1.0)
    };
    for _ in 0..100 {
        assert_eq!(cancel(&mut fixture, SECOND / 2), None);
    }
    fixture.fail(3);
    assert_eq!(fixture.state(), "closed");
    fixture.fail(1);
    assert_eq!(fixture.state(), "open", "four of four");
    fixture.now += 10 * SECOND;
    for _ in 0..100 {
        assert_eq!(cancel(&mut fixture, SECOND / 2), None);
    }
    cancel(&mut fixture, SECOND);
    assert_eq!(fixture.state(), "open", "a slow probe");
}

#[test]
fn a_released_probe_is_not_counted() {
    let mut fixture = Fixture::new(|_| {});
    fixture.half_open();
    for _ in 0..100 {
        let generation = fixture.try_acquire().expect("a probe");
        fixture.circuit.release(generation);
    }
    fixture.succeed(2);
    assert_eq!(fixture.state(), "closed");
}

#[test]
fn attempts_of_an_earlier_generation_are_not_counted() {
    let mut fixture = Fixture::new(|_| {});
    let early: Vec<_> = (0..10).map(|_| fixture.try_acquire().expect("closed")).collect();
    fixture.half_open();
    let probe = fixture.try_acquire().expect("a probe");
    for generation in early.iter().take(5) {
        assert_eq!(fixture.record(*generation, Duration::ZERO, true), None);
        fixture.circuit.release(*generation);
    }
    for generation in early.iter().skip(5) {
        assert_eq!(fixture.record(*generation, Duration::ZERO, false), None);
    }
    assert_eq!(fixture.state(), "half_open");
    fixture.record(probe, Duration::ZERO, false);
    fixture.succeed(1);
    assert_eq!(fixture.state(), "closed");
}

#[derive(Debug, Clone)]
enum Step {
    Acquire,
    /// Ends one of the attempts in flight.
    Record {
        which: usize,
        failed: bool,
        slow: bool,
    },
    Release {
        which: usize,
    },
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Acquire),
        3 => (any::<usize>(), any::<bool>(), any::<bool>())
            .prop_map(|(which, failed, slow)| Step::Record { which, failed, slow }),
        1 => any::<usize>().prop_map(|which| Step::Release { which }),
        1 => (0..15_000_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Compares random sequences with the rules: closed, the circuit accepts every attempt; open, none until its time
    /// is over; half open, two at a time, and a released probe frees its permit. Successes close it from every state.
    #[test]
    fn random_sequences_follow_the_rules(steps in proptest::collection::vec(step(), 0..300), slow_rule: bool) {
        let mut fixture = Fixture::new(|config| config.slow_call = config.slow_call.filter(|_| slow_rule));
        let mut in_flight = Vec::new();
        let mut since_closed = 0;
        for step in steps {
            let before = fixture.state();
            match step {
                Step::Wait(milliseconds) => fixture.now += Duration::from_millis(milliseconds),
                Step::Acquire => {
                    let current = fixture.circuit.generation;
                    let probes = in_flight.iter().filter(|generation| **generation == current).count();
                    let expected = match fixture.circuit.state {
                        State::Closed(_) => true,
                        State::Open { until } => fixture.now >= until,
                        State::HalfOpen { .. } => probes < 2,
                    };
                    let rejection = fixture.circuit.rejection(fixture.now);
                    let acquired = fixture.try_acquire();
                    assert_eq!(acquired.is_ok(), expected);
                    assert_eq!(acquired.err(), rejection);
                    assert!(rejection.is_none_or(|left| left > Duration::ZERO && left <= 10 * SECOND));
                    in_flight.extend(acquired.ok());
                }
                Step::Record { which, failed, slow } if !in_flight.is_empty() => {
                    let generation = in_flight.swap_remove(which % in_flight.len());
                    let is_current = generation == fixture.circuit.generation;
                    fixture.record(generation, if slow { SECOND } else { Duration::ZERO }, failed);
                    if is_current && before == "closed" {
                        since_closed += 1;
                    }
                    let is_bad = failed || slow && slow_rule;
                    match (before, fixture.state()) {
                        _ if !is_current => assert_eq!(before, fixture.state()),
                        ("closed", "open") => assert!(since_closed >= 4 && is_bad),
                        ("closed", "closed") | ("half_open", "half_open" | "closed") => {
                            assert!(before == "closed" || !is_bad);
                        }
                        ("half_open", "open") => assert!(is_bad),
                        other => panic!("{other:?}"),
                    }
                }
                Step::Release { which } if !in_flight.is_empty() => {
                    let generation = in_flight.swap_remove(which % in_flight.len());
                    fixture.circuit.release(generation);
                    assert_eq!(before, fixture.state());
                }
                Step::Record { .. } | Step::Release { .. } => {}
            }
            if fixture.state() != "closed" {
                since_closed = 0;
            }
            if let State::HalfOpen { in_flight: probes, .. } = fixture.circuit.state {
                let current = fixture.circuit.generation;
                let expected = in_flight.iter().filter(|generation| **generation == current).count();
                assert_eq!(probes as usize, expected);
            }
        }
        // Recovery: attempts in flight are released, the open time passes, and two successes are enough.
        for generation in in_flight {
            fixture.circuit.release(generation);
        }
        fixture.now += 10 * SECOND;
        if fixture.state() != "closed" {
            fixture.succeed(2);
        }
        assert_eq!(fixture.state(), "closed");
    }
}
