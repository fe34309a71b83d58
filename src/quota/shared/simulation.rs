//! A simulation of replicas that share quotas, on a paused clock: the real code of the replicas, with a model of the
//! script in Valkey, of the network and of its failures. Everything random comes from a seed.
//!
//! It shows both promises. No more is admitted than 1.1 × (rate × time + burst), in every interval of every run. A client
//! that stays at or below 90 % of its limit gets no 429.

mod model;
mod traffic;

use std::time::Duration;

use self::model::{Fault, Network};
use self::traffic::{Outcome, Run, Spread};

const SPREADS: [Spread; 4] = [Spread::RoundRobin, Spread::Random, Spread::One, Spread::Moving];

/// Rates per second, and bursts.
const LIMITS: [(f64, u32); 5] = [(100.0, 200), (100.0, 20), (10.0, 5), (1.0, 1), (200.0, 800)];

const NETWORKS: [Network; 2] = [
    Network {
        fastest: 0,
        slowest: 1,
    },
    // Just within the time limit.
    Network {
        fastest: 12,
        slowest: 18,
    },
];

fn run(replicas: u32, spread: Spread, (per_second, burst): (f64, u32)) -> Run {
    Run {
        replicas,
        spread,
        per_second,
        burst,
        load: 3.0,
        in_bursts: false,
        cancels: false,
        network: NETWORKS[0],
        fault: Fault::None,
        seconds: 6,
        seed: 1,
    }
}

/// Every run of replicas × spreads × limits × networks, changed by `change`, with its outcome.
fn outcomes(change: impl Fn(Run) -> Run) -> Vec<(Run, Outcome)> {
    let mut outcomes = Vec::new();
    for replicas in [1, 3, 8] {
        for spread in SPREADS {
            for limit in LIMITS {
                for network in NETWORKS {
                    let run = change(Run {
                        network,
                        seed: outcomes.len() as u64,
                        ..run(replicas, spread, limit)
                    });
                    let outcome = traffic::simulate(&run);
                    outcomes.push((run, outcome));
                }
            }
        }
    }
    outcomes
}

/// Every kind of failure, for two seconds of a run or at one moment, on each network.
fn faults() -> impl Iterator<Item = (Fault, Network)> {
    let time = Duration::from_secs(2)..Duration::from_secs(4);
    let clock_jumps = |seconds| Fault::ClockJumps(Duration::from_secs(3), seconds);
    let faults = [
        Fault::Refuses(time.clone()),
        Fault::Hangs(time.clone()),
        Fault::ShardHangs(time.clone()),
        Fault::ExecutesLate(time.clone()),
        Fault::LosesReplies(time.clone()),
        Fault::LosesDataAfter(time),
        clock_jumps(3_600),
        clock_jumps(-3_600),
        clock_jumps(30),
        clock_jumps(-30),
    ];
    faults
        .into_iter()
        .flat_map(|fault| NETWORKS.map(|network| (fault.clone(), network)))
}

#[test]
fn no_interval_admits_more_than_the_limit_however_requests_are_spread() {
    for (run, outcome) in outcomes(|run| run) {
        assert!(outcome.excess <= 0.0, "{:.1} too many: {run:?}", outcome.excess);
    }
}

#[test]
fn requests_that_are_cancelled_leave_nothing_to_exceed_the_limit() {
    for in_bursts in [false, true] {
        for (run, outcome) in outcomes(|run| Run {
            cancels: true,
            in_bursts,
            ..run
        }) {
            assert!(outcome.excess <= 0.0, "{:.1} too many: {run:?}", outcome.excess);
        }
    }
}

#[test]
fn requests_that_are_cancelled_cost_a_client_within_90_percent_of_its_limit_nothing() {
    for in_bursts in [false, true] {
        for (run, outcome) in outcomes(|run| Run {
            load: 0.9,
            cancels: true,
            in_bursts,
            ..run
        }) {
            assert_eq!(outcome.rejected, 0, "of {}: {run:?}", outcome.requests());
        }
    }
}

#[test]
fn a_client_over_its_limit_gets_the_whole_limit() {
    for (run, outcome) in outcomes(|run| run) {
        // A bucket of one token is full, and gains nothing, until the next request.
        if run.burst == 1 {
            continue;
        }
        let limit = run.per_second * run.seconds as f64 + f64::from(run.burst);
        // What is leased at the end is lost for it.
        let rest = f64::from(run.burst) * 0.1 + 1.0;
        // The last requests wait until after the end.
        let late = run.per_second * model::TIMEOUT.as_secs_f64() + 1.0;
        let admitted = outcome.admitted as f64;
        let range = limit * 0.95 - rest..=limit + late;
        assert!(range.contains(&admitted), "{admitted} of {limit:.0}: {run:?}");
    }
}

