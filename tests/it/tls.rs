//! Keys over TLS: the real process, which trusts the authority that the environment names and no other.

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
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::task::AbortOnDropHandle;

use crate::support::key_server::Answer;
use crate::support::rsa::{ADA, MALLORY};
use crate::support::{POOL_ID, client, loopback, until};

const CLIENT_ID: &str = "client";

/// Who vouches for certificates.
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

    /// A certificate of `params`.
    fn signs(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity {
            chain: vec![certificate.der().clone()],
            key,
        }
    }
}

/// What a server proves itself with.
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

/// A key server that speaks TLS and publishes one key.
struct TlsKeyServer {
    port: u16,
    acceptor: Arc<Mutex<TlsAcceptor>>,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    _accepting: AbortOnDropHandle<()>,
}

impl TlsKeyServer {
    async fn start(identity: &Identity) -> Self {
        let listener = loopback().await;
        let port = listener.local_addr().expect("bound").port();
        let acceptor = Arc::new(Mutex::new(identity.acceptor()));
        let (connections, requests) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let accepting = tokio::spawn({
            let (acceptor, connections, requests) = (acceptor.clone(), connections.clone(), requests.clone());
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    connections.fetch_add(1, Ordering::SeqCst);
                    let acceptor = acceptor.lock().expect("nobody panics with it").clone();
                    let requests = requests.clone();
                    tokio::spawn(async move {
                        let Ok(mut stream) = acceptor.accept(stream).await else {
                            return;
                        };
                        let mut request = Vec::new();
                        while !request.ends_with(b"\r\n\r\n") {
                            if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                                return;
                            }
                        }
                        requests.fetch_add(1, Ordering::SeqCst);
                        if let Answer::Bytes(bytes) = Answer::keys([ADA.jwk("ada")]) {
                            _ = stream.write_all(&bytes).await;
                            _ = stream.shutdown().await;
                        }
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
        *self.acceptor.lock().expect("nobody panics with it") = identity.acceptor();
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// The real process. It is killed when this is dropped.
struct Process {
    child: Child,
    public: SocketAddr,
    admin: SocketAddr,
    _trusted: NamedTempFile,
}

impl Process {
    /// One that trusts `authorities` and fetches its keys from `endpoint`.
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
            panic!("it has ended before it listened: {:?}", child.wait());
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
        client().get(url).send().await.expect("an answer")
    }

    async fn is_ready(&self) -> bool {
        self.admin("/readyz").await.status() == 200
    }

    async fn fetches(&self, outcome: &str) -> f64 {
        let text = self.admin("/metrics").await.text().await.expect("UTF-8");
        let outcome = format!("outcome=\"{outcome}\"");
        text.lines()
            .filter(|line| line.starts_with("shoutback_jwks_refresh_total{") && line.contains(&outcome))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    async fn until_a_fetch_has_failed(&self, case: &str) {
        until(case, async || self.fetches("failure").await >= 1.0).await;
        assert_eq!(self.admin("/readyz").await.status(), 503, "{case}");
        assert_eq!(self.fetches("success").await, 0.0, "{case}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

#[tokio::test]
async fn keys_are_fetched_from_a_server_that_a_trusted_authority_vouches_for() {
    let authority = Authority::new();
    let server = TlsKeyServer::start(&authority.signs(&params("localhost"))).await;
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

    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let claims = json!({
        "iss": format!("https://cognito-idp.us-east-2.amazonaws.com/{POOL_ID}"), "token_use": "access",
        "client_id": CLIENT_ID, "sub": CLIENT_ID, "scope": "shoutback/shout", "exp": now.as_secs() + 3600,
    });
    for (key, status) in [(&ADA, 200), (&MALLORY, 401)] {
        let answer = client()
            .post(format!("http://{}/v1", process.public))
            .bearer_auth(key.token("ada", claims.as_object().expect("an object")))
            .header("content-type", "text/plain")
            .body("hi")
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), status);
    }
}

#[tokio::test]
async fn no_keys_are_fetched_from_a_server_that_cannot_prove_itself() {
    let authority = Authority::new();
    let good = params("localhost");
    let with = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = params("localhost");
        change(&mut params);
        authority.signs(&params)
    };
    let self_signed = {
        let key = KeyPair::generate().expect("a key");
        let certificate = good.self_signed(&key).expect("a certificate");
        Identity {
            chain: vec![certificate.der().clone()],
            key,
        }
    };
    let brought_along = {
        let unknown = Authority::new();
        let mut identity = unknown.signs(&good);
        identity.chain.push(unknown.certificate.clone());
        identity
    };
    let by_a_server = {
        let key = KeyPair::generate().expect("a key");
        let certificate = good.signed_by(&key, &authority.issuer).expect("a certificate");
        let server = Authority {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer: Issuer::new(good.clone(), key),
        };
        let mut identity = server.signs(&good);
        identity.chain.push(server.certificate.clone());
        identity
    };
    let without_a_name = {
        let mut params = CertificateParams::new(vec![]).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "localhost");
        authority.signs(&params)
    };
    let cases = [
        ("self-signed", self_signed),
        (
            "an unknown authority of the same name",
            Authority::new().signs(&good),
        ),
        ("an unknown authority that is sent along", brought_along),
        ("signed by a server", by_a_server),
        ("another host", authority.signs(&params("other.example"))),
        ("a host below", authority.signs(&params("cognito.localhost"))),
        ("a host above", authority.signs(&params("localhost.example"))),
        ("the address alone", authority.signs(&params("127.0.0.1"))),
        ("the host as common name alone", without_a_name),
        (
            "expired",
            with(&|params| params.not_after = date_time_ymd(2020, 1, 1)),
        ),
        (
            "not valid yet",
            with(&|params| params.not_before = date_time_ymd(4000, 1, 1)),
        ),
        (
            "for clients",
            with(&|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
        ),
    ];
    for (case, identity) in cases {
        let server = TlsKeyServer::start(&identity).await;
        let endpoint = format!("https://localhost:{}", server.port);
        let process = Process::start(&[&authority], &endpoint, &[]).await;
        process.until_a_fetch_has_failed(case).await;
        assert!(server.connections() >= 1, "{case}");
        assert_eq!(server.requests(), 0, "{case}: nothing was asked");
    }
}

#[tokio::test]
async fn a_certificate_that_is_renewed_is_accepted_without_a_restart() {
    let authority = Authority::new();
    let mut expired = params("localhost");
    expired.not_after = date_time_ymd(2020, 1, 1);
    let server = TlsKeyServer::start(&authority.signs(&expired)).await;
    let endpoint = format!("https://localhost:{}", server.port);
    let process = Process::start(&[&authority], &endpoint, &[]).await;
    process.until_a_fetch_has_failed("expired").await;
    server.renew(&authority.signs(&params("localhost")));
    until("the process is ready", async || process.is_ready().await).await;
}

#[tokio::test]
async fn plain_http_is_not_taken_for_tls_and_an_address_not_for_a_name() {
    let authority = Authority::new();
    let plain = crate::support::key_server::KeyServer::start(Answer::keys([ADA.jwk("ada")])).await;
    let endpoint = format!("https://localhost:{}", plain.address.port());
    let process = Process::start(&[&authority], &endpoint, &[]).await;
    process.until_a_fetch_has_failed("plain HTTP").await;
    assert_eq!(plain.requests_for_all(), 0);

    let server = TlsKeyServer::start(&authority.signs(&params("localhost"))).await;
    let endpoint = format!("https://127.0.0.1:{}", server.port);
    let process = Process::start(&[&authority], &endpoint, &[]).await;
    process
        .until_a_fetch_has_failed("a certificate for the name, asked by address")
        .await;
    assert_eq!(server.requests(), 0);
}
