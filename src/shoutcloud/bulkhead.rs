//! The bulkhead: limits concurrent calls, and how many more may queue for one to end.
//!
//! Permits and queue capacity are shared fairly between clients (`fair_queue`), so that one client whose calls are
//! slow does not keep all others from calling. The lock is held while counting, never during a call.

mod fair_queue;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use self::fair_queue::{FairQueue, Full, Ticket};
use super::Error;
use crate::telemetry::metrics::{GaugeGuard, UpstreamMetrics};

/// Limits for calls in flight and in the queue.
pub(super) struct Bulkhead {
    queue: Arc<SharedQueue>,
    metrics: Arc<UpstreamMetrics>,
}

/// Permission to make a call, released on drop.
pub(super) struct Permit {
    // Dropped in this order: the gauge never exceeds the limit.
    _counted: GaugeGuard,
    _bare: BarePermit,
}

impl Bulkhead {
    pub(super) fn new(max_concurrency: u32, max_queue: u32, metrics: Arc<UpstreamMetrics>) -> Self {
        let queue = FairQueue::new(max_concurrency as usize, max_queue as usize);
        Self {
            queue: Arc::new(SharedQueue(Mutex::new(queue))),
            metrics,
        }
    }

    /// Waits in the queue for a permit until `deadline`. Fails at once if the queue is full, and while waiting if it is
    /// full and this client has the most calls.
    pub(super) async fn acquire(&self, client: &Arc<str>, deadline: Instant) -> Result<Permit, Error> {
        let permit = match self.queue.enter(client)? {
            Entered::InFlight(permit) => {
                self.metrics.record_not_queued();
                permit
            }
            Entered::Queued(waiting) => {
                let _queued = self.metrics.start_queueing();
                waiting.permit(deadline).await?
            }
        };
        Ok(Permit {
            _counted: GaugeGuard::increment(&self.metrics.in_flight),
            _bare: permit,
        })
    }
}

/// Hands a waiting call its permit. Dropped unused if the call is displaced from the queue.
type Waker = oneshot::Sender<BarePermit>;

struct SharedQueue(Mutex<FairQueue<Waker>>);

enum Entered {
    InFlight(BarePermit),
    Queued(Waiting),
}

impl SharedQueue {
    fn enter(self: &Arc<Self>, client: &Arc<str>) -> Result<Entered, Error> {
        let mut queue = self.lock();
        if queue.try_start(client) {
            drop(queue);
            return Ok(Entered::InFlight(self.permit(Arc::clone(client))));
        }
        let (waker, permit) = oneshot::channel();
        let entered = queue.push(client, waker);
        drop(queue);
        let (ticket, displaced) = entered.map_err(|Full| Error::Overloaded)?;
        // Wakes the displaced call.
        drop(displaced);
        Ok(Entered::Queued(Waiting {
            permit,
            entry: QueueEntry {
                queue: Arc::clone(self),
                client: Arc::clone(client),
                ticket,
            },
        }))
    }

    fn permit(self: &Arc<Self>, client: Arc<str>) -> BarePermit {
        BarePermit(Some((Arc::clone(self), client)))
    }

    /// Releases a permit of `client` and hands free permits to waiting calls.
    fn release(self: &Arc<Self>, client: &Arc<str>) {
        let mut queue = self.lock();
        queue.finish(client);
        while let Some((client, waker)) = queue.start_next() {
            // Fails if the call was cancelled and has not left the queue yet.
            if let Err(permit) = waker.send(self.permit(Arc::clone(&client))) {
                permit.forget();
                queue.finish(&client);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, FairQueue<Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A permit, not counted by the gauge yet. Released on drop, also by a call that is cancelled while the permit is on its
/// way to it.
struct BarePermit(Option<(Arc<SharedQueue>, Arc<str>)>);

impl BarePermit {
    /// Drops the permit without releasing it.
    fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for BarePermit {
    fn drop(&mut self) {
        if let Some((queue, client)) = self.0.take() {
            queue.release(&client);
        }
    }
}

/// A call in the queue.
struct Waiting {
    // Dropped in this order: a permit that is handed over after the receiver's end is given to the next call.
    permit: oneshot::Receiver<BarePermit>,
    entry: QueueEntry,
}

impl Waiting {
    async fn permit(self, deadline: Instant) -> Result<BarePermit, Error> {
        let Self { permit, entry } = self;
        let permit = timeout_at(deadline, permit).await;
        drop(entry);
        match permit {
            Ok(Ok(permit)) => Ok(permit),
            // The deadline, or displaced.
            Err(_) | Ok(Err(_)) => Err(Error::Overloaded),
        }
    }
}

/// A waiting call's entry in the queue, removed on drop.
struct QueueEntry {
    queue: Arc<SharedQueue>,
    client: Arc<str>,
    ticket: Ticket,
}

impl Drop for QueueEntry {
    fn drop(&mut self) {
        // Dropped outside the lock.
        let _waker = self.queue.lock().remove(&self.client, self.ticket);
    }
}

#[cfg(test)]
mod tests;
