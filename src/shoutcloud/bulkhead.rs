//! How many calls are under way at once, and how many may wait for one of them to end.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::Error;
use crate::telemetry::metrics::{GaugeGuard, UpstreamMetrics};

/// Calls in flight, and a queue in the order of arrival.
pub(super) struct Bulkhead {
    /// Places in flight and in the queue together.
    places: Semaphore,
    in_flight: Semaphore,
    metrics: Arc<UpstreamMetrics>,
}

/// A call that may be made; its place is free again when this is dropped.
pub(super) struct Place<'a> {
    // Given back in this order: whoever gets the first finds the second free soon, never the other way round.
    _in_flight: SemaphorePermit<'a>,
    _place: SemaphorePermit<'a>,
    _counted: GaugeGuard,
}

impl Bulkhead {
    pub(super) fn new(max_concurrency: u32, max_queue: u32, metrics: Arc<UpstreamMetrics>) -> Self {
        Self {
            places: Semaphore::new(max_concurrency as usize + max_queue as usize),
            in_flight: Semaphore::new(max_concurrency as usize),
            metrics,
        }
    }

    /// Waits for a place, if there is one to wait for, until `deadline`.
    pub(super) async fn enter(&self, deadline: Instant) -> Result<Place<'_>, Error> {
        let place = self.places.try_acquire().map_err(|_| Error::Overloaded)?;
        let queued = GaugeGuard::on(&self.metrics.queued);
        let entered = timeout_at(deadline, self.in_flight.acquire()).await;
        drop(queued);
        match entered {
            Ok(Ok(in_flight)) => Ok(Place {
                _in_flight: in_flight,
                _place: place,
                _counted: GaugeGuard::on(&self.metrics.in_flight),
            }),
            _ => Err(Error::Overloaded),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Bulkhead, Error, UpstreamMetrics};
    use crate::telemetry::metrics::Metrics;

    fn bulkhead(max_concurrency: u32, max_queue: u32) -> Bulkhead {
        let metrics: UpstreamMetrics = Metrics::new(&[], &[], &[]).upstream("api.shoutcloud.io", &[], &[]);
        Bulkhead::new(max_concurrency, max_queue, metrics.into())
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test(start_paused = true)]
    async fn one_in_flight_one_waiting_and_the_third_is_refused_at_once() {
        let bulkhead = bulkhead(1, 1);
        let first = bulkhead.enter(later()).await.expect("there is room");
        let began = Instant::now();
        let (second, third) = tokio::join!(
            async {
                let entered = bulkhead.enter(later()).await;
                (entered.is_ok(), began.elapsed())
            },
            async {
                assert_eq!(bulkhead.enter(later()).await.err(), Some(Error::Overloaded));
                let refused = began.elapsed();
                tokio::time::sleep(Duration::from_secs(1)).await;
                drop(first);
                refused
            }
        );
        assert_eq!(second, (true, Duration::from_secs(1)));
        assert_eq!(third, Duration::ZERO);
        assert!(
            bulkhead.enter(later()).await.is_ok(),
            "all places were given back"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_passes_in_the_queue_or_a_caller_that_leaves_it_frees_the_place() {
        let bulkhead = bulkhead(1, 1);
        let _first = bulkhead.enter(later()).await.expect("there is room");
        for _ in 0..3 {
            let began = Instant::now();
            assert_eq!(bulkhead.enter(later()).await.err(), Some(Error::Overloaded));
            assert_eq!(began.elapsed(), Duration::from_secs(5), "it waited");
            let leaves = tokio::time::timeout(Duration::from_secs(1), bulkhead.enter(later()));
            assert!(leaves.await.is_err());
        }
    }

    #[tokio::test]
    async fn without_a_queue_nobody_waits() {
        let bulkhead = bulkhead(2, 0);
        let _two = (bulkhead.enter(later()).await, bulkhead.enter(later()).await);
        assert_eq!(bulkhead.enter(later()).await.err(), Some(Error::Overloaded));
    }
}
