//! Parsers for variable values, each with a description of what it accepts for error messages and `--help`.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

type Parse<T> = dyn Fn(&str) -> Option<T>;

/// Parses the value of a variable.
pub(super) struct ValueParser<T> {
    /// Completes the sentence "must be …".
    pub(super) accepts: String,
    pub(super) parse: Box<Parse<T>>,
    /// Whether no message may contain the value.
    pub(super) may_be_secret: bool,
}

impl<T> ValueParser<T> {
    pub(super) fn new(accepts: impl Into<String>, parse: impl Fn(&str) -> Option<T> + 'static) -> Self {
        Self {
            accepts: accepts.into(),
            parse: Box::new(parse),
            may_be_secret: false,
        }
    }

    /// Excludes the value from messages.
    pub(super) fn secret(mut self) -> Self {
        self.may_be_secret = true;
        self
    }
}

/// Accepts an absolute path of a file. A relative one would depend on the working directory of the process.
pub(super) fn absolute_path(example: &str) -> ValueParser<PathBuf> {
    ValueParser::new(format!("an absolute path of a file, such as {example}"), |text| {
        let is_file = text.starts_with('/') && !text.ends_with(['/', '.']) && !text.contains('\0');
        is_file.then(|| text.into())
    })
}

/// Accepts an address to listen on.
pub(super) fn address() -> ValueParser<SocketAddr> {
    ValueParser::new("an IP address and a port", |text| text.parse().ok())
}

/// Accepts a duration such as `500ms`, `2s`, `10m`, `1h` or `7d`, within bounds.
pub(super) fn duration(at_least: &'static str, at_most: &'static str) -> ValueParser<Duration> {
    let bound = |text| parse_duration(text).expect("a bound is a duration");
    let range = bound(at_least)..=bound(at_most);
    ValueParser::new(format!("a duration from {at_least} to {at_most}"), move |text| {
        parse_duration(text).filter(|duration| range.contains(duration))
    })
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_number(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.checked_mul(milliseconds)?))
}

/// Accepts a size such as `512`, `64KiB` or `32MiB`, within bounds.
pub(super) fn size(at_least: &'static str, at_most: &'static str) -> ValueParser<usize> {
    let bound = |text| parse_size(text).expect("a bound is a size");
    let range = bound(at_least)..=bound(at_most);
    ValueParser::new(format!("a size from {at_least} to {at_most}"), move |text| {
        parse_size(text).filter(|size| range.contains(size))
    })
}

fn parse_size(text: &str) -> Option<usize> {
    let (number, unit) = split_number(text)?;
    let bytes = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    usize::try_from(number.checked_mul(bytes)?).ok()
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}

/// Accepts a whole number of at least 1.
pub(super) fn count(at_most: u32) -> ValueParser<NonZeroU32> {
    let ValueParser { accepts, parse, .. } = number(1, at_most);
    ValueParser::new(accepts, move |text| parse(text).and_then(NonZeroU32::new))
}

/// Accepts a whole number within bounds.
pub(super) fn number(at_least: u32, at_most: u32) -> ValueParser<u32> {
    ValueParser::new(
        format!("a whole number from {at_least} to {at_most}"),
        move |text| {
            let (number, unit) = split_number(text)?;
            let number = u32::try_from(number).ok().filter(|_| unit.is_empty())?;
            (at_least..=at_most).contains(&number).then_some(number)
        },
    )
}

/// A ratio from 0 to 1, with a resolution of one millionth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ratio {
    millionths: u32,
}

impl Ratio {
    /// Returns the ratio in millionths; 1,000,000 is the whole.
    pub fn millionths(self) -> u32 {
        self.millionths
    }

    /// Creates a ratio of `millionths` / 1,000,000.
    pub const fn from_millionths(millionths: u32) -> Self {
        Self { millionths }
    }
}

/// Accepts a ratio such as `20%` or `0.2`, within bounds.
pub(super) fn ratio(at_least: &'static str, at_most: &'static str) -> ValueParser<Ratio> {
    let bound = |text| parse_ratio(text).expect("a bound is a ratio");
    let range = bound(at_least)..=bound(at_most);
    ValueParser::new(
        format!("a ratio from {at_least} to {at_most}, such as 20% or 0.2"),
        move |text| parse_ratio(text).filter(|ratio| range.contains(ratio)),
    )
}

fn parse_ratio(text: &str) -> Option<Ratio> {
    let (number, whole) = match text.strip_suffix('%') {
        Some(percent) => (percent.trim_end(), 100.0),
        None => (text, 1.0),
    };
    // `f64::from_str` also accepts "inf", "1e3" and "+1".
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    let points = number.bytes().filter(|byte| *byte == b'.').count();
    if digits == 0 || points > 1 || digits + points != number.len() {
        return None;
    }
    let ratio = number.parse::<f64>().ok()? / whole;
    (ratio <= 1.0).then(|| Ratio {
        millionths: (ratio * 1e6).round() as u32,
    })
}

/// A rate: `number` per `every`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) number: NonZeroU32,
    pub(super) every: Duration,
}

/// Accepts a rate such as `100/s`, `30/m` or `1000/h`, or `off`.
pub(super) fn rate_or_off() -> ValueParser<Option<Rate>> {
    ValueParser::new(
        "a rate from 1/h to 1000000/s, such as 100/s or 30/m, or off",
        |text| {
            if text == "off" {
                return Some(None);
            }
            let (number, unit) = text.split_once('/')?;
            let number = number
                .trim()
                .parse::<NonZeroU32>()
                .ok()
                .filter(|number| number.get() <= 1_000_000)?;
            let every = match unit.trim() {
                "s" => Duration::from_secs(1),
                "m" => Duration::from_secs(60),
                "h" => Duration::from_secs(3600),
                _ => return None,
            };
            Some(Some(Rate { number, every }))
        },
    )
}

/// Accepts one of `words`.
pub(super) fn one_of<T: Copy + 'static>(words: &'static [(&'static str, T)]) -> ValueParser<T> {
    let names: Vec<_> = words.iter().map(|(name, _)| *name).collect();
    ValueParser::new(format!("one of {}", names.join(", ")), move |text| {
        words
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, value)| *value)
    })
}

/// Accepts a comma-separated list without duplicates whose items all satisfy `is_valid`. An item `none` is rejected, because it
/// usually means an empty list.
pub(super) fn list(may_be_empty: bool, items: &str, is_valid: fn(&str) -> bool) -> ValueParser<Vec<String>> {
    let empty = if may_be_empty { ", or empty" } else { "" };
    ValueParser::new(
        format!("a comma-separated list of {items}, without duplicates{empty}"),
        move |text| {
            if text.is_empty() {
                return may_be_empty.then(Vec::new);
            }
            let mut read: Vec<String> = Vec::new();
            for part in text.split(',').map(str::trim) {
                if !is_valid(part) || is_none(part) || read.iter().any(|earlier| earlier == part) {
                    return None;
                }
                read.push(part.to_owned());
            }
            Some(read)
        },
    )
}

/// Returns whether `text` is the word `none`, which is never the name of a group, an audience or a client.
pub(super) fn is_none(text: &str) -> bool {
    text.trim().eq_ignore_ascii_case("none")
}
