//! A queue that shares permits fairly between clients. Pure: it neither waits nor wakes.
//!
//! The max-min rule: a free permit goes to the waiting client with the fewest calls in flight, and of several to the one
//! that was served longest ago. So a client alone gets every permit, and a client that gets one while others wait has at
//! most half of them, rounded up. Each client's calls are served in their order.
//!
//! A full queue is shared by the same rule: a call of a client with fewer calls, in flight and waiting, displaces the
//! latest waiting call of the client with the most.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The number of a waiting call, in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// The queue is full, and no other client has more calls.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Calls in flight and waiting calls, which are represented by values of type `W`.
#[derive(Debug)]
pub(super) struct FairQueue<W> {
    /// Permits that are not in use. There are none while a call waits.
    permits: usize,
    /// How many more calls may wait.
    capacity: usize,
    /// Clients with calls. The configuration lists the clients, so there are few: searching them costs little.
    clients: HashMap<Arc<str>, Client<W>>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Client<W> {
    in_flight: usize,
    waiting: BTreeMap<Ticket, W>,
    /// When the client was served last or, if later, when it began to wait.
    turn: Ticket,
}

impl<W> Client<W> {
    fn calls(&self) -> usize {
        self.in_flight + self.waiting.len()
    }
}

impl<W> FairQueue<W> {
    /// Creates a queue of `capacity` waiting calls for `permits`.
    pub(super) fn new(permits: usize, capacity: usize) -> Self {
        Self {
            permits,
            capacity,
            clients: HashMap::new(),
            next_ticket: 0,
        }
    }

    /// Starts a call if a permit is free.
    pub(super) fn try_start(&mut self, client: &Arc<str>) -> bool {
        if self.permits == 0 {
            return false;
        }
        self.permits -= 1;
        self.client(client).in_flight += 1;
        true
    }

    /// Queues a call; there must be no free permit. Returns its ticket, and the waiting call that it displaces if the
    /// queue is full.
    pub(super) fn push(&mut self, client: &Arc<str>, call: W) -> Result<(Ticket, Option<W>), Full> {
        let displaced = if self.capacity == 0 {
            Some(self.displace_for(client)?)
        } else {
            self.capacity -= 1;
            None
        };
        let ticket = self.ticket();
        let client = self.client(client);
        if client.waiting.is_empty() {
            client.turn = ticket;
        }
        client.waiting.insert(ticket, call);
        Ok((ticket, displaced))
    }

    /// Removes a waiting call. Returns `None` if it was started or displaced.
    pub(super) fn remove(&mut self, client: &Arc<str>, ticket: Ticket) -> Option<W> {
        let call = self.clients.get_mut(client)?.waiting.remove(&ticket)?;
        self.capacity += 1;
        self.forget_if_idle(client);
        Some(call)
    }

    /// Ends a call in flight of `client`.
    pub(super) fn finish(&mut self, client: &Arc<str>) {
        if let Some(entry) = self.clients.get_mut(client) {
            entry.in_flight -= 1;
            self.permits += 1;
            self.forget_if_idle(client);
        }
    }

    /// Starts the next waiting call if a permit is free.
    pub(super) fn start_next(&mut self) -> Option<(Arc<str>, W)> {
        if self.permits == 0 {
            return None;
        }
        let turn = self.ticket();
        let waiting = self
            .clients
            .iter_mut()
            .filter(|(_, client)| !client.waiting.is_empty());
        let (name, client) = waiting.min_by_key(|(_, client)| (client.in_flight, client.turn))?;
        let (_, call) = client.waiting.pop_first()?;
        client.in_flight += 1;
        client.turn = turn;
        self.permits -= 1;
        self.capacity += 1;
        Some((Arc::clone(name), call))
    }

    /// Removes the latest waiting call of the client with the most calls, if `client` has fewer with the new one.
    fn displace_for(&mut self, client: &Arc<str>) -> Result<W, Full> {
        let calls = self.clients.get(client).map_or(0, Client::calls);
        let waiting = self
            .clients
            .values_mut()
            .filter(|other| !other.waiting.is_empty());
        let most = waiting
            .max_by_key(|other| (other.calls(), Reverse(other.turn)))
            .ok_or(Full)?;
        if most.calls() <= calls + 1 {
            return Err(Full);
        }
        most.waiting.pop_last().map(|(_, call)| call).ok_or(Full)
    }

    fn client(&mut self, name: &Arc<str>) -> &mut Client<W> {
        let turn = Ticket(self.next_ticket);
        self.clients.entry(Arc::clone(name)).or_insert_with(|| Client {
            in_flight: 0,
            waiting: BTreeMap::new(),
            turn,
        })
    }

    fn forget_if_idle(&mut self, client: &Arc<str>) {
        if self.clients.get(client).is_some_and(|entry| entry.calls() == 0) {
            self.clients.remove(client);
        }
    }

    fn ticket(&mut self) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        ticket
    }
}

#[cfg(test)]
mod tests;
