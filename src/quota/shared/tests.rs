//! Requests that wait for calls whose ends the test decides.

use std::sync::Arc;
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

struct Calls(mpsc::Sender<Call>);

#[async_trait::async_trait]
impl Store for Calls {
    async fn update(&self, _key: &str, _limits: Limits, ask: Ask) -> Option<Grant> {
        let (end, ended) = oneshot::channel();
        _ = self.0.send(Call { ask, end }).await;
        ended.await.ok().flatten()
    }

    fn is_up(&self) -> bool {
        true
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
    let (sender, calls) = mpsc::channel(2_000);
    let config = RateLimit {
        replenish_one: Duration::from_millis(10),
        burst: 200.try_into().expect("above zero"),
    };
    let quotas = SharedQuotas::with_store(&config, Box::new(Calls(sender)));
    (Arc::new(quotas), calls)
}

fn take(quotas: &Arc<SharedQuotas>, client: &str) -> JoinHandle<Decision> {
    let quotas = Arc::clone(quotas);
    let principal = Principal {
        client_id: client.into(),
        subject: None,
    };
    tokio::spawn(async move { quotas.take(&principal).await })
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
    assert!((1..=64).contains(&in_flight.len()), "{}", in_flight.len());
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
