//! The forms a variable's text can have: how it is read, and how that is said to a person.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

type Parse<T> = dyn Fn(&str) -> Option<T>;

/// A readable form.
pub(super) struct Form<T> {
    /// Completes the sentence "must be …".
    pub(super) accepts: String,
    pub(super) parse: Box<Parse<T>>,
}

impl<T> Form<T> {
    pub(super) fn new(accepts: impl Into<String>, parse: impl Fn(&str) -> Option<T> + 'static) -> Self {
        Self {
            accepts: accepts.into(),
            parse: Box::new(parse),
        }
    }
}

/// An address to listen on.
pub(super) fn address() -> Form<SocketAddr> {
    Form::new(
        "an IP address and a port, such as 0.0.0.0:5000 or [::]:5000",
        |text| text.parse().ok(),
    )
}

/// `500ms`, `2s`, `10m`, `1h`, `7d`, bounded on both sides.
pub(super) fn duration(at_least: &'static str, at_most: &'static str) -> Form<Duration> {
    let bound = |text| parse_duration(text).expect("a bound is a duration");
    let range = bound(at_least)..=bound(at_most);
    Form::new(
        format!("a duration from {at_least} to {at_most}, such as 500ms, 2s or 1h"),
        move |text| parse_duration(text).filter(|duration| range.contains(duration)),
    )
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

/// `512`, `64KiB`, `32MiB`, bounded on both sides.
pub(super) fn size(at_least: &'static str, at_most: &'static str) -> Form<usize> {
    let bound = |text| parse_size(text).expect("a bound is a size");
    let range = bound(at_least)..=bound(at_most);
    Form::new(
        format!("a size from {at_least} to {at_most}, such as 512B, 64KiB or 32MiB"),
        move |text| parse_size(text).filter(|size| range.contains(size)),
    )
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

/// A whole number from 1 on.
pub(super) fn count(at_most: u32) -> Form<NonZeroU32> {
    let Form { accepts, parse } = number(1, at_most);
    Form {
        accepts,
        parse: Box::new(move |text| parse(text).and_then(NonZeroU32::new)),
    }
}

/// A whole number, bounded on both sides.
pub(super) fn number(at_least: u32, at_most: u32) -> Form<u32> {
    Form::new(
        format!("a whole number from {at_least} to {at_most}"),
        move |text| {
            let (number, unit) = split_number(text)?;
            let number = u32::try_from(number).ok().filter(|_| unit.is_empty())?;
            (at_least..=at_most).contains(&number).then_some(number)
        },
    )
}

/// A share of a whole, to a millionth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    millionths: u32,
}

impl Share {
    /// The whole is a million.
    pub fn millionths(self) -> u32 {
        self.millionths
    }

    /// A share of so many millionths.
    pub const fn of_millionths(millionths: u32) -> Self {
        Self { millionths }
    }
}

/// `20%` or `0.2`, bounded on both sides.
pub(super) fn share(at_least: &'static str, at_most: &'static str) -> Form<Share> {
    let bound = |text| parse_share(text).expect("a bound is a share");
    let range = bound(at_least)..=bound(at_most);
    Form::new(
        format!("a share from {at_least} to {at_most}, such as 20% or 0.2"),
        move |text| parse_share(text).filter(|share| range.contains(share)),
    )
}

fn parse_share(text: &str) -> Option<Share> {
    let (number, whole) = match text.strip_suffix('%') {
        Some(percent) => (percent.trim_end(), 100.0),
        None => (text, 1.0),
    };
    // Rust reads "inf", "1e3" and "+1" as numbers, too.
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    let points = number.bytes().filter(|byte| *byte == b'.').count();
    if digits == 0 || points > 1 || digits + points != number.len() {
        return None;
    }
    let share = number.parse::<f64>().ok()? / whole;
    (share <= 1.0).then(|| Share {
        millionths: (share * 1e6).round() as u32,
    })
}

/// How often: a number and the time it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) number: NonZeroU32,
    pub(super) every: Duration,
}

