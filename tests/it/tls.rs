//! Keys and shouts over TLS: the process trusts the certificate authorities of its environment and no others.

mod shoutcloud;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use serde_json::{Value, json};
use shoutback_emulators::shoutcloud::{Behaviour, Emulator};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::task::AbortOnDropHandle;

use crate::support::key_server::KeyResponse;
use crate::support::rsa::{ADA, MALLORY, PrivateKey};
use crate::support::tcp_server::read_request;
use crate::support::{POOL_ID, client, loopback, send, until};

const CLIENT_ID: &str = "client";

/// A certificate authority.
struct Authority {
    pem: String,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "An authority for tests");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Issues a certificate with `params`.
    fn issue(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity {
            chain: vec![certificate.der().clone()],
            key,
        }
    }
}

/// The certificate chain and the key of a server.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

impl Identity {
    fn acceptor(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).expect("PKCS#8");
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider's versions")
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), key)
            .expect("a certificate and its key");
        TlsAcceptor::from(Arc::new(config))
    }
}

fn params(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).expect("a name")
}

/// A server that speaks TLS and responds to one request per connection.
struct TlsServer {
    port: u16,
    acceptor: Arc<Mutex<TlsAcceptor>>,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    _accepting: AbortOnDropHandle<()>,
}

impl TlsServer {
    /// Starts a server that publishes one key.
    async fn publishing_key(identity: &Identity) -> Self {
        let response = match KeyResponse::keys([ADA.jwk("ada")]) {
            KeyResponse::Bytes(bytes) => bytes.to_vec(),
            KeyResponse::Endless | KeyResponse::Stall => unreachable!("a set of keys"),
        };
        Self::start(identity, move |_| response.clone()).await
    }

