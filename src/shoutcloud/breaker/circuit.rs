//! The breaker's state machine. It looks at no clock and draws no number: whoever asks says what time it is.

use std::time::Duration;

use tokio::time::Instant;

use super::window::{Counts, Window};
use crate::config::{Breaker as Rules, Ratio};

/// What callers are told while attempts are probing: one of them may have closed the circuit by then.
const WHILE_PROBING: Duration = Duration::from_secs(1);

/// A stretch of time in one state. An attempt counts only in the epoch that admitted it: one that began before the circuit
/// opened says nothing of the upstream's recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch(u64);

/// What an attempt says of the upstream, apart from how long it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is well.
    Succeeded,
    /// It is not.
    Failed,
    /// It answered, and that is neither.
    Nothing,
    /// It might have, later.
    CutShort,
}

/// A change of state, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Transition {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
}

#[derive(Debug)]
enum State {
    /// Attempts are made and judged.
    Closed(Window),
    /// None is made.
    Open { until: Instant },
    /// A few are made.
    HalfOpen { probing: u32, succeeded: u32 },
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            Self::Closed(_) => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen { .. } => "half_open",
        }
    }
}

/// Closed, open, half open.
#[derive(Debug)]
pub(super) struct Circuit {
    rules: Rules,
    state: State,
    epoch: Epoch,
}

impl Circuit {
    /// Closed, as nothing has happened yet.
    pub(super) fn new(rules: Rules, now: Instant) -> Self {
        Self {
            state: State::Closed(Window::new(rules.window, now)),
            rules,
            epoch: Epoch(0),
        }
    }

