//! Reads declared variables, collects problems and documentation.

use std::fmt;

use super::Environment;
use super::form::Form;

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable to change.
    pub variable: &'static str,
    /// What it accepts, or what it contradicts.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.message)
    }
}

/// What a user is told of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documentation {
    /// The variable's name.
    pub name: &'static str,
    /// The value it has when unset, or what holds then.
    pub default: &'static str,
    /// Which values can be read.
    pub accepts: String,
    /// What it does.
    pub meaning: &'static str,
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

    /// A variable with a default, which stands in for a value that cannot be read until the problems are reported.
    pub(super) fn value<T>(
        &mut self,
        name: &'static str,
        default: &'static str,
        form: Form<T>,
        meaning: &'static str,
    ) -> T {
        let fallback = (form.parse)(default).expect("a default is of its variable's form");
        self.declare(name, default, form, meaning).unwrap_or(fallback)
    }

    /// A variable that may be left out; `default` says what holds then.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        default: &'static str,
        form: Form<T>,
        meaning: &'static str,
    ) -> Option<T> {
        self.declare(name, default, form, meaning)
    }

    /// A variable that has to be set when `needed`.
    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        needed: bool,
        form: Form<T>,
        meaning: &'static str,
    ) -> Option<T> {
        let accepts = form.accepts.clone();
        let value = self.declare(name, "required", form, meaning);
        if needed && !self.environment.0.contains_key(name) {
            self.problem(name, format!("is required: set it to {accepts}"));
        }
        value
    }

    /// Whether nothing is wrong with `name` so far.
    pub(super) fn is_readable(&self, name: &str) -> bool {
        !self.problems.iter().any(|problem| problem.variable == name)
    }

    /// Reports that `names[0]` contradicts `names[1]`, unless one of them could not be read in the first place.
    pub(super) fn contradiction(&mut self, names: [&'static str; 2], contradicts: bool, message: &str) {
        if contradicts && names.into_iter().all(|name| self.is_readable(name)) {
            self.problem(names[0], message.to_owned());
        }
    }

    fn declare<T>(
        &mut self,
        name: &'static str,
        default: &'static str,
        form: Form<T>,
        meaning: &'static str,
    ) -> Option<T> {
        let value = self
            .environment
            .0
            .get(name)
            // OpenTelemetry's specification says so of its variables.
            .filter(|value| !(name.starts_with("OTEL_") && value.to_str().is_some_and(is_blank)))
            .map(|value| value.to_str().and_then(|text| (form.parse)(text.trim())));
        let read = match value {
            None => None,
            Some(Some(value)) => Some(value),
            Some(None) => {
                self.problem(name, format!("must be {}", form.accepts));
                None
            }
        };
        self.documentation.push(Documentation {
            name,
            default,
            accepts: form.accepts,
            meaning,
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
