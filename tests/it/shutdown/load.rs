//! SIGTERM under load: every request gets its response.

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

/// State shared by the clients.
#[derive(Default)]
struct Shared {
    responses: AtomicUsize,
    /// The load balancer has removed the target: no new connections, and the service closes the existing ones.
    is_deregistered: AtomicBool,
}

impl Shared {
    fn is_deregistered(&self) -> bool {
        self.is_deregistered.load(Ordering::SeqCst)
    }

    fn count_response(&self) {
        self.responses.fetch_add(1, Ordering::SeqCst);
    }
}

/// Sends one request after the other on each connection until the service closes it. Returns the number of closes.
async fn http1(public: SocketAddr, shared: Arc<Shared>) -> usize {
    let mut closes = 0;
    while !shared.is_deregistered() {
        let mut connection = Connection::open(public).await;
        loop {
            connection.send(shout("", "hi")).await;
            let answer = connection.response().await;
            assert_eq!((answer.status, answer.body.as_str()), (200, "IH"));
            shared.count_response();
            if answer.header("connection") == Some("close") {
                closes += 1;
                break;
            }
        }
    }
    closes
}

/// The same with three streams at a time, until GOAWAY.
async fn http2(public: SocketAddr, shared: Arc<Shared>) -> usize {
    let mut closes = 0;
    while !shared.is_deregistered() {
        let mut connection = Http2::open(public).await;
        let mut stream = 1;
        while connection.goaways.is_empty() {
            for offset in [0, 2, 4] {
                connection.shout(stream + offset, "", "hi").await;
            }
            let mut open = 3;
            let mut bytes = Vec::new();
            while open > 0 {
                let received = connection.next().await.expect("every stream gets a response");
                assert_ne!(received.kind, crate::support::http2::RST_STREAM);
                let is_end = received.flags & crate::support::http2::END_STREAM != 0;
                if received.kind == crate::support::http2::DATA {
                    bytes.push((received.stream, received.payload));
                    if is_end {
                        shared.count_response();
                        open -= 1;
                    }
                }
            }
            bytes.sort_by_key(|(stream, _)| *stream);
            let bytes: Vec<u8> = bytes.into_iter().flat_map(|(_, payload)| payload).collect();
            assert_eq!(bytes, b"IHIHIH");
            stream += 6;
        }
        closes += 1;
        connection.ended().await;
    }
    closes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_gets_its_response() {
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
    let responses = || shared.responses.load(Ordering::SeqCst);
    until("the load is on", async || responses() > 200).await;
    service.signal("TERM");
    until("it is unready", async || readiness(admin).await == Some(503)).await;
    let before = responses();
    until("the load continues", async || responses() > before + 200).await;
    shared.is_deregistered.store(true, Ordering::SeqCst);
    while let Some(closes) = clients.join_next().await {
        assert!(
            closes.expect("every request gets its response") > 0,
            "the service closes a connection of each client"
        );
    }
    let ended = service.ended().await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}