    /// Starts a server that responds with the bytes that `respond` returns for a request.
    async fn start(identity: &Identity, respond: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let respond = Arc::new(respond);
        let listener = loopback().await;
        let port = listener.local_addr().expect("bound").port();
        let acceptor = Arc::new(Mutex::new(identity.acceptor()));
        let (connections, requests) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let accepting = tokio::spawn({
            let (acceptor, connections, requests) = (acceptor.clone(), connections.clone(), requests.clone());
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    connections.fetch_add(1, Ordering::SeqCst);
                    let acceptor = acceptor.lock().expect("not poisoned").clone();
                    let (requests, respond) = (requests.clone(), respond.clone());
                    tokio::spawn(async move {
                        let Ok(mut stream) = acceptor.accept(stream).await else {
                            return;
                        };
                        let Some(request) = read_request(&mut stream).await else {
                            return;
                        };
                        requests.fetch_add(1, Ordering::SeqCst);
                        _ = stream.write_all(&respond(&request)).await;
                        _ = stream.shutdown().await;
                    });
                }
            }
        });
        Self {
            port,
            acceptor,
            connections,
            requests,
            _accepting: AbortOnDropHandle::new(accepting),
        }
    }

    fn renew(&self, identity: &Identity) {
        *self.acceptor.lock().expect("not poisoned") = identity.acceptor();
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// The service as a process, killed on drop.
struct Process {
    child: Child,
    public: SocketAddr,
    admin: SocketAddr,
    _trusted: NamedTempFile,
}

impl Process {
    /// Starts a process that trusts `authorities` and fetches its keys from `endpoint`.
    async fn start(authorities: &[&Authority], endpoint: &str, variables: &[(&str, &str)]) -> Self {
        let mut trusted = NamedTempFile::new().expect("a temporary file");
        for authority in authorities {
            trusted.write_all(authority.pem.as_bytes()).expect("space");
        }
        let mut child = Command::new(env!("CARGO_BIN_EXE_shoutback"))
            .env_clear()
            .env("SSL_CERT_FILE", trusted.path())
            .envs([
                ("HTTP_ADDR", "127.0.0.1:0"),
                ("ADMIN_ADDR", "127.0.0.1:0"),
                ("COGNITO_USER_POOL_IDS", POOL_ID),
                ("COGNITO_CLIENT_IDS", CLIENT_ID),
                ("COGNITO_JWKS_ENDPOINT", endpoint),
            ])
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary is built");
        let lines = BufReader::new(child.stdout.take().expect("it is piped"));
        let (listening, addresses) = oneshot::channel();
        std::thread::spawn(move || {
            let mut listening = Some(listening);
            for line in lines.lines().map_while(Result::ok) {
                let line: Value = serde_json::from_str(&line).expect("log lines are JSON");
                let address = |name: &str| line[name].as_str()?.parse::<SocketAddr>().ok();
                if let (Some(public), Some(admin)) =
                    (address("shoutback.http_addr"), address("shoutback.admin_addr"))
                    && let Some(listening) = listening.take()
                {
                    _ = listening.send((public, admin));
                }
            }
        });
        let addresses = addresses.await;
        let (public, admin) = addresses.unwrap_or_else(|_| {
            _ = child.kill();
            panic!("the process ended before it listened: {:?}", child.wait());
        });
        Self {
            child,
            public,
            admin,
            _trusted: trusted,
        }
    }

    async fn admin(&self, path: &str) -> reqwest::Response {
        let url = format!("http://{}{path}", self.admin);
        client().get(url).send().await.expect("a response")
    }

    async fn is_ready(&self) -> bool {
        self.admin("/readyz").await.status() == 200
    }

    async fn fetches(&self, outcome: &str) -> f64 {
        let outcome = format!("outcome=\"{outcome}\"");
        self.metric("shoutback_jwks_refresh_total{", &outcome).await
    }

    /// Returns the sum of the series that start with `name` and have `label`.
    async fn metric(&self, name: &str, label: &str) -> f64 {
        let text = self.admin("/metrics").await.text().await.expect("UTF-8");
        text.lines()
            .filter(|line| line.starts_with(name) && line.contains(label))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits for a failed fetch and asserts that there is no successful one.
    async fn assert_fetch_fails(&self, case: &str) {
        until(case, async || self.fetches("failure").await >= 1.0).await;
        assert_eq!(self.admin("/readyz").await.status(), 503, "{case}");
        assert_eq!(self.fetches("success").await, 0.0, "{case}");
    }

    /// Sends a request for a shout of `hi` with a token that `key` has signed.
    async fn shout(&self, key: &PrivateKey) -> reqwest::Response {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let claims = json!({
            "iss": format!("https://cognito-idp.us-east-2.amazonaws.com/{POOL_ID}"), "token_use": "access",
            "client_id": CLIENT_ID, "sub": CLIENT_ID, "scope": "shoutback/shout", "exp": now.as_secs() + 3600,
        });
        let request = client()
            .post(format!("http://{}/v1", self.public))
            .bearer_auth(key.token("ada", claims.as_object().expect("an object")))
            .header("content-type", "text/plain")
            .body("hi");
        send(request).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

#[tokio::test]
async fn keys_are_fetched_from_a_server_with_a_trusted_certificate() {
    let authority = Authority::new();
    let server = TlsServer::publishing_key(&authority.issue(&params("localhost"))).await;
    let shoutcloud = Emulator::start(loopback().await, Behaviour::default()).expect("an emulator");
    let endpoint = format!("https://localhost:{}", server.port);
    let process = Process::start(
        &[&Authority::new(), &authority],
        &endpoint,
        &[("SHOUTCLOUD_URL", &shoutcloud.url())],
    )
    .await;
    until("the process is ready", async || process.is_ready().await).await;
    assert_eq!((server.connections(), server.requests()), (1, 1));

    for (key, status) in [(&ADA, 200), (&MALLORY, 401)] {
        assert_eq!(process.shout(key).await.status(), status);
    }
}

#[tokio::test]
async fn no_keys_are_fetched_from_a_server_without_a_valid_certificate() {
    let authority = Authority::new();
    let good = params("localhost");
    let with = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = params("localhost");
        change(&mut params);
        authority.issue(&params)
    };
    let self_signed = {
        let key = KeyPair::generate().expect("a key");
        let certificate = good.self_signed(&key).expect("a certificate");
        Identity {
            chain: vec![certificate.der().clone()],
            key,
        }
    };
    let chain_with_unknown_root = {
        let unknown = Authority::new();
        let mut identity = unknown.issue(&good);
        identity.chain.push(unknown.certificate.clone());
        identity
    };
    let issued_by_leaf = {
        let key = KeyPair::generate().expect("a key");
        let certificate = good.signed_by(&key, &authority.issuer).expect("a certificate");
        let server = Authority {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer: Issuer::new(good.clone(), key),
        };
        let mut identity = server.issue(&good);
        identity.chain.push(server.certificate.clone());
        identity
    };
    let common_name_only = {
        let mut params = CertificateParams::new(vec![]).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "localhost");
        authority.issue(&params)
    };
    let cases = [
        ("self-signed", self_signed),
        (
            "an unknown authority of the same name",
            Authority::new().issue(&good),
        ),
        ("an unknown authority in the chain", chain_with_unknown_root),
        ("issued by a server certificate", issued_by_leaf),
        ("for another host", authority.issue(&params("other.example"))),
        ("for a subdomain", authority.issue(&params("cognito.localhost"))),
        (
            "for a parent domain",
            authority.issue(&params("localhost.example")),
        ),
        ("only for the address", authority.issue(&params("127.0.0.1"))),
        ("host only in the common name", common_name_only),
        (
            "expired",
            with(&|params| params.not_after = date_time_ymd(2020, 1, 1)),
        ),
        (
            "not yet valid",
            with(&|params| params.not_before = date_time_ymd(4000, 1, 1)),
        ),
        (
            "for clients",
            with(&|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
        ),
    ];
    for (case, identity) in cases {
        let server = TlsServer::publishing_key(&identity).await;
        let endpoint = format!("https://localhost:{}", server.port);
        let process = Process::start(&[&authority], &endpoint, &[]).await;
        process.assert_fetch_fails(case).await;
        assert!(server.connections() >= 1, "{case}");
        assert_eq!(server.requests(), 0, "{case}: no request");
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_accepted_without_a_restart() {
    let authority = Authority::new();
    let mut expired = params("localhost");
    expired.not_after = date_time_ymd(2020, 1, 1);
    let server = TlsServer::publishing_key(&authority.issue(&expired)).await;
    let endpoint = format!("https://localhost:{}", server.port);
    let process = Process::start(&[&authority], &endpoint, &[]).await;
    process.assert_fetch_fails("expired").await;
    server.renew(&authority.issue(&params("localhost")));
    until("the process is ready", async || process.is_ready().await).await;
}

#[tokio::test]
async fn plain_http_and_a_certificate_for_another_name_are_rejected() {
    let authority = Authority::new();
    let plain = crate::support::key_server::KeyServer::start(KeyResponse::keys([ADA.jwk("ada")])).await;
    let endpoint = format!("https://localhost:{}", plain.address.port());
    let process = Process::start(&[&authority], &endpoint, &[]).await;
    process.assert_fetch_fails("plain HTTP").await;
    assert_eq!(plain.requests_for_all(), 0);

    let server = TlsServer::publishing_key(&authority.issue(&params("localhost"))).await;
    let endpoint = format!("https://127.0.0.1:{}", server.port);
    let process = Process::start(&[&authority], &endpoint, &[]).await;
    process
        .assert_fetch_fails("a certificate for the name, requested by address")
        .await;
    assert_eq!(server.requests(), 0);
}
