//! Reads variables as they are declared, and collects problems and documentation on the way.
//!
//! An invalid value does not stop the pass: its default takes its place until all problems are reported.

use std::fmt;

use super::environment::Environment;
use super::value_parser::ValueParser;

/// The documented default of a variable that has no value by default.
pub(super) const UNSET: &str = "unset";

/// A problem with one variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable to change.
    pub variable: &'static str,
    /// What the variable accepts, or which other variable it conflicts with.
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
        let value = self.declare(name, "required", parser, description);
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
            self.problem(names[0], message.to_owned());
        }
    }

    fn declare<T>(
        &mut self,
        name: &'static str,
        default: &'static str,
        parser: ValueParser<T>,
        description: &'static str,
    ) -> Option<T> {
        let value = self
            .environment
            .get(name)
            // OpenTelemetry's specification: an empty value counts as unset.
            .filter(|value| !(name.starts_with("OTEL_") && value.to_str().is_some_and(is_blank)))
            .map(|value| value.to_str().and_then(|text| (parser.parse)(text.trim())));
        let read = match value {
            None => None,
            Some(Some(value)) => Some(value),
            Some(None) => {
                self.problem(name, format!("must be {}", parser.accepts));
                None
            }
        };
        self.documentation.push(Documentation {
            name,
            default,
            accepts: parser.accepts,
            description,
        });
        read
    }

    fn problem(&mut self, variable: &'static str, message: String) {
        self.problems.push(Problem { variable, message });
    }
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}
