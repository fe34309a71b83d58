//! Accepted and rejected texts of each parser.

use std::time::Duration;

use proptest::prelude::{ProptestConfig, any, proptest};

use super::{
    absolute_path, count, duration, list, number, parse_duration, parse_ratio, parse_size, rate_or_off,
    ratio, size,
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
    let parser = duration("1s", "1m");
    assert!((parser.parse)("1s").is_some() && (parser.parse)("60s").is_some());
    assert!((parser.parse)("999ms").is_none() && (parser.parse)("61s").is_none());
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
fn ratios() {
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
            parse_ratio(text).map(super::Ratio::millionths),
            Some(millionths),
            "{text}"
        );
    }
    for text in [
        "", "%", ".", "20", "101%", "-1%", "+1%", "1e-1", "0.1.1", "inf", "nan", "1/5",
    ] {
        assert_eq!(parse_ratio(text), None, "{text}");
    }
    assert!((ratio("1%", "50%").parse)("0.9%").is_none() && (ratio("1%", "50%").parse)("51%").is_none());
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
        let _ = (parse_duration(&text), parse_size(&text), parse_ratio(&text), (rate_or_off().parse)(&text));
    }

    #[test]
    fn formatted_values_are_parsed(number in 0..1_000_000_u64) {
        assert_eq!(parse_duration(&format!("{number}ms")), Some(Duration::from_millis(number)));
        assert_eq!(parse_size(&format!("{number}KiB")), Some(number as usize * 1024));
    }
}

#[test]
fn a_file_must_have_an_absolute_path() {
    let parse = absolute_path("/a").parse;
    assert!(parse("/var/log/shoutback.log").is_some());
    for text in [
        "",
        "shoutback.log",
        "./shoutback.log",
        "/",
        "/var/log/",
        "/var/log/.",
        "/var/log/..",
        "/a\0b",
    ] {
        assert!(parse(text).is_none(), "{text}");
    }
}
