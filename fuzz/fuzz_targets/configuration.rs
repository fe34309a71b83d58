//! Fuzzes the configuration. The input is lines of `NAME=value`; a secret is appended to the value of a line that starts with
//! `!`, if the variable may be secret.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use libfuzzer_sys::fuzz_target;
use shoutback::config::{Config, Environment};

/// A string that occurs in no variable's documentation.
const SECRET: &str = "s3cret";

fuzz_target!(|data: &[u8]| {
    let documentation = Config::documentation();
    let may_be_secret = |name: &str| {
        documentation
            .iter()
            .any(|variable| variable.may_be_secret && variable.name == name)
    };
    let mut environment = Environment::default();
    for line in data.split(|byte| *byte == b'\n') {
        let (marked, line) = match line.strip_prefix(b"!") {
            Some(line) => (true, line),
            None => (false, line),
        };
        let mut parts = line.splitn(2, |byte| *byte == b'=');
        if let (Some(name), Some(value)) = (parts.next(), parts.next())
            && let Ok(name) = str::from_utf8(name)
        {
            let secret = if marked && may_be_secret(name) { SECRET } else { "" };
            environment.set(name, OsStr::from_bytes(&[value, secret.as_bytes()].concat()));
        }
    }

    let admin_addr = Config::admin_addr(&environment);
    match Config::load(&environment) {
        Ok(loaded) => {
            assert_eq!(admin_addr, Ok(loaded.config.http.admin_addr));
            assert!(loaded.config.shoutcloud.deadline < loaded.config.http.request_timeout);
            assert!(loaded.config.shoutcloud.attempt_timeout <= loaded.config.shoutcloud.deadline);
        }
        Err(problems) => {
            assert!(!problems.0.is_empty());
            for problem in &problems.0 {
                assert!(
                    documentation
                        .iter()
                        .any(|variable| variable.name == problem.variable),
                    "{problem}"
                );
                assert!(!problem.to_string().contains(SECRET), "{problem}");
            }
        }
    }
});
