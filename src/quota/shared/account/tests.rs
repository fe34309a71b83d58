use std::time::Duration;

use tokio::time::Instant;

use super::{Account, Ask, CallEnd, Grant, Level, Limits, Peers};

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

fn later(now: Instant, milliseconds: u64) -> Instant {
    now + Duration::from_millis(milliseconds)
}

/// An account whose client has sent a request each 5 ms for the last second: more than may be leased.
fn busy_account(now: Instant) -> Account {
    let start = now
        .checked_sub(Duration::from_secs(1))
        .expect("a clock that runs");
    let mut account = account(0, start);
    for request in 0..200 {
        account.count(later(start, 5 * request));
    }
    account
}

fn level(tokens: f64, at: Instant) -> Level {
    Level { tokens, at }
}

/// A call that was granted `granted` tokens and left `level` in the bucket.
fn end(account: &mut Account, ask: Ask, sent: Instant, granted: u32, level: f64) -> CallEnd {
    let grant = Grant {
        granted: Some(granted),
        level,
        server_time: 1,
    };
    account.complete(LIMITS, ask, sent, Some(grant))
}

#[test]
fn a_request_of_the_lease_reports_what_is_left_of_the_quota() {
    let now = Instant::now();
    let mut account = account(3, now);
    let ask = start(&mut account, now);
    account.complete(LIMITS, ask, now, granted(ask));
    let decision = account.spend(LIMITS, now).expect("a lease");
    assert_eq!((decision.retry_after, decision.remaining), (None, 102));
    assert_eq!(decision.reset_after, Duration::from_millis(980));
    assert!(account.spend(LIMITS, later(now, 4_999)).is_some());
    assert!(
        account.spend(LIMITS, later(now, 5_000)).is_none(),
        "the lease is void"
    );
}

#[test]
fn requests_are_rejected_until_an_empty_bucket_has_a_token() {
    let now = Instant::now();
    let mut account = account(1, now);
    let ask = start(&mut account, now);
    assert_eq!(end(&mut account, ask, now, 0, 0.25), CallEnd::Empty);
    assert_eq!(
        account.reject(LIMITS, now).retry_after,
        Some(Duration::from_micros(7_500))
    );
    let decision = account.spend(LIMITS, later(now, 7)).expect("it is empty");
    assert_eq!(decision.retry_after, Some(Duration::from_micros(500)));
    assert!(
        account
            .spend(LIMITS, now + Duration::from_micros(7_500))
            .is_none()
    );
    assert!(account.spend(LIMITS, later(now, 8)).is_none());
}

#[test]
fn a_bucket_is_empty_only_if_it_lacks_a_token_and_granted_less_than_asked() {
    let now = Instant::now();
    for (granted, left, is_empty) in [(2, 0.5, false), (1, 1.0, false), (1, 0.99, true), (0, 0.5, true)] {
        let mut account = account(2, now);
        let ask = start(&mut account, now);
        end(&mut account, ask, now, granted, left);
        for _ in 0..granted {
            assert!(
                account
                    .spend(LIMITS, now)
                    .is_some_and(|it| it.retry_after.is_none())
            );
        }
        assert_eq!(
            account.spend(LIMITS, now).is_some(),
            is_empty,
            "{granted} granted, {left} left"
        );
    }
}

#[test]
fn a_share_starts_with_its_part_of_what_the_bucket_holds_without_the_debt() {
    let now = Instant::now();
    let peers = Peers { replicas: 2, ..PEERS };
    let mut account = account(0, now);
    for left in (90..100).rev() {
        assert_eq!(account.spend_share(LIMITS, peers, true, now).remaining, left);
    }
    account.start_call();
    let hanging = account.ask(LIMITS, peers, now);
    assert_eq!(hanging.debt, 10);
    account.waiting = 1;
    account.start_call();
    let other = account.ask(LIMITS, peers, now);
    end(&mut account, other, now, 0, 100.0);
    assert_eq!(
        account.spend_share(LIMITS, peers, true, now).remaining,
        44,
        "(100 - 10) / 2 - 1"
    );
}

#[test]
fn a_share_without_a_token_rejects_until_it_has_one() {
    let now = Instant::now();
    let limits = Limits { burst: 1, ..LIMITS };
    let peers = Peers { replicas: 2, ..PEERS };
    let mut account = Account::new(limits, now);
    let decision = account.spend_share(limits, peers, true, now);
    assert_eq!(
        decision.retry_after,
        Some(Duration::from_millis(10)),
        "half a token, one per 20 ms"
    );
    let decision = account.spend_share(limits, peers, true, later(now, 10));
    assert_eq!(decision.retry_after, None);
}

