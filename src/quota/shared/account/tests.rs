use std::time::Duration;

use tokio::time::Instant;

use super::{Account, Ask, CallEnd, Grant, Limits, Peers};

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

#[test]
fn a_debt_remains_while_a_call_that_asks_for_it_hangs_and_another_succeeds() {
    let now = Instant::now();
    let mut account = account(1, now);
    let peers = Peers { replicas: 3, ..PEERS };
    let spend = |account: &mut Account| {
        account
            .spend_share(LIMITS, peers, true, now)
            .retry_after
            .is_none()
    };
    while spend(&mut account) {}
    let hanging = start(&mut account, now);
    assert_eq!(hanging.debt, 66);
    account.waiting += 1;
    let other = start(&mut account, now);
    let end = account.complete(LIMITS, other, now, granted(other));
    assert_eq!((end, other.debt), (CallEnd::Granted, 0));
    assert!(spend(&mut account), "by what is left in the bucket");
    account.complete(LIMITS, hanging, now, None);
    account.waiting = 1;
    assert_eq!(start(&mut account, now).debt, 66, "one more, and one is paid");
}

#[test]
fn a_full_bucket_forgives_what_it_would_have_gained() {
    let now = Instant::now();
    let at = |milliseconds| now + Duration::from_millis(milliseconds);
    let mut account = account(0, now);
    account.bucket.tokens = 100.0;
    for _ in 0..30 {
        account.spend_share(LIMITS, PEERS, true, now);
    }
    // It is full after a second.
    for (time, debt) in [(1_000, 30), (1_105, 20), (1_110, 19), (2_000, 0)] {
        account.debt.forgive(account.bucket, LIMITS, PEERS, at(time));
        assert_eq!(account.debt.tokens, debt, "at {time} ms");
    }
    account.spend_share(LIMITS, PEERS, true, at(3_000));
    assert_eq!(account.debt.tokens, 1);
}
