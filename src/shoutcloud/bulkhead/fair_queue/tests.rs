use std::sync::Arc;

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};

use super::{FairQueue, Full, Ticket};

fn client(number: usize) -> Arc<str> {
    format!("client {number}").into()
}

#[test]
fn clients_that_wait_are_served_in_turn() {
    let [alice, bob, carol] = [0, 1, 2].map(client);
    let mut queue = FairQueue::new(1, 10);
    assert!(queue.try_start(&alice));
    for call in ["alice 1", "alice 2", "alice 3"] {
        queue.push(&alice, call).expect("queue capacity");
    }
    for call in ["bob 1", "bob 2"] {
        queue.push(&bob, call).expect("queue capacity");
    }
    queue.push(&carol, "carol 1").expect("queue capacity");
    let mut running = alice;
    let mut served = Vec::new();
    loop {
        queue.finish(&running);
        let Some((name, call)) = queue.start_next() else {
            break;
        };
        served.push(call);
        running = name;
    }
    assert_eq!(
        served,
        ["alice 1", "bob 1", "carol 1", "alice 2", "bob 2", "alice 3"]
    );
}

#[test]
fn a_client_that_comes_back_each_time_does_not_overtake_one_that_waits() {
    let mut queue = FairQueue::new(1, 10);
    let alice = client(0);
    assert!(queue.try_start(&client(1)));
    queue.push(&client(2), 2).expect("queue capacity");
    queue.push(&alice, 0).expect("queue capacity");
    queue.push(&client(3), 3).expect("queue capacity");
    // Clients 1 to 3 call again as soon as they were served.
    let mut running = client(1);
    for served in 0.. {
        let number = running.chars().last().and_then(|digit| digit.to_digit(10));
        queue
            .push(&running, number.expect("a digit"))
            .expect("queue capacity");
        queue.finish(&running);
        let (name, _) = queue.start_next().expect("calls wait");
        if name == alice {
            break;
        }
        assert!(served < 3, "one call of each other client at most");
        running = name;
    }
}

#[test]
fn a_full_queue_displaces_the_latest_call_of_the_client_with_the_most() {
    let [alice, bob] = [0, 1].map(client);
    let mut queue = FairQueue::new(1, 3);
    assert!(queue.try_start(&alice));
    for call in 1..=3 {
        queue.push(&alice, call).expect("queue capacity");
    }
    assert_eq!(queue.push(&alice, 4), Err(Full), "no client displaces its own");
    let displaced = queue.push(&bob, 5).map(|(_, displaced)| displaced);
    assert_eq!(displaced, Ok(Some(3)));
    let displaced = queue.push(&bob, 6).map(|(_, displaced)| displaced);
    assert_eq!(displaced, Ok(Some(2)));
    assert_eq!(queue.push(&bob, 7), Err(Full), "each has two calls");
}

#[test]
fn without_queue_capacity_no_call_waits() {
    let mut queue = FairQueue::new(1, 0);
    assert!(queue.try_start(&client(0)));
    assert_eq!(queue.push(&client(0), ()), Err(Full));
    assert_eq!(queue.push(&client(1), ()), Err(Full));
}

#[derive(Debug, Clone)]
enum Step {
    Arrive(usize),
    Finish(usize),
    /// A waiting call is cancelled.
    Leave(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        // One client sends half of the calls.
        4 => Just(Step::Arrive(0)),
        4 => (1..5_usize).prop_map(Step::Arrive),
        5 => any::<usize>().prop_map(Step::Finish),
        1 => any::<usize>().prop_map(Step::Leave),
    ]
}

/// The calls, as a list that is searched.
#[derive(Default)]
struct Model {
    in_flight: Vec<Arc<str>>,
    waiting: Vec<Waiting>,
}

struct Waiting {
    ticket: Ticket,
    client: Arc<str>,
    call: u64,
}

impl Model {
    fn in_flight(&self, client: &Arc<str>) -> usize {
        self.in_flight.iter().filter(|name| *name == client).count()
    }

    fn calls(&self, client: &Arc<str>) -> usize {
        let waiting = self.waiting.iter().filter(|waiting| waiting.client == *client);
        self.in_flight(client) + waiting.count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_sequences_follow_the_rules(
        permits in 1..8_usize,
        capacity in 0..8_usize,
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        let mut queue: FairQueue<u64> = FairQueue::new(permits, capacity);
        let mut model = Model::default();
        let mut next_call = 0;
        for step in steps {
            match step {
                Step::Arrive(number) => {
                    let client = client(number);
                    next_call += 1;
                    if queue.try_start(&client) {
                        assert!(model.waiting.is_empty(), "a call overtakes one that waits");
                        model.in_flight.push(client);
                        continue;
                    }
                    assert_eq!(model.in_flight.len(), permits, "a permit is free");
                    let most = model.waiting.iter().map(|waiting| model.calls(&waiting.client)).max();
                    let may_displace = most.is_some_and(|most| most > model.calls(&client) + 1);
                    match queue.push(&client, next_call) {
                        Ok((ticket, displaced)) => {
                            assert_eq!(displaced.is_some(), model.waiting.len() == capacity);
                            if let Some(call) = displaced {
                                assert!(may_displace);
                                let at = model.waiting.iter().position(|waiting| waiting.call == call);
                                let displaced = model.waiting.remove(at.expect("it waited"));
                                assert_eq!(Some(model.calls(&displaced.client) + 1), most);
                                let mut of_client =
                                    model.waiting.iter().filter(|waiting| waiting.client == displaced.client);
                                assert!(of_client.all(|waiting| waiting.call < call), "the latest");
                            }
                            model.waiting.push(Waiting { ticket, client, call: next_call });
                        }
                        Err(Full) => assert!(model.waiting.len() == capacity && !may_displace),
                    }
                }
                Step::Finish(which) if !model.in_flight.is_empty() => {
                    let client = model.in_flight.swap_remove(which % model.in_flight.len());
                    queue.finish(&client);
                    let Some((next, call)) = queue.start_next() else {
                        assert!(model.waiting.is_empty(), "a call waits while a permit is free");
                        continue;
                    };
                    let fewest = model.waiting.iter().map(|waiting| model.in_flight(&waiting.client)).min();
                    assert_eq!(Some(model.in_flight(&next)), fewest);
                    let others_wait = model.waiting.iter().any(|waiting| waiting.client != next);
                    let first = model.waiting.iter().position(|waiting| waiting.client == next);
                    let started = model.waiting.remove(first.expect("it waited"));
                    assert_eq!(started.call, call, "a client's calls are served in their order");
                    model.in_flight.push(Arc::clone(&next));
                    assert!(!others_wait || model.in_flight(&next) <= permits.div_ceil(2), "more than half");
                }
                Step::Leave(which) if !model.waiting.is_empty() => {
                    let Waiting { ticket, client, .. } = model.waiting.remove(which % model.waiting.len());
                    assert!(queue.remove(&client, ticket).is_some());
                    assert!(queue.remove(&client, ticket).is_none(), "it has left");
                }
                Step::Finish(_) | Step::Leave(_) => {}
            }
        }
        for client in &model.in_flight {
            queue.finish(client);
        }
        for waiting in &model.waiting {
            assert!(queue.remove(&waiting.client, waiting.ticket).is_some());
        }
        assert_eq!((queue.permits, queue.capacity), (permits, capacity));
        assert!(queue.clients.is_empty());
    }
}
