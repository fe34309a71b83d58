//! Lua scripts that the server executes as one step.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use redis::Cmd;

/// A script with one key.
pub struct Script {
    text: &'static str,
    digest: String,
}

impl Script {
    /// Creates a script.
    pub fn new(text: &'static str) -> Self {
        Self {
            text,
            digest: hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()).as_ref()),
        }
    }

    /// Returns the command by which a server that has the script executes it.
    pub(super) fn by_digest(&self, key: &str, arguments: &[&str]) -> Cmd {
        command("EVALSHA", &self.digest, key, arguments)
    }

    /// Returns the command by which a server executes the script and stores it.
    pub(super) fn by_text(&self, key: &str, arguments: &[&str]) -> Cmd {
        command("EVAL", self.text, key, arguments)
    }
}

fn command(name: &str, script: &str, key: &str, arguments: &[&str]) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(script).arg(1).arg(key).arg(arguments);
    command
}

/// Returns `bytes` in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::Script;

    #[test]
    fn the_digest_is_the_one_that_servers_compute() {
        let command = Script::new("return 1").by_digest("k", &["a"]);
        let packed = String::from_utf8(command.get_packed_command()).expect("text");
        assert!(
            packed.contains("e0e1f9fabfc9d4800c877a703b823ac0578ff8db"),
            "{packed}"
        );
    }
}
