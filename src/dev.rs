//! Everything on one machine: emulators of SHOUTCLOUD and Cognito, and the environment in which the service uses them.
//!
//! Never in the production image: the feature that brings this module is not a default one.

pub mod cognito;
mod server;
pub mod shoutcloud;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;

use self::shoutcloud::Behaviour;
use crate::config::Environment;

/// The pool that `shoutback dev` serves.
const POOL_ID: &str = "us-east-2_Emulator1";

/// How the emulators behave.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Time that SHOUTCLOUD takes for an answer, such as 200ms
    #[arg(long, default_value = "0ms", value_parser = humantime::parse_duration)]
    shoutcloud_delay: Duration,
    /// Share of SHOUTCLOUD's answers that are a 503, from 0 to 1
    #[arg(long, default_value = "0", value_parser = share)]
    shoutcloud_failure_rate: f64,
    /// Where the emulator of SHOUTCLOUD listens
    #[arg(long, default_value = "127.0.0.1:5001", value_parser = loopback)]
    shoutcloud_addr: SocketAddr,
    /// Where the emulator of Cognito listens
    #[arg(long, default_value = "127.0.0.1:5002", value_parser = loopback)]
    cognito_addr: SocketAddr,
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a number from 0 to 1 is needed, such as 0.1".to_owned())
}

/// The emulators hand tokens to anyone who asks.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address = text
        .parse()
        .ok()
        .filter(|address: &SocketAddr| address.ip().is_loopback());
    address.ok_or_else(|| "an address on loopback is needed, such as 127.0.0.1:5001".to_owned())
}

/// An emulator cannot start.
#[derive(Debug, thiserror::Error)]
#[error(
    "the emulator of {what} cannot listen on {address}: {source}; free the port or choose another with {flag}"
)]
pub struct Error {
    what: &'static str,
    flag: &'static str,
    address: SocketAddr,
    source: io::Error,
}

/// Both emulators, running until dropped.
pub struct Emulators {
    shoutcloud: shoutcloud::Emulator,
    cognito: cognito::Emulator,
}

impl Emulators {
    /// Starts both.
    pub async fn start(arguments: &Arguments) -> Result<Self, Error> {
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
        let error = |what, flag, address| {
            move |source| Error {
                what,
                flag,
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

    /// `environment`, changed so that the service uses the emulators and stays on loopback unless told otherwise.
    pub fn environment(&self, mut environment: Environment) -> Environment {
        let people = self.cognito.people_client_id();
        for (name, value) in [
            ("COGNITO_USER_POOL_IDS", self.cognito.pool_id()),
            (
                "COGNITO_CLIENT_IDS",
                &format!("{},{people}", self.cognito.client().id),
            ),
            ("COGNITO_ENDPOINT", &self.cognito.endpoint()),
            ("COGNITO_JWKS_ENDPOINT", &self.cognito.endpoint()),
            ("SHOUTCLOUD_URL", &self.shoutcloud.url()),
        ] {
            environment.set(name, value);
        }
        // No policy of a page can name an IPv6 address.
        if !self.cognito.endpoint().contains('[') {
            environment.set("DOCS_COGNITO_DOMAIN", self.cognito.endpoint());
            environment.set("DOCS_CLIENT_ID", people);
        }
        for (name, value) in [
            ("HTTP_ADDR", "127.0.0.1:5000"),
            ("ADMIN_ADDR", "127.0.0.1:9090"),
            ("LOG_FORMAT", "pretty"),
            // Nobody has to notice that this replica leaves.
            ("SHUTDOWN_GRACE", "0ms"),
        ] {
            environment.set_default(name, value);
        }
        environment
    }

    /// What to try, one command a line, with a token that lasts an hour. `signs_in`: whether the page lets its readers.
    pub fn lines_to_paste(&self, public: SocketAddr, signs_in: bool) -> String {
        let (token, client) = (self.cognito.token(), self.cognito.client());
        let call = format!("curl -sS -w '\\n' http://{public}/v1 -H 'authorization: Bearer {token}'");
        format!(
            "\nShoutback runs at http://{public} with emulators of SHOUTCLOUD ({shoutcloud}) and Cognito ({issuer}).\n\
             To try it in a browser{sign_in}: http://{public}/docs\n\
             Or paste these; the token in them lasts an hour.\n\n\
             JSON:\n{call} -H 'content-type: application/json' -d '{{\"data\":\"hello, world!\"}}'\n\n\
             Text:\n{call} -H 'content-type: text/plain' -d 'hello, world!'\n\n\
             A fresh token:\n\
             curl -sS -w '\\n' -u {id}:{secret} -d grant_type=client_credentials -d scope=shoutback/shout {endpoint}/oauth2/token\n",
            sign_in = if signs_in { ", sign-in included" } else { "" },
            shoutcloud = self.shoutcloud.url(),
            issuer = self.cognito.issuer(),
            endpoint = self.cognito.endpoint(),
            id = client.id,
            secret = client.secret,
        )
    }
}
