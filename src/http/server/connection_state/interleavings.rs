//! The deadline of an HTTP/2 connection, whose streams change its state while the connection's task reads it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shuttle::thread::spawn;
use tokio::time::Instant;

use super::{ConnectionState, Timeouts};
use crate::lifecycle::Drain;
use crate::sync::scheduled::explore;

const INTERLEAVINGS: usize = 5_000;
const READS: usize = 3;
const TIMEOUTS: Timeouts = Timeouts {
    head: Duration::from_secs(3600),
    idle: Duration::from_secs(3600),
};

/// Returns the state of a connection that was opened some time ago.
fn open() -> ConnectionState {
    let state = ConnectionState::new();
    state.set_http2();
    while state.age() < 1_000 {
        std::hint::spin_loop();
    }
    state
}

#[test]
fn a_shutdown_waits_until_a_response_has_been_sent() {
    explore(INTERLEAVINGS, || {
        let (state, is_sent) = (open(), Arc::new(AtomicBool::new(false)));
        let drain = Drain::new(Duration::ZERO);
        drain.begin_closing();
        let request = state.begin_request();
        let stream = spawn({
            let is_sent = Arc::clone(&is_sent);
            move || {
                let response = request.response_ready();
                is_sent.store(true, Ordering::Relaxed);
                drop(response);
            }
        });
        for _ in 0..READS {
            if state.deadline(TIMEOUTS, &drain).is_some() {
                assert!(is_sent.load(Ordering::Relaxed));
            }
        }
        stream.join().expect("no panic");
        assert!(state.deadline(TIMEOUTS, &drain).is_some());
    });
}

#[test]
fn the_idle_time_begins_at_the_end_of_the_last_request() {
    explore(INTERLEAVINGS, || {
        let state = open();
        let drain = Drain::new(Duration::ZERO);
        let requests = [state.begin_request(), state.begin_request()];
        let ending = Instant::now();
        let streams = requests.map(|request| spawn(move || drop(request)));
        for _ in 0..READS {
            if let Some((at, _)) = state.deadline(TIMEOUTS, &drain) {
                assert!(at >= ending + TIMEOUTS.idle);
            }
        }
        for stream in streams {
            stream.join().expect("no panic");
        }
    });
}

#[test]
fn the_closing_time_begins_at_the_end_of_the_last_response() {
    explore(INTERLEAVINGS, || {
        let state = open();
        let drain = Drain::new(Duration::ZERO);
        let response = state.begin_request().response_ready();
        drain.begin_closing();
        let ending = Instant::now();
        let stream = spawn(move || drop(response));
        for _ in 0..READS {
            if let Some((at, _)) = state.deadline(TIMEOUTS, &drain) {
                assert!(at >= ending);
            }
        }
        stream.join().expect("no panic");
    });
}