#[test]
fn a_client_within_90_percent_of_its_limit_gets_no_429() {
    for in_bursts in [false, true] {
        for (run, outcome) in outcomes(|run| Run {
            load: 0.9,
            in_bursts,
            ..run
        }) {
            assert_eq!(outcome.rejected, 0, "of {}: {run:?}", outcome.requests());
        }
    }
}

#[test]
fn failures_admit_no_more_than_the_limit_and_cause_no_burst() {
    for (fault, network) in faults() {
        for replicas in [1, 3, 8] {
            for spread in [Spread::RoundRobin, Spread::Random, Spread::One] {
                for limit in [(100.0, 200), (100.0, 20), (10.0, 5)] {
                    let run = Run {
                        fault: fault.clone(),
                        network,
                        ..run(replicas, spread, limit)
                    };
                    let outcome = traffic::simulate(&run);
                    assert!(outcome.excess <= 0.0, "{:.1} too many: {run:?}", outcome.excess);
                }
            }
        }
    }
}

#[test]
fn failures_cost_a_client_within_90_percent_of_its_limit_nothing_if_its_requests_are_spread() {
    for (fault, network) in faults() {
        for replicas in [1, 3, 8] {
            for spread in [Spread::RoundRobin, Spread::Random] {
                let run = Run {
                    load: 0.9,
                    fault: fault.clone(),
                    network,
                    ..run(replicas, spread, (100.0, 200))
                };
                let outcome = traffic::simulate(&run);
                assert_eq!(outcome.rejected, 0, "of {}: {run:?}", outcome.requests());
            }
        }
    }
}

#[test]
fn a_shard_that_hung_for_long_leaves_no_debt() {
    for network in NETWORKS {
        let run = Run {
            load: 0.9,
            fault: Fault::ShardHangs(Duration::from_secs(2)..Duration::from_secs(30)),
            network,
            seconds: 40,
            ..run(3, Spread::RoundRobin, (100.0, 200))
        };
        let outcome = traffic::simulate(&run);
        assert_eq!(outcome.rejected, 0, "of {}: {run:?}", outcome.requests());
    }
}

#[test]
fn calls_that_a_server_executes_late_take_nothing_from_the_next_burst() {
    for end in [2_300, 3_000, 3_800] {
        for network in NETWORKS {
            let run = Run {
                load: 0.9,
                // A burst comes at the start of the failure, and another at 4 s.
                in_bursts: true,
                fault: Fault::ExecutesLate(Duration::from_secs(2)..Duration::from_millis(end)),
                network,
                ..run(3, Spread::RoundRobin, (100.0, 200))
            };
            let outcome = traffic::simulate(&run);
            assert_eq!(outcome.rejected, 0, "of {}: {run:?}", outcome.requests());
        }
    }
}

#[test]
fn an_outage_leaves_each_replica_its_share() {
    let outage = Fault::Refuses(Duration::from_secs(2)..Duration::from_secs(60));
    for (spread, share) in [(Spread::RoundRobin, 1.0), (Spread::One, 1.0 / 3.0)] {
        let run = Run {
            fault: outage.clone(),
            seconds: 30,
            ..run(3, spread, (100.0, 20))
        };
        let outcome = traffic::simulate(&run);
        let expected = 2.0 * 100.0 + 20.0 + 28.0 * 100.0 * share;
        let admitted = outcome.admitted as f64;
        assert!(
            (expected * 0.95..=expected * 1.05).contains(&admitted),
            "{admitted} of {expected:.0}: {run:?}"
        );
    }
}

#[test]
fn requests_of_a_busy_client_seldom_wait() {
    let run = Run {
        load: 0.9,
        network: Network {
            fastest: 2,
            slowest: 8,
        },
        ..run(3, Spread::RoundRobin, (400.0, 4_000))
    };
    let outcome = traffic::simulate(&run);
    let waited = outcome.waited as f64 / outcome.requests() as f64;
    assert!(waited < 0.05, "{waited}: {run:?}");
    let calls = outcome.calls as f64 / outcome.requests() as f64;
    assert!(calls < 0.15, "{calls}: {run:?}");
}

#[test]
fn requests_of_a_slow_client_seldom_wait() {
    let run = Run {
        load: 0.06,
        network: NETWORKS[1],
        seconds: 20,
        ..run(3, Spread::RoundRobin, (100.0, 200))
    };
    let outcome = traffic::simulate(&run);
    let waited = outcome.waited as f64 / outcome.requests() as f64;
    assert!(waited < 0.1, "{waited}: {run:?}");
}
