//! The process: command line, configuration, telemetry, application, signals, exit code.

#[cfg(feature = "dev")]
mod dev;

use std::fmt::{Display, Write as _};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use shoutback::app::{Application, ShutdownError, StartError};
use shoutback::config::{Auth, Config, Environment, Loaded, Problems};
use shoutback::lifecycle::Signals;
use shoutback::outbound;
use shoutback::telemetry::log::{OpenError, Stream};
use shoutback::telemetry::{self, Telemetry};
use tokio_util::sync::CancellationToken;

/// HTTP service that reverses a text and returns it in upper case. Configured by environment variables only.
#[derive(Parser)]
#[command(name = "shoutback", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service (default)
    Serve,
    /// Run the service with emulators of SHOUTCLOUD and Cognito on this machine
    #[cfg(feature = "dev")]
    Dev(dev::Arguments),
    /// Explain that this binary has no emulators
    #[cfg(not(feature = "dev"))]
    #[command(name = "dev", hide = true, disable_help_flag = true)]
    WithoutDev {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        _ignored: Vec<std::ffi::OsString>,
    },
    /// Check the configuration and print every problem; exit code 0 or 2
    CheckConfig,
    /// Query the readiness of this replica on its admin port; exit code 0 or 1
    Healthcheck,
    /// Print the OpenAPI 3.1 document of the configuration
    Openapi,
}

/// Errors that end the process with an exit code other than 0.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the configuration has problems:\n{0}\nrun `shoutback --help` for every variable")]
    Configuration(#[from] Problems),
    #[error("problems found: {0}")]
    Checked(usize),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Log(#[from] OpenError),
    #[error(transparent)]
    Stop(#[from] ShutdownError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("not ready: {0}")]
    Unhealthy(String),
    #[cfg(not(feature = "dev"))]
    #[error(
        "this binary was built without the feature `dev`, which has the emulators; run `make dev` in a checkout"
    )]
    WithoutDev,
    #[cfg(feature = "dev")]
    #[error(transparent)]
    Dev(#[from] dev::Error),
    #[cfg(feature = "dev")]
    #[error(transparent)]
    Valkey(#[from] dev::ValkeyError),
}

/// Exit code for an invalid configuration or command line, which a restart does not help.
const INVALID_INPUT: u8 = 2;

impl Failure {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Configuration(_) | Self::Checked(_) => INVALID_INPUT.into(),
            #[cfg(not(feature = "dev"))]
            Self::WithoutDev => INVALID_INPUT.into(),
            _ => ExitCode::FAILURE,
        }
    }
}

fn main() -> ExitCode {
    let command = Arguments::command().after_long_help(variables());
    let arguments = match command
        .try_get_matches()
        .and_then(|matches| Arguments::from_arg_matches(&matches))
    {
        Ok(arguments) => arguments,
        Err(error) => {
            _ = error.print();
            // clap reports --help and --version as errors with exit code 0.
            return if error.exit_code() == 0 {
                ExitCode::SUCCESS
            } else {
                INVALID_INPUT.into()
            };
        }
    };
    let outcome = match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(),
        #[cfg(feature = "dev")]
        Command::Dev(arguments) => dev(&arguments),
        #[cfg(not(feature = "dev"))]
        Command::WithoutDev { .. } => Err(Failure::WithoutDev),
        Command::CheckConfig => check_config(),
        Command::Healthcheck => healthcheck(),
        Command::Openapi => openapi(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Unlike eprintln!, it does not panic if stderr is closed.
            _ = writeln!(std::io::stderr(), "shoutback: {failure}");
            failure.exit_code()
        }
    }
}

fn serve() -> Result<(), Failure> {
    let loaded = Config::load(&Environment::from_process())?;
    // Dropped last so that shutdown messages are still written.
    let telemetry = telemetry::init(&loaded.config, Stream::Stdout)?;
    warn_of(&loaded);
    run(
        &telemetry,
        async { Ok(Application::bind(&loaded.config).await?) },
        |_| async { Ok(()) },
    )
}

#[cfg(feature = "dev")]
fn dev(arguments: &dev::Arguments) -> Result<(), Failure> {
    use std::sync::{Arc, OnceLock};

    let runtime = tokio::runtime::Runtime::new()?;
    // They live until the service ends.
    let emulators = Arc::new(runtime.block_on(dev::Emulators::start(arguments))?);
    let announced = Arc::clone(&emulators);
    let mut environment = emulators.environment(Environment::from_process());
    let replicas = arguments.replicas;
    let _valkey = if replicas > 1 {
        dev::start_valkey(&mut environment, arguments.valkey_addr)?
    } else {
        None
    };
    let loaded = Config::load(&environment)?;
    let telemetry = telemetry::init(&loaded.config, Stream::Stderr)?;
    warn_of(&loaded);
    let signs_in = loaded.config.sign_in.is_some() && matches!(loaded.config.auth, Auth::Cognito(_));
    // Where the replicas are called in turn.
    let balanced = Arc::new(OnceLock::new());
    let announced_address = Arc::clone(&balanced);
    run(
        &telemetry,
        async {
            if replicas == 1 {
                return Ok(Application::bind(&loaded.config).await?);
            }
            let (application, address) = dev::bind(&loaded.config, replicas).await?;
            _ = balanced.set(address);
            Ok(application)
        },
        move |addresses| async move {
            wait_until_ready(reachable(addresses.admin)).await?;
            let public = announced_address.get().copied().unwrap_or(addresses.public);
            print(announced.instructions(reachable(public), reachable(addresses.admin), signs_in))
        },
    )
}

