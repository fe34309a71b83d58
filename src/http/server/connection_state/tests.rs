//! The deadline of a connection in each phase, and when the end of the client's stream ends it.

use std::time::Duration;

use tokio::time::{Instant, advance};

use super::{ConnectionState, End, Timeouts};
use crate::lifecycle::Drain;

const TIMEOUTS: Timeouts = Timeouts {
    head: Duration::from_secs(10),
    idle: Duration::from_secs(60),
};
const CLOSING_TIMEOUT: Duration = Duration::from_secs(3);

/// Returns the seconds until the deadline, and how the connection ends at it.
fn left(state: &ConnectionState) -> Option<(u64, End)> {
    left_in(state, &Drain::new(CLOSING_TIMEOUT))
}

fn left_in(state: &ConnectionState, drain: &Drain) -> Option<(u64, End)> {
    let (deadline, end) = state.deadline(TIMEOUTS, drain)?;
    Some((deadline.duration_since(Instant::now()).as_secs(), end))
}

async fn seconds(seconds: u64) {
    advance(Duration::from_secs(seconds)).await;
}

/// A connection that has served a request, whose response was sent just now.
fn served() -> ConnectionState {
    let state = ConnectionState::new();
    let request = state.begin_request();
    state.nothing_read();
    drop(request.response_ready());
    state
}

#[tokio::test(start_paused = true)]
async fn the_first_head_has_its_time_from_the_start_of_the_connection() {
    let state = ConnectionState::new();
    assert!(!state.had_request());
    seconds(4).await;
    state.bytes_read();
    assert_eq!(left(&state), Some((6, End::Abort)));
}

#[tokio::test(start_paused = true)]
async fn a_request_in_progress_has_no_deadline_here() {
    let state = ConnectionState::new();
    let request = state.begin_request();
    assert!(state.had_request());
    assert_eq!(left(&state), None);
    drop(request);
    assert!(left(&state).is_some());
}

#[tokio::test(start_paused = true)]
async fn the_idle_time_runs_from_the_response_until_the_next_request_begins() {
    seconds(5).await;
    let state = served();
    seconds(20).await;
    assert_eq!(left(&state), Some((40, End::Graceful)));
    state.bytes_read();
    assert_eq!(left(&state), Some((10, End::Abort)));
    seconds(4).await;
    state.bytes_read();
    assert_eq!(left(&state), Some((6, End::Abort)), "more bytes of the same head");
}

#[tokio::test(start_paused = true)]
async fn bytes_on_http_2_begin_no_request_head() {
    let state = served();
    state.set_http2();
    seconds(20).await;
    state.bytes_read();
    assert_eq!(left(&state), Some((40, End::Graceful)));
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_rejected_body_begins_no_request_head() {
    let state = ConnectionState::new();
    let request = state.begin_request();
    state.set_awaits_body(true);
    drop(request.response_ready());
    assert!(state.awaits_body());
    seconds(20).await;
    state.bytes_read();
    assert!(!state.awaits_body());
    assert_eq!(left(&state), Some((60, End::Graceful)));
    state.bytes_read();
    assert_eq!(left(&state), Some((10, End::Abort)));
}

#[tokio::test(start_paused = true)]
async fn a_pipelined_head_has_its_time_from_the_end_of_the_response() {
    let state = ConnectionState::new();
    let request = state.begin_request();
    state.nothing_read();
    assert!(state.is_buffer_empty());
    // It arrives during the request, behind its body.
    state.bytes_read();
    assert!(!state.is_buffer_empty());
    let response = request.response_ready();
    seconds(5).await;
    assert_eq!(
        left(&state),
        Some((55, End::Graceful)),
        "the response is being sent"
    );
    drop(response);
    assert_eq!(left(&state), Some((10, End::Abort)));
}

#[tokio::test(start_paused = true)]
async fn bytes_during_a_request_are_no_pipelined_head_if_they_may_be_its_body_or_http_2() {
    let of_body = ConnectionState::new();
    let request = of_body.begin_request();
    of_body.set_awaits_body(true);
    drop(request.response_ready());
    let of_http2 = ConnectionState::new();
    of_http2.set_http2();
    drop(of_http2.begin_request().response_ready());
    for state in [of_body, of_http2] {
        assert_eq!(left(&state), Some((60, End::Graceful)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_head_is_not_awaited_while_a_response_is_sent_or_the_socket_is_full() {
    let state = served();
    state.bytes_read();
    assert_eq!(left(&state), Some((10, End::Abort)));
    state.set_write_blocked(true);
    assert_eq!(left(&state), Some((60, End::Graceful)));
    state.set_write_blocked(false);
    assert_eq!(left(&state), Some((10, End::Abort)));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_idle_connections_after_the_closing_timeout() {
    let drain = Drain::new(CLOSING_TIMEOUT);
    let (idle, head, sending) = (served(), served(), ConnectionState::new());
    head.bytes_read();
    let request = sending.begin_request();
    sending.nothing_read();
    let response = request.response_ready();
    seconds(8).await;
    drain.begin();
    assert_eq!(left_in(&idle, &drain), Some((52, End::Graceful)), "only draining");
    drain.begin_closing();
    assert_eq!(left_in(&idle, &drain), Some((3, End::Graceful)));
    assert_eq!(
        left_in(&head, &drain),
        Some((2, End::Abort)),
        "its own time ends earlier"
    );
    assert_eq!(left_in(&sending, &drain), None);
    seconds(1).await;
    drop(response);
    assert_eq!(
        left_in(&sending, &drain),
        Some((3, End::Graceful)),
        "from the end of its response"
    );
    let late = ConnectionState::new();
    seconds(1).await;
    late.bytes_read();
    assert_eq!(
        left_in(&late, &drain),
        Some((2, End::Abort)),
        "from when it was accepted"
    );
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_stream_ends_a_connection_without_a_request() {
    let state = served();
    assert!(!state.has_eof());
    state.eof_read();
    assert!(state.has_eof() && state.is_buffer_empty());
    assert!(state.eof_ends_connection());
    state.set_write_blocked(true);
    assert!(
        !state.eof_ends_connection(),
        "the client may still read the response"
    );
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_stream_ends_a_request_only_if_it_waits_for_the_upstream_or_its_body() {
    let state = ConnectionState::new();
    let request = state.begin_request();
    state.body_pending();
    state.eof_read();
    assert!(!state.eof_ends_connection());
    state.body_pending();
    assert!(state.eof_ends_connection(), "the body is truncated");
    drop(request);

    let state = ConnectionState::new();
    let request = state.begin_request();
    state.eof_read();
    state.set_in_upstream_call();
    assert!(state.eof_ends_connection());
    drop(request);
    let request = state.begin_request();
    assert!(!state.eof_ends_connection(), "the next request does not wait yet");
    drop(request);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_stream_ends_a_connection_of_http_2() {
    let state = ConnectionState::new();
    state.set_http2();
    let request = state.begin_request();
    assert!(state.eof_ends_connection());
    assert!(request.connection().is_http2());
}
