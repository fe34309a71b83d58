//! `shoutback dev`: the emulators of SHOUTCLOUD and Cognito, and the environment in which the service uses them.
//!
//! A module of the binary, only with the feature `dev`, which the production image is built without.

mod replicas;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use shoutback::config::Environment;
use shoutback_emulators::shoutcloud::Behaviour;
use shoutback_emulators::{cognito, shoutcloud};
use tokio::net::TcpListener;

pub(crate) use self::replicas::{ValkeyError, bind, start_valkey};

/// The id of the emulated user pool.
const POOL_ID: &str = "us-east-2_Emulator1";

/// Options of the emulators.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    /// Delay of each SHOUTCLOUD response, such as 200ms
    #[arg(long, default_value = "0ms", value_parser = humantime::parse_duration)]
    shoutcloud_delay: Duration,
    /// Fraction of SHOUTCLOUD responses that are a 503, from 0 to 1
    #[arg(long, default_value = "0", value_parser = fraction)]
    shoutcloud_failure_rate: f64,
    /// Address on which the SHOUTCLOUD emulator listens
    #[arg(long, default_value = "127.0.0.1:5001", value_parser = loopback)]
    shoutcloud_addr: SocketAddr,
    /// Address on which the Cognito emulator listens
    #[arg(long, default_value = "127.0.0.1:5002", value_parser = loopback)]
    cognito_addr: SocketAddr,
    /// Number of replicas of the service; several share their state in a Valkey and are called in turn
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u16).range(1..=20))]
    pub(crate) replicas: u16,
    /// Address on which that Valkey listens, unless VALKEY_URL is set
    #[arg(long, default_value = "127.0.0.1:5003", value_parser = loopback)]
    pub(crate) valkey_addr: SocketAddr,
}

/// An emulator cannot start.
#[derive(Debug, thiserror::Error)]
#[error(
    "the {emulator} emulator cannot listen on {address}: {source}; free the port or set another with {option}"
)]
pub(crate) struct Error {
    emulator: &'static str,
    option: &'static str,
    address: SocketAddr,
    source: io::Error,
}

/// Both emulators, which run until dropped.
pub(crate) struct Emulators {
    shoutcloud: shoutcloud::Emulator,
    cognito: cognito::Emulator,
}

impl Emulators {
    /// Starts both emulators.
    pub(crate) async fn start(arguments: &Arguments) -> Result<Self, Error> {
        let behaviour = Behaviour {
            delay: arguments.shoutcloud_delay,
            failure_rate: arguments.shoutcloud_failure_rate,
        };
        let shoutcloud = async {
            let listener = TcpListener::bind(arguments.shoutcloud_addr).await?;
            shoutcloud::Emulator::start(listener, behaviour)
        };
        let cognito = async {
            let listener = TcpListener::bind(arguments.cognito_addr).await?;
            cognito::Emulator::start(listener, POOL_ID)
        };
        let error = |emulator, option, address| {
            move |source| Error {
                emulator,
                option,
                address,
                source,
            }
        };
        Ok(Self {
            shoutcloud: shoutcloud.await.map_err(error(
                "SHOUTCLOUD",
                "--shoutcloud-addr",
                arguments.shoutcloud_addr,
            ))?,
            cognito: cognito
                .await
                .map_err(error("Cognito", "--cognito-addr", arguments.cognito_addr))?,
        })
    }

    /// Returns `environment` with the emulators as the service's peers and with defaults for development, such as
    /// listeners on loopback.
    pub(crate) fn environment(&self, mut environment: Environment) -> Environment {
        let public_client = self.cognito.public_client_id();
        for (name, value) in [
            ("COGNITO_USER_POOL_IDS", self.cognito.pool_id()),
            (
                "COGNITO_CLIENT_IDS",
                &format!("{},{public_client}", self.cognito.client().id),
            ),
            ("COGNITO_ENDPOINT", &self.cognito.endpoint()),
            ("COGNITO_JWKS_ENDPOINT", &self.cognito.endpoint()),
            ("SHOUTCLOUD_URL", &self.shoutcloud.url()),
        ] {
            environment.set(name, value);
        }
        // A content security policy cannot contain an IPv6 address.
        if !self.cognito.endpoint().contains('[') {
            environment.set("DOCS_COGNITO_DOMAIN", self.cognito.endpoint());
            environment.set("DOCS_CLIENT_ID", public_client);
        }
        for (name, value) in [
            ("HTTP_ADDR", "127.0.0.1:5000"),
            ("ADMIN_ADDR", "127.0.0.1:9090"),
            ("LOG_FORMAT", "pretty"),
            // No load balancer needs time to remove this replica.
            ("SHUTDOWN_GRACE", "0ms"),
        ] {
            environment.set_default(name, value);
        }
        environment
    }

    /// Returns what to try with the service and its emulators: addresses, and shell commands, each on a line of its own.
    /// `signs_in`: whether users can sign in on the page `/docs`.
    pub(crate) fn instructions(&self, public: SocketAddr, admin: SocketAddr, signs_in: bool) -> String {
        let client = self.cognito.client();
        let call = "curl -w '\\n' $SHOUTBACK/v1 -H \"authorization: Bearer $TOKEN\"";
        let behaviour = format!("{}/_emulator/behaviour", self.shoutcloud.endpoint());
        format!(
            "\n\
             Service     http://{public}\n\
             Try it      http://{public}/docs{sign_in}\n\
             Metrics     http://{admin}/metrics\n\
             SHOUTCLOUD  {shoutcloud} (emulator)\n\
             Cognito     {issuer} (emulator)\n\
             \n\
             Ctrl-C stops all of it. Run these lines in another shell; the token is valid for one hour.\n\
             \n\
             export SHOUTBACK=http://{public} CLIENT_ID={id} CLIENT_SECRET={secret}\n\
             export TOKEN=$(curl -sS -u $CLIENT_ID:$CLIENT_SECRET -d grant_type=client_credentials {endpoint}/oauth2/token \
             | sed 's/.*access_token\":\"//; s/\".*//')\n\
             {call} -H 'content-type: application/json' -d '{{\"data\":\"hello, world!\"}}'\n\
             {call} -H 'content-type: text/plain' -d \"$(date)\"\n\
             \n\
             Make SHOUTCLOUD fail or slow, and repeat the last line: its text is new each time, so no response is cached. Then let it recover.\n\
             \n\
             curl -X PUT -w '\\n' {behaviour} -d '{{\"failure_rate\":1}}'\n\
             curl -X PUT -w '\\n' {behaviour} -d '{{\"delay\":\"3s\"}}'\n\
             curl -X PUT -w '\\n' {behaviour} -d '{{\"failure_rate\":0,\"delay\":\"0s\"}}'\n",
            sign_in = if signs_in { " (with sign-in)" } else { "" },
            shoutcloud = self.shoutcloud.url(),
            issuer = self.cognito.issuer(),
            endpoint = self.cognito.endpoint(),
            id = client.id,
            secret = client.secret,
        )
    }
}

fn fraction(text: &str) -> Result<f64, String> {
    let fraction = text
        .parse()
        .ok()
        .filter(|fraction| (0.0..=1.0).contains(fraction));
    fraction.ok_or_else(|| "must be a number from 0 to 1, such as 0.1".to_owned())
}

/// Accepts loopback addresses only, because the emulators issue tokens to any caller.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address = text
        .parse()
        .ok()
        .filter(|address: &SocketAddr| address.ip().is_loopback());
    address.ok_or_else(|| "must be a loopback address, such as 127.0.0.1:5001".to_owned())
}
