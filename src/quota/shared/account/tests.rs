use std::time::Duration;

use tokio::time::Instant;

use super::{Account, Ask, Grant, Limits, Peers};

const LIMITS: Limits = Limits {
    period: Duration::from_millis(10),
    burst: 200,
};

const PEERS: Peers = Peers {
    replicas: 1,
    may_lease_ahead: true,
    timeout: Duration::from_millis(20),
};

/// An account for which `waiting` requests wait.
fn account(waiting: u32, now: Instant) -> Account {
    let mut account = Account::new(LIMITS, now);
    account.waiting = waiting;
    account
}

fn start(account: &mut Account, now: Instant) -> Ask {
    account.start_call();
    account.ask(LIMITS, PEERS, now)
}

fn granted(ask: Ask) -> Option<Grant> {
    Some(Grant {
        granted: Some(ask.take),
        level: 100.0,
        server_time: 1,
    })
}

#[test]
fn a_call_asks_for_none_that_a_lease_covers_already() {
    let now = Instant::now();
    let mut account = account(40, now);
    let first = start(&mut account, now);
    account.complete(LIMITS, first, now, granted(first));
    // Another request arrives before those that the call has notified continue.
    account.waiting += 1;
    assert_eq!(start(&mut account, now).take, 1);
}

#[test]
fn calls_in_flight_ask_for_the_same_debt_once() {
    let now = Instant::now();
    let mut account = account(1, now);
    for _ in 0..5 {
        account.spend_share(LIMITS, PEERS, true, now);
    }
    let first = start(&mut account, now);
    assert_eq!((first.need, first.debt), (1, 5));
    account.waiting += 1;
    let second = start(&mut account, now);
    assert_eq!((second.need, second.debt), (1, 0));
    account.complete(LIMITS, first, now, None);
    account.waiting += 1;
    assert_eq!(start(&mut account, now).debt, 5, "the first call has failed");
}