#[test]
fn the_next_part_is_leased_when_half_of_the_last_is_spent() {
    let now = Instant::now();
    for (replicas, leased, leases) in [(1, 10, true), (1, 11, false), (2, 5, true), (2, 6, false)] {
        let mut account = busy_account(now);
        account.leased = leased;
        let peers = Peers { replicas, ..PEERS };
        assert_eq!(
            account.needs_lease(LIMITS, peers, now),
            leases,
            "{leased} leased, {replicas} replicas"
        );
    }
}

#[test]
fn no_part_is_leased_ahead_while_a_call_is_in_flight_or_the_bucket_empty() {
    let now = Instant::now();
    let mut account = busy_account(now);
    account.start_call();
    assert!(!account.needs_lease(LIMITS, PEERS, now));
    let ask = account.ask(LIMITS, PEERS, now);
    end(&mut account, ask, now, 0, 0.0);
    assert!(!account.needs_lease(LIMITS, PEERS, later(now, 9)));
    assert!(account.needs_lease(LIMITS, PEERS, later(now, 10)));
    assert!(account.needs_lease(LIMITS, PEERS, later(now, 11)));
    let unknown = Peers {
        may_lease_ahead: false,
        ..PEERS
    };
    assert!(!account.needs_lease(LIMITS, unknown, later(now, 11)));
}

#[test]
fn a_client_of_at_least_a_request_per_second_has_a_lease() {
    let start = Instant::now();
    for (period, leases) in [(500, true), (2_000, false)] {
        let mut account = account(0, start);
        for request in 1..=10 {
            account.count(later(start, period * request));
        }
        let now = later(start, period * 10);
        assert_eq!(
            account.needs_lease(LIMITS, PEERS, now),
            leases,
            "a request each {period} ms"
        );
    }
}

#[test]
fn a_call_starts_for_those_that_no_other_asks_for_up_to_eight_at_once() {
    let now = Instant::now();
    let mut account = account(1, now);
    assert!(account.needs_call());
    for calls in 1..=8 {
        start(&mut account, now);
        assert!(!account.needs_call(), "a call covers all that wait");
        account.waiting += 1;
        assert_eq!(account.needs_call(), calls < 8);
    }
}

#[test]
fn one_call_at_a_time_asks_ahead() {
    let now = Instant::now();
    let mut account = busy_account(now);
    let first = start(&mut account, now);
    let second = start(&mut account, now);
    assert_eq!((first.ahead, second.ahead), (20, 0));
    account.complete(LIMITS, second, now, None);
    let third = start(&mut account, now);
    assert_eq!(third.ahead, 0, "the first is in flight");
    account.complete(LIMITS, first, now, None);
    assert_eq!(start(&mut account, now).ahead, 20);
}

#[test]
fn nothing_is_expected_of_a_call_that_has_ended() {
    let now = Instant::now();
    let mut account = account(2, now);
    let ask = start(&mut account, now);
    account.waiting = 0;
    assert!(account.expects_more());
    account.complete(LIMITS, ask, now, None);
    assert!(!account.expects_more());
}

#[test]
fn the_bucket_is_what_the_call_saw_that_was_sent_last() {
    let now = Instant::now();
    let mut account = account(1, now);
    let first = start(&mut account, now);
    account.waiting += 1;
    let sent = later(now, 10);
    let second = start(&mut account, sent);
    end(&mut account, second, sent, 1, 50.0);
    end(&mut account, first, now, 1, 80.0);
    assert_eq!(account.bucket.tokens, 50.0);
    let third = start(&mut account, sent);
    end(&mut account, third, sent, 0, 40.0);
    assert_eq!(
        account.bucket.tokens, 40.0,
        "sent together: the one that ended last"
    );
}

#[test]
fn a_lease_that_was_idle_for_a_second_is_returned() {
    let now = Instant::now();
    let mut account = account(0, now);
    account.leased = 15;
    account.lease_ends = later(now, 5_000);
    account.bucket = level(100.0, now);
    let surplus =
        |account: &mut Account, milliseconds| account.surplus(LIMITS, PEERS, false, later(now, milliseconds));
    assert_eq!(surplus(&mut account, 0), None);
    // A call for those that wait changes nothing about that.
    account.calls = 1;
    end(&mut account, Ask::default(), now, 0, 100.0);
    assert_eq!(surplus(&mut account, 999), None);
    let ask = surplus(&mut account, 1_000).expect("a call");
    assert_eq!((ask.give, ask.take, account.leased, account.calls), (15, 0, 0, 1));
    assert_eq!(account.bucket.tokens, 115.0);
    assert_eq!(
        ask.ceiling, 200.0,
        "115, 102 gained by the end of the call, 20 leased by others"
    );
}

