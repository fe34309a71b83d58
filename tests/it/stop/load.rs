//! SIGTERM under load: every request that was sent is answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use shoutback_emulators::shoutcloud::{Behaviour, Emulator};
use tokio::task::JoinSet;

use super::process::serve;
use crate::process::child::readiness;
use crate::support::http1::Connection;
use crate::support::http1::shout;
use crate::support::http2::Http2;
use crate::support::{loopback, until};

/// What the clients know of each other.
#[derive(Default)]
struct Shared {
    answered: AtomicUsize,
    /// The load balancer has noticed: no new connections, and a connection ends when it is told to.
    moved_on: AtomicBool,
}

impl Shared {
    fn has_moved_on(&self) -> bool {
        self.moved_on.load(Ordering::SeqCst)
    }

    fn answered(&self) {
        self.answered.fetch_add(1, Ordering::SeqCst);
    }
}

/// One request after the other, on a connection for as long as it is not told to leave it.
async fn http1(public: SocketAddr, shared: Arc<Shared>) -> usize {
    let mut told = 0;
    while !shared.has_moved_on() {
        let mut connection = Connection::open(public).await;
        loop {
            connection.send(shout("", "hi")).await;
            let answer = connection.response().await;
            assert_eq!((answer.status, answer.body.as_str()), (200, "IH"));
            shared.answered();
            if answer.header("connection") == Some("close") {
                told += 1;
                break;
            }
        }
    }
    told
}

/// Three streams at a time.
async fn http2(public: SocketAddr, shared: Arc<Shared>) -> usize {
    let mut told = 0;
    while !shared.has_moved_on() {
        let mut connection = Http2::open(public).await;
        let mut stream = 1;
        while connection.goaways.is_empty() {
            for offset in [0, 2, 4] {
                connection.shout(stream + offset, "", "hi").await;
            }
            let mut open = 3;
            let mut bytes = Vec::new();
            while open > 0 {
                let received = connection.next().await.expect("every stream is answered");
                assert_ne!(received.kind, crate::support::http2::RST_STREAM);
                let is_end = received.flags & crate::support::http2::END_STREAM != 0;
                if received.kind == crate::support::http2::DATA {
                    bytes.push((received.stream, received.payload));
                    if is_end {
                        shared.answered();
                        open -= 1;
                    }
                }
            }
            bytes.sort_by_key(|(stream, _)| *stream);
            let bytes: Vec<u8> = bytes.into_iter().flat_map(|(_, payload)| payload).collect();
            assert_eq!(bytes, b"IHIHIH");
            stream += 6;
        }
        told += 1;
        connection.ended().await;
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_that_was_sent_is_answered() {
    let behaviour = Behaviour {
        delay: Duration::from_millis(20),
        ..Default::default()
    };
    let upstream = Emulator::start(loopback().await, behaviour).expect("a SHOUTCLOUD emulator");
    let more = [
        ("SHUTDOWN_GRACE", "2s"),
        ("CACHE_CAPACITY", "0"),
        ("RATE_LIMIT_PER_CLIENT", "off"),
    ];
    let mut service = serve(&upstream.url(), &more);
    let (public, admin) = service.ready().await;
    let shared = Arc::new(Shared::default());
    let mut clients = JoinSet::new();
    for _ in 0..16 {
        clients.spawn(http1(public, Arc::clone(&shared)));
        clients.spawn(http2(public, Arc::clone(&shared)));
    }
    let answered = || shared.answered.load(Ordering::SeqCst);
    until("the load is on", async || answered() > 200).await;
    service.signal("TERM");
    until("it is unready", async || readiness(admin).await == Some(503)).await;
    let before = answered();
    until("the load goes on", async || answered() > before + 200).await;
    shared.moved_on.store(true, Ordering::SeqCst);
    while let Some(told) = clients.join_next().await {
        assert!(
            told.expect("every request is answered") > 0,
            "each client is told to leave"
        );
    }
    let ended = service.ended().await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}
