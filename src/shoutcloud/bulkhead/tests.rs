use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::{ProptestConfig, Strategy, proptest};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::{Arc, Bulkhead, Entered, Error, Permit, Waiting};
use crate::telemetry::metrics::Metrics;

const SECOND: Duration = Duration::from_secs(1);

fn bulkhead(max_concurrency: u32, max_queue: u32) -> Arc<Bulkhead> {
    let metrics = Metrics::new(&[]).upstream("api.shoutcloud.io", 80, &[]);
    Bulkhead::new(max_concurrency, max_queue, metrics.into()).into()
}

fn client(name: &str) -> Arc<str> {
    name.into()
}

fn deadline() -> Instant {
    Instant::now() + 5 * SECOND
}

/// Polls a call that is to stay in the queue, or to leave it.
fn poll<F: Future>(call: Pin<&mut F>) -> Poll<F::Output> {
    call.poll(&mut Context::from_waker(Waker::noop()))
}

/// Makes `number` calls of `client` that each take `duration`; returns when each was served, or `None` if it was not.
fn calls(
    bulkhead: &Arc<Bulkhead>,
    client: &Arc<str>,
    number: usize,
    duration: Duration,
) -> JoinSet<Option<Instant>> {
    let calls = (0..number).map(|_| {
        let (bulkhead, client) = (Arc::clone(bulkhead), Arc::clone(client));
        async move {
            let permit = bulkhead
                .acquire(&client, Instant::now() + 60 * SECOND)
                .await
                .ok()?;
            let served = Instant::now();
            sleep(duration).await;
            drop(permit);
            Some(served)
        }
    });
    calls.collect()
}

#[tokio::test(start_paused = true)]
async fn one_call_is_in_flight_one_queued_and_the_third_rejected_at_once() {
    let bulkhead = bulkhead(1, 1);
    let client = client("alice");
    let first = bulkhead
        .acquire(&client, deadline())
        .await
        .expect("a free permit");
    let started = Instant::now();
    let (second, third) = tokio::join!(
        async {
            let acquired = bulkhead.acquire(&client, deadline()).await;
            (acquired.is_ok(), started.elapsed())
        },
        async {
            let rejected = bulkhead.acquire(&client, deadline()).await;
            assert_eq!(rejected.err(), Some(Error::Overloaded));
            let rejected_after = started.elapsed();
            sleep(SECOND).await;
            drop(first);
            rejected_after
        }
    );
    assert_eq!(second, (true, SECOND));
    assert_eq!(third, Duration::ZERO);
    assert!(
        bulkhead.acquire(&client, deadline()).await.is_ok(),
        "all permits were released"
    );
}

#[tokio::test(start_paused = true)]
async fn timeout_and_cancellation_in_the_queue_release_its_capacity() {
    let bulkhead = bulkhead(1, 1);
    let client = client("alice");
    let _first = bulkhead
        .acquire(&client, deadline())
        .await
        .expect("a free permit");
    for _ in 0..3 {
        let started = Instant::now();
        let timed_out = bulkhead.acquire(&client, deadline()).await;
        assert_eq!(timed_out.err(), Some(Error::Overloaded));
        assert_eq!(started.elapsed(), 5 * SECOND, "waited until the deadline");
        let cancelled = timeout(SECOND, bulkhead.acquire(&client, deadline()));
        assert!(cancelled.await.is_err());
    }
}

#[tokio::test]
async fn without_a_queue_no_call_waits() {
    let bulkhead = bulkhead(2, 0);
    let client = client("alice");
    let _two = (
        bulkhead.acquire(&client, deadline()).await,
        bulkhead.acquire(&client, deadline()).await,
    );
    let rejected = bulkhead.acquire(&client, deadline()).await;
    assert_eq!(rejected.err(), Some(Error::Overloaded));
}

#[tokio::test(start_paused = true)]
async fn a_client_alone_uses_every_permit() {
    let bulkhead = bulkhead(4, 4);
    let started = Instant::now();
    let served = calls(&bulkhead, &client("alice"), 8, SECOND).join_all().await;
    let served_after = |seconds| {
        let instant = Some(started + SECOND * seconds);
        served.iter().filter(|served| **served == instant).count()
    };
    assert_eq!((served_after(0), served_after(1)), (4, 4));
}

