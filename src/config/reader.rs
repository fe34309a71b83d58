//! Reads variables as they are declared, and collects problems and documentation on the way.
//!
//! An invalid value does not stop the pass: its default takes its place until all problems are reported.

use std::ffi::OsStr;
use std::fmt;

use super::environment::Environment;
use super::value_parser::{ValueParser, is_none};

/// The documented default of a variable that has no value by default.
pub(super) const UNSET: &str = "unset";
/// The documented default of a variable that must be set.
const REQUIRED: &str = "required";

/// A problem with one variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable to change.
    pub variable: &'static str,
    /// What the variable accepts, or which other variable it conflicts with, and what was read unless it may be secret.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.message)
    }
}

/// The documentation of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documentation {
    /// Its name.
    pub name: &'static str,
    /// Its default, or a description of what applies when it is unset.
    pub default: &'static str,
    /// The accepted values; completes the sentence "must be …".
    pub accepts: String,
    /// What it does, for the operator.
    pub description: &'static str,
    /// Whether its value may be a secret, which no message contains.
    pub may_be_secret: bool,
}

/// One pass over the variables.
pub(super) struct Reader<'a> {
    environment: &'a Environment,
    problems: Vec<Problem>,
    documentation: Vec<Documentation>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(environment: &'a Environment) -> Self {
        Self {
            environment,
            problems: Vec::new(),
            documentation: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> (Vec<Problem>, Vec<Documentation>) {
        (self.problems, self.documentation)
    }

    /// Reads a variable with a default. The default also replaces an invalid value until the problems are reported.
    pub(super) fn value<T>(
        &mut self,
        name: &'static str,
        default: &'static str,
        parser: ValueParser<T>,
        description: &'static str,
    ) -> T {
        let fallback = (parser.parse)(default).expect("every default is valid");
        self.declare(name, default, parser, description)
            .unwrap_or(fallback)
    }

    /// Reads an optional variable; `default` documents what applies when it is unset.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        default: &'static str,
        parser: ValueParser<T>,
        description: &'static str,
    ) -> Option<T> {
        self.declare(name, default, parser, description)
    }

    /// Reads a variable that must be set if `needed`.
    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        needed: bool,
        parser: ValueParser<T>,
        description: &'static str,
    ) -> Option<T> {
        let accepts = parser.accepts.clone();
        let value = self.declare(name, REQUIRED, parser, description);
        if needed && self.environment.get(name).is_none() {
            self.problem(name, format!("is required: set it to {accepts}"));
        }
        value
    }

    /// Returns whether no problem with `name` has been found so far.
    pub(super) fn is_valid(&self, name: &str) -> bool {
        !self.problems.iter().any(|problem| problem.variable == name)
    }

    /// Reports that `names[0]` conflicts with `names[1]` if `conflicts`, unless one of them is invalid itself.
    pub(super) fn conflict(&mut self, names: [&'static str; 2], conflicts: bool, message: &str) {
        if conflicts && names.into_iter().all(|name| self.is_valid(name)) {
            let [first, second] = names.map(|name| format!("{name} is {}", self.in_effect(name)));
            self.problem(names[0], format!("{message} ({first}, {second})"));
        }
    }

    /// Returns the value of a declared variable, or its default, for a message.
    fn in_effect(&self, name: &str) -> String {
        let declared = self.documentation.iter().find(|variable| variable.name == name);
        let (default, may_be_secret) = declared.map_or((UNSET, true), |variable| {
            (variable.default, variable.may_be_secret)
        });
        match self.environment.get(name).and_then(OsStr::to_str) {
            Some(text) if may_be_secret || has_credentials(text) => "not shown".to_owned(),
            Some(text) => quoted(text),
            None if default == UNSET || default == REQUIRED => UNSET.to_owned(),
            None => quoted(default),
        }
    }

    fn declare<T>(
        &mut self,
        name: &'static str,
        default: &'static str,
        parser: ValueParser<T>,
        description: &'static str,
    ) -> Option<T> {
        let set = self
            .environment
            .get(name)
            .map(OsStr::to_str)
            // OpenTelemetry's specification: an empty value counts as unset.
            .filter(|text| !(name.starts_with("OTEL_") && text.is_some_and(is_blank)));
        let read = set.and_then(|text| {
            let read = text.and_then(|text| (parser.parse)(text.trim()));
            if read.is_none() {
                let found = match text {
                    None => ", but is not valid Unicode".to_owned(),
                    Some(text) if parser.may_be_secret || has_credentials(text) => String::new(),
                    Some(text) => format!(", but is {}{}", quoted(text), advice(text, default)),
                };
                self.problem(name, format!("must be {}{found}", parser.accepts));
            }
            read
        });
        self.documentation.push(Documentation {
            name,
            default,
            accepts: parser.accepts,
            description,
            may_be_secret: parser.may_be_secret,
        });
        read
    }

    fn problem(&mut self, variable: &'static str, message: String) {
        self.problems.push(Problem { variable, message });
    }
}

/// Returns whether `text` looks like a URL with a user name and password, or with a query, which may contain a key.
fn has_credentials(text: &str) -> bool {
    text.contains('@') || (text.contains("://") && text.contains('?'))
}

/// Quotes a value for a message of one line.
fn quoted(text: &str) -> String {
    const MAX_CHARS: usize = 100;
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{:?}…", text.split_at(end).0),
        None => format!("{text:?}"),
    }
}

/// Returns what to do instead of setting a variable to `none`, which looks like the documented default of some variables.
fn advice(text: &str, default: &str) -> &'static str {
    if is_none(text) && default == UNSET {
        "; leave it unset for none"
    } else {
        ""
    }
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}