    /// How long no attempt would be admitted, if none would be.
    pub(super) fn refuses(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Open { until } if now < until => Some(until - now),
            State::HalfOpen { probing, .. } if probing >= self.rules.probes.get() => Some(WHILE_PROBING),
            State::Closed(_) | State::Open { .. } | State::HalfOpen { .. } => None,
        }
    }

    /// Admits an attempt, or says how long none will be.
    pub(super) fn admit(&mut self, now: Instant) -> (Result<Epoch, Duration>, Option<Transition>) {
        if let Some(left) = self.refuses(now) {
            return (Err(left), None);
        }
        let transition = matches!(self.state, State::Open { .. }).then(|| {
            self.change_to(State::HalfOpen {
                probing: 0,
                succeeded: 0,
            })
        });
        if let State::HalfOpen { probing, .. } = &mut self.state {
            *probing += 1;
        }
        (Ok(self.epoch), transition)
    }

    /// An attempt admitted in `epoch` ended `now`. Were that to open the circuit, it would be for `jitter` times its time.
    pub(super) fn end(
        &mut self,
        epoch: Epoch,
        now: Instant,
        took: Duration,
        verdict: Verdict,
        jitter: f64,
    ) -> Option<Transition> {
        if epoch != self.epoch {
            return None;
        }
        let slow = self.rules.slow_call.is_some_and(|slow_call| took >= slow_call);
        if verdict == Verdict::CutShort && !slow {
            self.give_back(epoch);
            return None;
        }
        match &mut self.state {
            State::Closed(window) => {
                let counts = window.record(
                    now,
                    Counts {
                        calls: 1,
                        failed: (verdict == Verdict::Failed).into(),
                        slow: slow.into(),
                    },
                );
                self.is_too_much(counts).then(|| self.open(now, jitter))
            }
            State::Open { .. } => None,
            // Slow is as bad as failed here: closed, it would open again for slowness alone.
            State::HalfOpen { .. } if slow || verdict == Verdict::Failed => Some(self.open(now, jitter)),
            State::HalfOpen { probing, succeeded } => {
                *probing -= 1;
                *succeeded += u32::from(verdict == Verdict::Succeeded);
                (*succeeded >= self.rules.probes.get())
                    .then(|| self.change_to(State::Closed(Window::new(self.rules.window, now))))
            }
        }
    }

    /// An attempt admitted in `epoch` was given up, and says nothing of the upstream.
    pub(super) fn give_back(&mut self, epoch: Epoch) {
        if let State::HalfOpen { probing, .. } = &mut self.state
            && epoch == self.epoch
        {
            *probing -= 1;
        }
    }

    fn is_too_much(&self, counts: Counts) -> bool {
        let reaches = |part: u64, share: Ratio| {
            u128::from(part) * 1_000_000 >= u128::from(counts.calls) * u128::from(share.millionths())
        };
        counts.calls >= u64::from(self.rules.min_calls.get())
            && (reaches(counts.failed, self.rules.failure_rate)
                || self.rules.slow_call.is_some() && reaches(counts.slow, self.rules.slow_rate))
    }

    fn open(&mut self, now: Instant, jitter: f64) -> Transition {
        let until = now + self.rules.open_for.mul_f64(jitter);
        self.change_to(State::Open { until })
    }

    fn change_to(&mut self, state: State) -> Transition {
        let transition = Transition {
            from: self.state.name(),
            to: state.name(),
        };
        self.epoch.0 += 1;
        self.state = state;
        transition
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};

    use super::{Circuit, Duration, Epoch, Instant, Ratio, Rules, State, Transition, Verdict};

    const SECOND: Duration = Duration::from_secs(1);

    /// A circuit and its clock; open for exactly as long as the rules say.
    struct Story {
        circuit: Circuit,
        now: Instant,
    }

    impl Story {
        fn begin(change: impl FnOnce(&mut Rules)) -> Self {
            let mut rules = Rules {
                window: 30 * SECOND,
                min_calls: 4.try_into().expect("not 0"),
                failure_rate: Ratio::from_millionths(500_000),
                slow_call: Some(SECOND),
                slow_rate: Ratio::from_millionths(750_000),
                open_for: 10 * SECOND,
                probes: 2.try_into().expect("not 0"),
            };
            change(&mut rules);
            let now = Instant::now();
            Self {
                circuit: Circuit::new(rules, now),
                now,
            }
        }

        fn admit(&mut self) -> Result<Epoch, Duration> {
            self.circuit.admit(self.now).0
        }

        fn end(&mut self, epoch: Epoch, took: Duration, failed: bool) -> Option<Transition> {
            let verdict = if failed {
                Verdict::Failed
            } else {
                Verdict::Succeeded
            };
            self.circuit.end(epoch, self.now, took, verdict, 1.0)
        }

        fn attempts(&mut self, number: usize, took: Duration, failed: bool) {
            for _ in 0..number {
                let epoch = self.admit().expect("admitted");
                self.end(epoch, took, failed);
            }
        }

        fn succeed(&mut self, number: usize) {
            self.attempts(number, Duration::ZERO, false);
        }

        fn fail(&mut self, number: usize) {
            self.attempts(number, Duration::ZERO, true);
        }

        fn state(&self) -> &'static str {
            self.circuit.state.name()
        }

        fn half_open(&mut self) {
            self.fail(4);
            self.now += 10 * SECOND;
        }
    }

    #[test]
    fn it_opens_at_the_failure_rate_once_enough_attempts_count() {
        let mut story = Story::begin(|_| {});
        story.fail(3);
        assert_eq!(story.state(), "closed", "three are too few to judge");
        story.fail(1);
        assert_eq!(story.state(), "open");
        assert_eq!(story.admit(), Err(10 * SECOND));
        let mut story = Story::begin(|_| {});
        story.succeed(5);
        story.fail(4);
        assert_eq!(story.state(), "closed", "four of nine are less than half");
        story.fail(1);
        assert_eq!(story.state(), "open", "five of ten are half");
    }

    #[test]
    fn failures_are_forgotten_after_the_window() {
        let mut story = Story::begin(|_| {});
        story.fail(3);
        story.now += 30 * SECOND;
        story.fail(3);
        assert_eq!(story.state(), "closed");
    }

    #[test]
    fn it_opens_for_slowness_if_there_is_a_slow_rule() {
        let mut story = Story::begin(|_| {});
        story.succeed(1);
        story.attempts(2, SECOND, false);
        assert_eq!(story.state(), "closed");
        story.attempts(1, SECOND, false);
        assert_eq!(story.state(), "open", "three of four are slow");
        let mut story = Story::begin(|rules| rules.slow_call = None);
        story.attempts(100, 3_600 * SECOND, false);
        assert_eq!(story.state(), "closed");
    }

    #[test]
    fn it_says_how_long_it_stays_open() {
        let mut story = Story::begin(|_| {});
        story.fail(4);
        story.now += 3 * SECOND;
        assert_eq!(story.admit(), Err(7 * SECOND));
        story.now += 7 * SECOND - Duration::from_millis(1);
        assert_eq!(story.admit(), Err(Duration::from_millis(1)));
        story.now += Duration::from_millis(1);
        assert!(story.admit().is_ok());
    }

    #[test]
    fn the_open_time_is_jittered_by_whoever_ends_the_attempt() {
        for (jitter, seconds) in [(0.9, 9), (1.1, 11)] {
            let mut story = Story::begin(|_| {});
            story.fail(3);
            let epoch = story.admit().expect("closed");
            story
                .circuit
                .end(epoch, story.now, Duration::ZERO, Verdict::Failed, jitter);
            assert_eq!(story.admit(), Err(SECOND * seconds));
        }
    }

    #[test]
    fn half_open_it_admits_so_many_at_a_time_and_closes_when_that_many_succeeded() {
        let mut story = Story::begin(|_| {});
        story.half_open();
        let (first, second) = (story.admit().expect("a probe"), story.admit().expect("another"));
        assert_eq!(story.admit(), Err(SECOND), "two at a time");
        story.end(first, Duration::ZERO, false);
        assert_eq!(story.state(), "half_open", "one is not enough");
        assert!(story.admit().is_ok(), "one has ended");
        story.end(second, Duration::ZERO, false);
        assert_eq!(story.state(), "closed");
        story.fail(3);
        assert_eq!(story.state(), "closed", "the window is a new one");
    }

    #[test]
    fn a_failed_or_slow_probe_opens_it_again_at_once() {
        for (took, failed) in [(Duration::ZERO, true), (SECOND, false)] {
            let mut story = Story::begin(|_| {});
            story.half_open();
            story.succeed(1);
            story.attempts(1, took, failed);
            assert_eq!(story.state(), "open");
            assert_eq!(story.admit(), Err(10 * SECOND));
        }
    }

    #[test]
    fn an_attempt_that_says_nothing_is_counted_and_neither_opens_nor_closes_it() {
        let mut story = Story::begin(|_| {});
        let say_nothing = |story: &mut Story| {
            let epoch = story.admit().expect("admitted");
            let (now, nothing) = (story.now, Verdict::Nothing);
            story.circuit.end(epoch, now, Duration::ZERO, nothing, 1.0)
        };
        for _ in 0..100 {
            assert_eq!(say_nothing(&mut story), None);
        }
        story.fail(99);
        assert_eq!(story.state(), "closed", "not half of all that were made");
        story.fail(1);
        assert_eq!(story.state(), "open");
        story.now += 10 * SECOND;
        for _ in 0..100 {
            say_nothing(&mut story);
            assert_eq!(story.state(), "half_open");
        }
        story.succeed(2);
        assert_eq!(story.state(), "closed");
    }

    #[test]
    fn an_attempt_that_was_cut_short_counts_only_if_it_was_slow_already() {
        let mut story = Story::begin(|_| {});
        let cut_short = |story: &mut Story, took| {
            let epoch = story.admit().expect("admitted");
            let (now, cut_short) = (story.now, Verdict::CutShort);
            story.circuit.end(epoch, now, took, cut_short, 1.0)
        };
        for _ in 0..100 {
            assert_eq!(cut_short(&mut story, SECOND / 2), None);
        }
        story.fail(3);
        assert_eq!(story.state(), "closed");
        story.fail(1);
        assert_eq!(story.state(), "open", "four of four");
        story.now += 10 * SECOND;
        for _ in 0..100 {
            assert_eq!(cut_short(&mut story, SECOND / 2), None);
        }
        cut_short(&mut story, SECOND);
        assert_eq!(story.state(), "open", "a slow probe");
    }

    #[test]
    fn a_probe_that_is_given_back_is_as_if_it_had_not_been() {
        let mut story = Story::begin(|_| {});
        story.half_open();
        for _ in 0..100 {
            let epoch = story.admit().expect("a probe");
            story.circuit.give_back(epoch);
        }
        story.succeed(2);
        assert_eq!(story.state(), "closed");
    }

    #[test]
    fn attempts_of_an_earlier_epoch_count_for_nothing() {
        let mut story = Story::begin(|_| {});
        let early: Vec<_> = (0..10).map(|_| story.admit().expect("closed")).collect();
        story.half_open();
        let probe = story.admit().expect("a probe");
        for epoch in early.iter().take(5) {
            assert_eq!(story.end(*epoch, Duration::ZERO, true), None);
            story.circuit.give_back(*epoch);
        }
        for epoch in early.iter().skip(5) {
            assert_eq!(story.end(*epoch, Duration::ZERO, false), None);
        }
        assert_eq!(story.state(), "half_open");
        story.end(probe, Duration::ZERO, false);
        story.succeed(1);
        assert_eq!(story.state(), "closed");
    }

    #[derive(Debug, Clone)]
    enum Step {
        Admit,
        /// One of those that are under way.
        End {
            which: usize,
            failed: bool,
            slow: bool,
        },
        GiveBack {
            which: usize,
        },
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Admit),
            3 => (any::<usize>(), any::<bool>(), any::<bool>())
                .prop_map(|(which, failed, slow)| Step::End { which, failed, slow }),
            1 => any::<usize>().prop_map(|which| Step::GiveBack { which }),
            1 => (0..15_000_u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever happens and when: closed, everybody is admitted; open, nobody, until it is time; half open, two at a
        /// time, and those who leave without a word make room; and from anywhere, successes close it in the end.
        #[test]
        fn any_story_keeps_the_rules(steps in proptest::collection::vec(step(), 0..300), slow_rule: bool) {
            let mut story = Story::begin(|rules| rules.slow_call = rules.slow_call.filter(|_| slow_rule));
            let mut under_way = Vec::new();
            let mut since_closed = 0;
            for step in steps {
                let before = story.state();
                match step {
                    Step::Wait(milliseconds) => story.now += Duration::from_millis(milliseconds),
                    Step::Admit => {
                        let probing = under_way.iter().filter(|epoch| **epoch == story.circuit.epoch).count();
                        let may_be = match story.circuit.state {
                            State::Closed(_) => true,
                            State::Open { until } => story.now >= until,
                            State::HalfOpen { .. } => probing < 2,
                        };
                        let refused = story.circuit.refuses(story.now);
                        let admitted = story.admit();
                        assert_eq!(admitted.is_ok(), may_be);
                        assert_eq!(admitted.err(), refused);
                        assert!(refused.is_none_or(|left| left > Duration::ZERO && left <= 10 * SECOND));
                        under_way.extend(admitted.ok());
                    }
                    Step::End { which, failed, slow } if !under_way.is_empty() => {
                        let epoch = under_way.swap_remove(which % under_way.len());
                        let is_current = epoch == story.circuit.epoch;
                        story.end(epoch, if slow { SECOND } else { Duration::ZERO }, failed);
                        if is_current && before == "closed" {
                            since_closed += 1;
                        }
                        let is_bad = failed || slow && slow_rule;
                        match (before, story.state()) {
                            _ if !is_current => assert_eq!(before, story.state()),
                            ("closed", "open") => assert!(since_closed >= 4),
                            ("closed", "closed") | ("half_open", "half_open" | "closed") => {
                                assert!(before == "closed" || !is_bad);
                            }
                            ("half_open", "open") => assert!(is_bad),
                            other => panic!("{other:?}"),
                        }
                    }
                    Step::GiveBack { which } if !under_way.is_empty() => {
                        let epoch = under_way.swap_remove(which % under_way.len());
                        story.circuit.give_back(epoch);
                        assert_eq!(before, story.state());
                    }
                    Step::End { .. } | Step::GiveBack { .. } => {}
                }
                if story.state() != "closed" {
                    since_closed = 0;
                }
                if let State::HalfOpen { probing, .. } = story.circuit.state {
                    let current = under_way.iter().filter(|epoch| **epoch == story.circuit.epoch).count();
                    assert_eq!(probing as usize, current);
                }
            }
            // Recovery: whoever is still under way leaves, time passes, and two successes are enough.
            for epoch in under_way {
                story.circuit.give_back(epoch);
            }
            story.now += 10 * SECOND;
            if story.state() != "closed" {
                story.succeed(2);
            }
            assert_eq!(story.state(), "closed");
        }
    }
}
