//! The bulkhead: limits concurrent calls, and how many more may queue for one to end.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::Error;
use crate::telemetry::metrics::{GaugeGuard, UpstreamMetrics};

/// Limits for calls in flight and for a first-come, first-served queue.
pub(super) struct Bulkhead {
    /// In flight and in the queue together.
    capacity: Semaphore,
    in_flight: Semaphore,
    metrics: Arc<UpstreamMetrics>,
}

/// Permission to make a call, released on drop.
pub(super) struct Permit<'a> {
    // Dropped in this order: a caller that gets the released capacity finds the in-flight permit released, too.
    _in_flight: SemaphorePermit<'a>,
    _capacity: SemaphorePermit<'a>,
    _counted: GaugeGuard,
}

impl Bulkhead {
    pub(super) fn new(max_concurrency: u32, max_queue: u32, metrics: Arc<UpstreamMetrics>) -> Self {
        Self {
            capacity: Semaphore::new(max_concurrency as usize + max_queue as usize),
            in_flight: Semaphore::new(max_concurrency as usize),
            metrics,
        }
    }

    /// Waits in the queue for a permit until `deadline`; fails at once if the queue is full.
    pub(super) async fn acquire(&self, deadline: Instant) -> Result<Permit<'_>, Error> {
        let capacity = self.capacity.try_acquire().map_err(|_| Error::Overloaded)?;
        let queued = self.metrics.start_queueing();
        let acquired = timeout_at(deadline, self.in_flight.acquire()).await;
        drop(queued);
        match acquired {
            Ok(Ok(in_flight)) => Ok(Permit {
                _in_flight: in_flight,
                _capacity: capacity,
                _counted: GaugeGuard::increment(&self.metrics.in_flight),
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
        let metrics: UpstreamMetrics = Metrics::new(&[]).upstream("api.shoutcloud.io", 80, &[]);
        Bulkhead::new(max_concurrency, max_queue, metrics.into())
    }

    fn deadline() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test(start_paused = true)]
    async fn one_call_is_in_flight_one_queued_and_the_third_rejected_at_once() {
        let bulkhead = bulkhead(1, 1);
        let first = bulkhead.acquire(deadline()).await.expect("a free permit");
        let started = Instant::now();
        let (second, third) = tokio::join!(
            async {
                let acquired = bulkhead.acquire(deadline()).await;
                (acquired.is_ok(), started.elapsed())
            },
            async {
                assert_eq!(bulkhead.acquire(deadline()).await.err(), Some(Error::Overloaded));
                let rejected_after = started.elapsed();
                tokio::time::sleep(Duration::from_secs(1)).await;
                drop(first);
                rejected_after
            }
        );
        assert_eq!(second, (true, Duration::from_secs(1)));
        assert_eq!(third, Duration::ZERO);
        assert!(
            bulkhead.acquire(deadline()).await.is_ok(),
            "all permits were released"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn timeout_and_cancellation_in_the_queue_release_the_permit() {
        let bulkhead = bulkhead(1, 1);
        let _first = bulkhead.acquire(deadline()).await.expect("a free permit");
        for _ in 0..3 {
            let started = Instant::now();
            assert_eq!(bulkhead.acquire(deadline()).await.err(), Some(Error::Overloaded));
            assert_eq!(
                started.elapsed(),
                Duration::from_secs(5),
                "waited until the deadline"
            );
            let cancelled = tokio::time::timeout(Duration::from_secs(1), bulkhead.acquire(deadline()));
            assert!(cancelled.await.is_err());
        }
    }

    #[tokio::test]
    async fn without_a_queue_no_call_waits() {
        let bulkhead = bulkhead(2, 0);
        let _two = (
            bulkhead.acquire(deadline()).await,
            bulkhead.acquire(deadline()).await,
        );
        assert_eq!(bulkhead.acquire(deadline()).await.err(), Some(Error::Overloaded));
    }
}
