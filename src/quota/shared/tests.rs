//! Requests that wait for calls whose ends the test decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::advance;

use super::SharedQuotas;
use super::bucket::{Ask, Grant, Limits, Peers};
use super::store::Store;
use crate::auth::Principal;
use crate::config::RateLimit;
use crate::quota::Decision;

struct Call {
    ask: Ask,
    end: oneshot::Sender<Option<Grant>>,
}

impl Call {
    /// Ends the call with what it asks for.
    fn grant(self) {
        let grant = Grant {
            granted: Some(self.ask.take),
            level: 100.0,
            server_time: 1,
        };
        _ = self.end.send(Some(grant));
    }

    fn fail(self) {
        _ = self.end.send(None);
    }
}

struct Calls {
    sender: mpsc::Sender<Call>,
    is_up: Arc<AtomicBool>,
}

#[async_trait::async_trait]
impl Store for Calls {
    async fn update(&self, _key: &str, _limits: Limits, ask: Ask) -> Option<Grant> {
        let (end, ended) = oneshot::channel();
        _ = self.sender.send(Call { ask, end }).await;
        ended.await.ok().flatten()
    }

    fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    fn peers(&self) -> Peers {
        Peers {
            replicas: 1,
            may_lease_ahead: true,
            timeout: Duration::from_millis(20),
        }
    }

    async fn leave(&self) {}
}

fn quotas() -> (Arc<SharedQuotas>, mpsc::Receiver<Call>) {
    quotas_while(&Arc::new(AtomicBool::new(true)))
}

fn quotas_while(is_up: &Arc<AtomicBool>) -> (Arc<SharedQuotas>, mpsc::Receiver<Call>) {
    let (sender, calls) = mpsc::channel(2_000);
    let store = Calls {
        sender,
        is_up: Arc::clone(is_up),
    };
    let config = RateLimit {
        replenish_one: Duration::from_millis(10),
        burst: 200.try_into().expect("above zero"),
    };
    let quotas = SharedQuotas::with_store(&config, Box::new(store));
    (Arc::new(quotas), calls)
}

fn take(quotas: &Arc<SharedQuotas>, client: &str) -> JoinHandle<Decision> {
    let (quotas, principal) = (Arc::clone(quotas), client_principal(client));
    tokio::spawn(async move { quotas.take(&principal).await })
}

fn client_principal(client: &str) -> Principal {
    Principal {
        client_id: client.into(),
        subject: None,
    }
}

/// Lets every task continue as far as it can without the clock.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_decides_no_request_that_another_call_brings_a_token_for() {
    let (quotas, mut calls) = quotas();
    let mut requests = Vec::new();
    let mut in_flight = Vec::new();
    for _ in 0..2 {
        requests.push(take(&quotas, "app"));
        in_flight.push(calls.recv().await.expect("a call"));
    }
    in_flight.remove(0).fail();
    settle().await;
    assert_eq!(requests.iter().filter(|request| request.is_finished()).count(), 1);
    // It pays for the request that the share has decided, so that the other needs one more.
    in_flight.remove(0).grant();
    calls.recv().await.expect("a call").grant();
    settle().await;
    for request in requests {
        assert!(request.is_finished());
        assert!(request.await.expect("no panic").retry_after.is_none());
    }
    assert!(calls.try_recv().is_err(), "no further call");
}

#[tokio::test(start_paused = true)]
async fn tokens_for_requests_that_were_cancelled_are_returned_at_once() {
    let (quotas, mut calls) = quotas();
    let requests: Vec<_> = (0..100).map(|_| take(&quotas, "app")).collect();
    let call = calls.recv().await.expect("a call");
    assert_eq!(call.ask.take, 100);
    for request in requests {
        request.abort();
    }
    settle().await;
    call.grant();
    settle().await;
    let returned = calls.try_recv().expect("a call");
    assert_eq!(returned.ask.give, 80, "a tenth of the burst may be leased");
}