/// The addresses that the application listens on.
#[derive(Clone, Copy)]
struct Addresses {
    public: SocketAddr,
    admin: SocketAddr,
}

/// Runs an application until a signal stops it. Once it is bound, `started` runs concurrently.
fn run<S: Future<Output = Result<(), Failure>> + Send + 'static>(
    telemetry: &Telemetry,
    bind: impl Future<Output = Result<Application, Failure>>,
    started: impl FnOnce(Addresses) -> S,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let application = bind.await?;
        application.metrics().log.observe(telemetry.dropped_lines());
        let addresses = Addresses {
            public: application.public_addr(),
            admin: application.admin_addr(),
        };
        tracing::info!(
            event.action = "start",
            event.kind = "event",
            shoutback.commit = shoutback::version::COMMIT,
            shoutback.http_addr = %addresses.public,
            shoutback.admin_addr = %addresses.admin,
            "listening"
        );
        let stop = CancellationToken::new();
        let running = application.run(stop.clone());
        tokio::pin!(running);
        let started = tokio::spawn(started(addresses));
        tokio::pin!(started);
        let mut announced = false;
        loop {
            tokio::select! {
                outcome = &mut running => return Ok(outcome?),
                outcome = &mut started, if !announced => {
                    announced = true;
                    outcome.map_err(std::io::Error::other)??;
                }
                () = signals.next() => {
                    if stop.is_cancelled() {
                        tracing::warn!(event.action = "stop", event.kind = "event", "a second signal: ending at once");
                        let error = "a second signal ended the process before the shutdown was complete";
                        return Err(std::io::Error::other(error).into());
                    }
                    stop.cancel();
                }
            }
        }
    });
    runtime.shutdown_background();
    outcome
}

fn warn_of(loaded: &Loaded) {
    for warning in &loaded.warnings {
        tracing::warn!(event.action = "configuration", event.kind = "event", "{warning}");
    }
    if matches!(loaded.config.auth, Auth::Disabled) {
        tracing::warn!(
            event.action = "configuration",
            event.kind = "event",
            "AUTH_MODE=disabled: every request is accepted, as the client anonymous"
        );
    }
}

fn check_config() -> Result<(), Failure> {
    match Config::load(&Environment::from_process()) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                print(format_args!("warning: {warning}"))?;
            }
            print("the configuration is valid")
        }
        Err(problems) => {
            print(&problems)?;
            Err(Failure::Checked(problems.0.len()))
        }
    }
}

fn healthcheck() -> Result<(), Failure> {
    let address = Config::admin_addr(&Environment::from_process())
        .map_err(|problem| Failure::Unhealthy(problem.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(query_readiness(reachable(address)))
}

/// Queries `/readyz` once.
async fn query_readiness(admin: SocketAddr) -> Result<(), Failure> {
    let query = async {
        let client = outbound::client().timeout(Duration::from_secs(3)).build()?;
        let response = client.get(format!("http://{admin}/readyz")).send().await?;
        Ok::<_, reqwest::Error>((response.status(), response.text().await?))
    };
    match query.await {
        Ok((status, _)) if status.is_success() => Ok(()),
        Ok((status, body)) => Err(Failure::Unhealthy(format!("{status} {body}"))),
        Err(error) => Err(Failure::Unhealthy(outbound::innermost(&error))),
    }
}

#[cfg(feature = "dev")]
async fn wait_until_ready(admin: SocketAddr) -> Result<(), Failure> {
    let polling = async {
        while query_readiness(admin).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let late =
        |_| Failure::Unhealthy("the service did not fetch its signing keys from the emulator".to_owned());
    tokio::time::timeout(Duration::from_secs(10), polling)
        .await
        .map_err(late)
}

fn openapi() -> Result<(), Failure> {
    let config = Config::with_defaults(&Environment::from_process());
    print(
        shoutback::http::openapi_document(&config)
            .to_pretty_json()
            .map_err(std::io::Error::other)?,
    )
}

/// Unlike `println!`, it does not panic if stdout is closed.
fn print(text: impl Display) -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

/// Returns an address that reaches a listener on `address`: loopback for an unspecified IP address.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Documents every environment variable, for `--help`.
fn variables() -> String {
    let mut text = "Environment variables:\n".to_owned();
    for variable in Config::documentation() {
        _ = write!(
            text,
            "\n  {} [{}]\n      {}\n      Accepts {}.\n",
            variable.name, variable.default, variable.description, variable.accepts
        );
    }
    text.push_str(
        "\nExit codes: 0 clean shutdown, 2 invalid configuration or command line, 1 any other error.",
    );
    text
}