#[test]
fn no_lease_is_idle_while_a_call_is_in_flight_or_since_one_asked_ahead() {
    let now = Instant::now();
    let mut account = account(0, now);
    account.leased = 15;
    account.lease_ends = later(now, 9_000);
    account.calls = 1;
    for milliseconds in [0, 1_000, 2_000] {
        let ask = account.surplus(LIMITS, PEERS, false, later(now, milliseconds));
        assert_eq!(ask, None, "at {milliseconds} ms");
    }
    account.calls = 0;
    assert_eq!(account.surplus(LIMITS, PEERS, false, later(now, 2_500)), None);
    account.calls = 1;
    let ahead = Ask {
        take: 1,
        ahead: 1,
        ..Ask::default()
    };
    end(&mut account, ahead, now, 0, 100.0);
    assert_eq!(account.surplus(LIMITS, PEERS, false, later(now, 3_500)), None);
    let ask = account
        .surplus(LIMITS, PEERS, false, later(now, 4_500))
        .expect("a call");
    assert_eq!(ask.give, 15);
}

#[test]
fn tokens_beyond_the_part_and_those_that_wait_are_returned_at_once() {
    let now = Instant::now();
    let mut account = account(4, now);
    account.leased = 25;
    account.lease_ends = later(now, 5_000);
    account.bucket = level(50.0, now);
    account.server_time = Some((1_000_000, now));
    let ask = account.excess(LIMITS, PEERS, later(now, 30)).expect("a call");
    let expected = Ask {
        give: 1,
        // 51, 5 gained by the end of the call, 20 leased by others.
        ceiling: 76.0,
        deadline: 1_050_000,
        ..Ask::default()
    };
    assert_eq!((ask, account.leased, account.calls), (expected, 24, 1));
    assert_eq!(account.excess(LIMITS, PEERS, now), None);
}

#[test]
fn a_lease_that_is_void_is_not_returned() {
    let now = Instant::now();
    let mut account = account(0, now);
    account.leased = 15;
    account.lease_ends = now;
    assert_eq!(account.surplus(LIMITS, PEERS, true, now), None);
}

#[test]
fn after_an_outage_the_bucket_holds_at_most_what_all_shares_do() {
    let now = Instant::now();
    let peers = Peers { replicas: 4, ..PEERS };
    let mut account = account(0, now);
    account.bucket = level(50.0, now);
    account.spend_share(LIMITS, peers, false, now);
    assert_eq!(
        start_with(&mut account, peers, now).ceiling,
        46.0,
        "4 × (50 / 4 - 1)"
    );
    assert_eq!(start_with(&mut account, peers, later(now, 40)).ceiling, 50.0);
    let full = later(now, 3_600_000);
    assert_eq!(start_with(&mut account, peers, full).ceiling, 200.0);
    // A share holds at most its part of the burst, and gains a quarter of the rate.
    for left in (40..50).rev() {
        assert_eq!(account.spend_share(LIMITS, peers, false, full).remaining, left);
    }
}

#[test]
fn while_valkey_is_up_the_ceiling_is_the_bucket_and_what_others_may_have_leased() {
    let now = Instant::now();
    let mut account = account(0, now);
    account.bucket = level(100.0, now);
    let ask = start(&mut account, now);
    assert_eq!(
        (ask.ceiling, ask.deadline),
        (122.0, 0),
        "100, 2 gained by the end of the call, 20 leased"
    );
    account.spend_share(LIMITS, PEERS, true, now);
    assert_eq!(
        start(&mut account, now).ceiling,
        122.0,
        "only one call has failed"
    );
}

#[test]
fn an_account_is_idle_when_its_bucket_is_full_and_nothing_in_flight() {
    let now = Instant::now();
    let idle = account(0, now);
    assert!(!idle.is_idle(LIMITS, later(now, 9_999)), "a lease may live");
    assert!(idle.is_idle(LIMITS, later(now, 10_000)));
    let slow = Limits {
        period: Duration::from_millis(100),
        burst: 200,
    };
    assert!(!idle.is_idle(slow, later(now, 19_999)), "the bucket is not full");
    assert!(idle.is_idle(slow, later(now, 20_000)));
    let changes: [fn(&mut Account); 3] = [
        |account| account.leased = 1,
        |account| account.calls = 1,
        |account| account.waiting = 1,
    ];
    for change in changes {
        let mut account = account(0, now);
        change(&mut account);
        assert!(!account.is_idle(LIMITS, later(now, 60_000)));
    }
}

fn start_with(account: &mut Account, peers: Peers, now: Instant) -> Ask {
    account.start_call();
    account.ask(LIMITS, peers, now)
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

#[test]
fn a_debt_is_forgiven_from_when_it_was_incurred() {
    let now = Instant::now();
    let mut account = account(0, now);
    account.spend_share(LIMITS, PEERS, true, later(now, 1_005));
    account
        .debt
        .forgive(account.bucket, LIMITS, PEERS, later(now, 1_014));
    assert_eq!(account.debt.tokens, 1);
    account
        .debt
        .forgive(account.bucket, LIMITS, PEERS, later(now, 1_015));
    assert_eq!(account.debt.tokens, 0);
}