#[tokio::test(start_paused = true)]
async fn leases_are_returned_by_a_few_calls_at_a_time() {
    const CLIENTS: u32 = 1_500;
    let (quotas, mut calls) = quotas();
    // The second request leases ahead of need.
    for _ in 0..2 {
        for client in 0..CLIENTS {
            let request = take(&quotas, &client.to_string());
            calls.recv().await.expect("a call").grant();
            request.await.expect("no panic");
        }
        advance(Duration::from_millis(200)).await;
    }
    let released = tokio::spawn({
        let quotas = Arc::clone(&quotas);
        async move { quotas.release().await }
    });
    settle().await;
    let mut in_flight: Vec<_> = std::iter::from_fn(|| calls.try_recv().ok()).collect();
    assert_eq!(in_flight.len(), 64);
    let mut returned = 0;
    while let Some(call) = in_flight.pop() {
        returned += call.ask.give;
        call.grant();
        settle().await;
        in_flight.extend(calls.try_recv());
    }
    assert!(released.is_finished());
    assert!(returned >= CLIENTS, "{returned}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_is_awaited_until_the_time_limit() {
    let (quotas, mut calls) = quotas();
    let request = take(&quotas, "app");
    let hanging = calls.recv().await.expect("a call");
    advance(Duration::from_millis(19)).await;
    settle().await;
    assert!(!request.is_finished());
    advance(Duration::from_millis(1)).await;
    settle().await;
    assert!(request.is_finished());
    assert_eq!(request.await.expect("no panic").remaining, 199, "of the share");
    hanging.fail();
}

#[tokio::test(start_paused = true)]
async fn no_request_waits_while_valkey_is_down() {
    let is_up = Arc::new(AtomicBool::new(false));
    let (quotas, mut calls) = quotas_while(&is_up);
    let first = take(&quotas, "app").await.expect("no panic");
    assert_eq!((first.retry_after, first.remaining), (None, 199));
    assert!(calls.try_recv().is_err());
    is_up.store(true, Ordering::Relaxed);
    let second = take(&quotas, "app");
    calls.recv().await.expect("a call").grant();
    second.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn a_request_over_the_quota_is_rejected_by_the_call_that_brings_no_token() {
    let (quotas, mut calls) = quotas();
    let request = take(&quotas, "app");
    let call = calls.recv().await.expect("a call");
    let empty = Grant {
        granted: Some(0),
        level: 0.0,
        server_time: 1,
    };
    _ = call.end.send(Some(empty));
    let decision = request.await.expect("no panic");
    assert_eq!(
        (decision.retry_after, decision.remaining),
        (Some(Duration::from_millis(10)), 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_call_fails_is_decided_by_the_share_at_once() {
    let (quotas, mut calls) = quotas();
    let request = take(&quotas, "app");
    calls.recv().await.expect("a call").fail();
    settle().await;
    assert!(request.is_finished());
    let decision = request.await.expect("no panic");
    assert_eq!((decision.retry_after, decision.remaining), (None, 199));
    assert!(calls.try_recv().is_err(), "no further call");
}

#[tokio::test(start_paused = true)]
async fn upkeep_returns_idle_leases_and_evicts_idle_accounts() {
    let (quotas, mut calls) = quotas();
    for _ in 0..2 {
        let request = take(&quotas, "app");
        settle().await;
        calls.try_recv().expect("a call").grant();
        request.await.expect("no panic");
        advance(Duration::from_millis(200)).await;
    }
    // An account with a call in flight stays, and so does one in use by a request.
    let waits = take(&quotas, "waits");
    let hanging = calls.recv().await.expect("a call");
    let held = quotas.entry(&client_principal("held"));
    let upkeep = tokio::spawn({
        let quotas = Arc::clone(&quotas);
        async move { quotas.upkeep().await }
    });
    let mut returned = 0;
    for _ in 0..30 {
        advance(Duration::from_millis(500)).await;
        settle().await;
        while let Ok(call) = calls.try_recv() {
            assert_eq!(call.ask.take, 0);
            returned += call.ask.give;
            call.grant();
            settle().await;
        }
    }
    assert!(returned > 0);
    let mut left: Vec<_> = quotas
        .0
        .accounts
        .iter()
        .map(|entry| entry.key().client_id.to_string())
        .collect();
    left.sort();
    assert_eq!(left, ["held", "waits"]);
    drop((held, hanging));
    waits.await.expect("no panic");
    upkeep.abort();
}

#[test]
fn each_principal_has_a_bucket_of_its_own_whose_key_contains_no_name() {
    let principal = |client: &str, subject: Option<&str>| Principal {
        client_id: client.into(),
        subject: subject.map(Into::into),
    };
    let principals = [
        principal("app", None),
        principal("app", Some("")),
        principal("app", Some("ann")),
        principal("appann", None),
        principal("ap", Some("pann")),
    ];
    let keys: std::collections::HashSet<_> = principals.iter().map(super::key).collect();
    assert_eq!(keys.len(), principals.len());
    for key in keys {
        let digest = key
            .strip_prefix("shoutback:quota:{")
            .and_then(|rest| rest.strip_suffix('}'))
            .expect("the form of a key");
        assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