/// `100/s`, `30/m`, `1000/h`, or `off`.
pub(super) fn rate_or_off() -> Form<Option<Rate>> {
    Form::new(
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

/// One of a few words.
pub(super) fn one_of<T: Copy + 'static>(words: &'static [(&'static str, T)]) -> Form<T> {
    let names: Vec<_> = words.iter().map(|(name, _)| *name).collect();
    Form::new(format!("one of {}", names.join(", ")), move |text| {
        words
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, value)| *value)
    })
}

/// Comma-separated, each item accepted by `item`, none twice.
pub(super) fn list(may_be_empty: bool, items: &str, item: fn(&str) -> bool) -> Form<Vec<String>> {
    let empty = if may_be_empty { ", or empty" } else { "" };
    Form::new(
        format!("a comma-separated list of {items}, none twice{empty}"),
        move |text| {
            if text.is_empty() {
                return may_be_empty.then(Vec::new);
            }
            let mut read: Vec<String> = Vec::new();
            for part in text.split(',').map(str::trim) {
                if !item(part) || read.iter().any(|earlier| earlier == part) {
                    return None;
                }
                read.push(part.to_owned());
            }
            Some(read)
        },
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{ProptestConfig, any, proptest};

    use super::{
        count, duration, list, number, parse_duration, parse_share, parse_size, rate_or_off, share, size,
    };

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("2s", 2_000),
            ("10m", 600_000),
            ("1h", 3_600_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Some(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "+1s",
            "1.5s",
            "1 week",
            "1S",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        let form = duration("1s", "1m");
        assert!((form.parse)("1s").is_some() && (form.parse)("60s").is_some());
        assert!((form.parse)("999ms").is_none() && (form.parse)("61s").is_none());
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("64KiB", 65_536),
            ("32MiB", 33_554_432),
            ("1 GiB", 1 << 30),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "KiB", "64kb", "64KB", "-1", "1.5KiB", "99999999999999999999"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
        assert!((size("1B", "1KiB").parse)("1025").is_none());
    }

    #[test]
    fn rates() {
        let parse = rate_or_off().parse;
        assert_eq!(parse("off"), Some(None));
        let rate = parse("30/m").flatten().expect("a rate");
        assert_eq!((rate.number.get(), rate.every.as_secs()), (30, 60));
        for text in ["", "0/s", "100", "100/d", "-1/s", "1000001/s", "Off"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn shares() {
        for (text, millionths) in [
            ("20%", 200_000),
            ("0.2", 200_000),
            ("0", 0),
            ("0%", 0),
            ("1", 1_000_000),
            ("100%", 1_000_000),
            ("12.5 %", 125_000),
            (".5", 500_000),
        ] {
            assert_eq!(
                parse_share(text).map(super::Share::millionths),
                Some(millionths),
                "{text}"
            );
        }
        for text in [
            "", "%", ".", "20", "101%", "-1%", "+1%", "1e-1", "0.1.1", "inf", "nan", "1/5",
        ] {
            assert_eq!(parse_share(text), None, "{text}");
        }
        assert!((share("1%", "50%").parse)("0.9%").is_none() && (share("1%", "50%").parse)("51%").is_none());
    }

    #[test]
    fn numbers() {
        let parse = number(0, 10).parse;
        assert_eq!((parse("0"), parse("10")), (Some(0), Some(10)));
        for text in ["", "11", "-1", "+1", "1.0", "1B", "99999999999999999999"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert!((count(10).parse)("1").is_some());
        for text in ["0", "+1", "11"] {
            assert_eq!((count(10).parse)(text), None, "{text}");
        }
    }

    #[test]
    fn lists() {
        let parse = list(false, "words", |word| !word.is_empty()).parse;
        assert_eq!(parse("a, b"), Some(vec!["a".to_owned(), "b".to_owned()]));
        for text in ["", "a,", "a,,b", ",", "a,a"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = (parse_duration(&text), parse_size(&text), parse_share(&text), (rate_or_off().parse)(&text));
        }

        #[test]
        fn what_is_written_is_read(number in 0..1_000_000_u64) {
            assert_eq!(parse_duration(&format!("{number}ms")), Some(Duration::from_millis(number)));
            assert_eq!(parse_size(&format!("{number}KiB")), Some(number as usize * 1024));
        }
    }
}