#[tokio::test(start_paused = true)]
async fn slow_calls_of_one_client_do_not_keep_another_waiting() {
    let bulkhead = bulkhead(4, 64);
    let started = Instant::now();
    let alice = calls(&bulkhead, &client("alice"), 64, 2 * SECOND);
    sleep(SECOND).await;
    let bob = calls(&bulkhead, &client("bob"), 10, Duration::from_millis(20));
    // Two permits are Bob's as soon as Alice's first calls end, so ten calls take five times 20 ms.
    let last = bob.join_all().await.into_iter().max().expect("ten calls");
    assert_eq!(last, Some(started + Duration::from_millis(2_080)));
    let alice = alice.join_all().await;
    let displaced = alice.iter().filter(|served| served.is_none()).count();
    assert_eq!(displaced, 6, "60 waited, and ten more were too many by six");
    // Alice's calls had the other half in the meantime, and every permit after that.
    let last = alice.into_iter().flatten().max().expect("Alice's calls");
    assert!(
        last - started <= Duration::from_millis(28_100),
        "{:?}",
        last - started
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_displaces_a_call_for_another_client() {
    let bulkhead = bulkhead(1, 2);
    let (alice, bob) = (client("alice"), client("bob"));
    let running = bulkhead.acquire(&alice, deadline()).await.expect("a free permit");
    let mut first = pin!(bulkhead.acquire(&alice, deadline()));
    let mut second = pin!(bulkhead.acquire(&alice, deadline()));
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    let mut other = pin!(bulkhead.acquire(&bob, deadline()));
    assert!(poll(other.as_mut()).is_pending());
    assert_eq!(second.await.err(), Some(Error::Overloaded), "displaced at once");
    drop(running);
    assert!(first.await.is_ok(), "the oldest");
    assert!(other.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_permit_on_its_way_to_a_call_that_is_cancelled_goes_to_the_next() {
    let bulkhead = bulkhead(1, 2);
    let client = client("alice");
    let running = bulkhead
        .acquire(&client, deadline())
        .await
        .expect("a free permit");
    let mut next: Pin<Box<_>> = Box::pin(bulkhead.acquire(&client, deadline()));
    let mut last = pin!(bulkhead.acquire(&client, deadline()));
    assert!(poll(next.as_mut()).is_pending() && poll(last.as_mut()).is_pending());
    drop(running);
    drop(next);
    let Poll::Ready(Ok(permit)) = poll(last.as_mut()) else {
        panic!("the permit is lost");
    };
    drop(permit);
    assert!(bulkhead.acquire(&client, deadline()).await.is_ok());
}

#[tokio::test]
async fn a_call_that_is_leaving_the_queue_gets_no_permit() {
    let bulkhead = bulkhead(1, 2);
    let client = client("alice");
    let running = bulkhead
        .acquire(&client, deadline())
        .await
        .expect("a free permit");
    let Ok(Entered::Queued(Waiting { permit, entry })) = bulkhead.queue.enter(&client) else {
        panic!("a permit is free");
    };
    // On another thread, the permit may be released between the two drops.
    drop(permit);
    drop(running);
    drop(entry);
    assert!(bulkhead.acquire(&client, Instant::now()).await.is_ok());
}

#[derive(Debug, Clone)]
struct Call {
    client: usize,
    starts_at: u64,
    takes: u64,
    /// The caller leaves after this time.
    cancelled_after: Option<u64>,
    deadline: u64,
}

fn call() -> impl Strategy<Value = Call> {
    let cancelled_after = proptest::option::weighted(0.2, 0..400_u64);
    (0..4_usize, 0..1_000_u64, 0..300_u64, cancelled_after, 1..600_u64).prop_map(
        |(client, starts_at, takes, cancelled_after, deadline)| Call {
            client,
            starts_at,
            takes,
            cancelled_after,
            deadline,
        },
    )
}

/// Makes the call; returns when it stopped to wait, in milliseconds after its start.
async fn make(bulkhead: Arc<Bulkhead>, call: Call) {
    sleep(Duration::from_millis(call.starts_at)).await;
    let started = Instant::now();
    let client = client(&call.client.to_string());
    let deadline = Duration::from_millis(call.deadline);
    let work = async {
        let acquired: Result<Permit, Error> = bulkhead.acquire(&client, started + deadline).await;
        assert!(started.elapsed() <= deadline, "waited beyond the deadline");
        if let Ok(permit) = acquired {
            sleep(Duration::from_millis(call.takes)).await;
            drop(permit);
        }
    };
    match call.cancelled_after {
        Some(milliseconds) => _ = timeout(Duration::from_millis(milliseconds), work).await,
        None => work.await,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_permit_and_all_queue_capacity_comes_back(
        max_concurrency in 1..5_u32,
        max_queue in 0..5_u32,
        plan in proptest::collection::vec(call(), 0..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let metrics = Metrics::new(&[]);
            let upstream = metrics.upstream("api.shoutcloud.io", 80, &[]);
            let bulkhead = Arc::new(Bulkhead::new(max_concurrency, max_queue, upstream.into()));
            let calls: JoinSet<()> = plan.into_iter().map(|call| make(Arc::clone(&bulkhead), call)).collect();
            calls.join_all().await;
            let text = metrics.render();
            for gauge in ["shoutback_upstream_in_flight 0", "shoutback_upstream_queued 0"] {
                assert!(text.lines().any(|line| line == gauge), "{gauge}");
            }
            let client = client("alice");
            let mut permits = Vec::new();
            for _ in 0..max_concurrency {
                permits.push(bulkhead.acquire(&client, Instant::now()).await.expect("a free permit"));
            }
            let waiting: JoinSet<_> = (0..max_queue)
                .map(|_| {
                    let (bulkhead, client) = (Arc::clone(&bulkhead), Arc::clone(&client));
                    async move { bulkhead.acquire(&client, deadline()).await.is_ok() }
                })
                .collect();
            tokio::task::yield_now().await;
            drop(permits);
            assert!(waiting.join_all().await.into_iter().all(|acquired| acquired), "the whole queue is free");
        });
    }
}
