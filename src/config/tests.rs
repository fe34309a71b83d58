//! The whole configuration: defaults, problems, conflicts, warnings, and the documentation of variables.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use super::{Config, Environment, Loaded};

const COGNITO: [(&str, &str); 2] = [
    ("COGNITO_USER_POOL_IDS", "us-east-2_AbCdEfGhI"),
    ("COGNITO_CLIENT_IDS", "app1"),
];

fn load(more: &[(&str, &str)]) -> Result<Loaded, Vec<String>> {
    let mut environment = Environment::from(COGNITO);
    for (name, value) in more {
        environment.set(name, value);
    }
    Config::load(&environment).map_err(|problems| problems.0.iter().map(ToString::to_string).collect())
}

#[test]
fn an_empty_environment_reports_both_required_variables() {
    let problems = Config::load(&Environment::default())
        .expect_err("Cognito is required")
        .to_string();
    assert_eq!(problems.lines().count(), 2, "{problems}");
    assert!(
        problems.contains("COGNITO_USER_POOL_IDS: is required"),
        "{problems}"
    );
    assert!(problems.contains("COGNITO_CLIENT_IDS: is required"), "{problems}");
}

#[test]
fn defaults_match_the_documentation() {
    let config = load(&[]).expect("the minimum").config;
    assert_eq!(config.http.http_addr.to_string(), "0.0.0.0:5000");
    assert_eq!(config.http.max_body_bytes, 65_536);
    assert_eq!(config.shoutcloud.deadline.as_secs(), 5);
    let super::Auth::Cognito(cognito) = config.auth else {
        panic!("Cognito is the default")
    };
    assert_eq!(
        cognito.pools[0].issuer,
        "https://cognito-idp.us-east-2.amazonaws.com/us-east-2_AbCdEfGhI"
    );
    assert_eq!(cognito.required_scopes, ["shoutback/shout"]);
}

#[test]
fn connecting_takes_no_longer_than_an_attempt() {
    // Otherwise the first address of a host that does not react uses up every attempt.
    for (connect, attempt, expected) in [("1s", "300ms", 300), ("10s", "2s", 2_000), ("1s", "2s", 1_000)] {
        let variables = [
            ("SHOUTCLOUD_CONNECT_TIMEOUT", connect),
            ("SHOUTCLOUD_ATTEMPT_TIMEOUT", attempt),
            ("BREAKER_SLOW_CALL", attempt),
        ];
        let config = load(&variables).expect("valid").config.shoutcloud;
        assert_eq!(
            config.connect_timeout.as_millis(),
            expected,
            "{connect} {attempt}"
        );
    }
}

#[test]
fn all_problems_are_reported_together_with_what_was_read() {
    let problems = load(&[
        ("HTTP_ADDR", "localhost"),
        ("REQUEST_TIMEOUT", "soon"),
        ("MAX_BODY_BYTES", "-1"),
        ("AUTH_MODE", "on"),
        ("COGNITO_USER_POOL_IDS", "my pool"),
        ("COGNITO_ENDPOINT", "http://idp.example"),
        ("RATE_LIMIT_PER_CLIENT", "fast"),
        ("LOG_FORMAT", "xml\nHTTP_ADDR: s"),
    ])
    .expect_err("eight problems");
    let endings = [
        r#", but is "localhost""#,
        r#", but is "-1""#,
        r#", but is "soon""#,
        r#", but is "on""#,
        r#", but is "my pool""#,
        r#", but is "http://idp.example""#,
        r#", but is "fast""#,
        r#", but is "xml\nHTTP_ADDR: s""#,
    ];
    assert_eq!(problems.len(), endings.len(), "{problems:#?}");
    for (problem, ending) in problems.iter().zip(endings) {
        assert!(problem.contains(": must be "), "{problem}");
        assert!(problem.ends_with(ending), "{problem}");
    }
}

#[test]
fn what_may_be_secret_is_never_part_of_a_problem() {
    for (name, value) in [
        ("SHOUTCLOUD_URL", "ftp://s3cret"),
        ("SHOUTCLOUD_URL", "s3cret"),
        ("SHOUTCLOUD_URL", "http://user:s3cret@api.example.com"),
        ("COGNITO_ENDPOINT", "https://user:s3cret@idp.example.com"),
        ("COGNITO_ENDPOINT", "user:s3cret@idp.example.com"),
        ("COGNITO_JWKS_ENDPOINT", "https://idp.example.com?key=s3cret"),
        ("DOCS_COGNITO_DOMAIN", "http://user:s3cret@127.0.0.1"),
        ("VALKEY_URL", "redis://user:s3cret@cache:port"),
        ("VALKEY_URL", "s3cret"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "s3cret"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "s3cret"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "authorization=s3cret%0A"),
    ] {
        let problems = load(&[(name, value)]).expect_err(name);
        assert!(
            problems[0].starts_with(&format!("{name}: must be ")),
            "{problems:?}"
        );
        assert!(!problems.concat().contains("s3cret"), "{problems:?}");
    }
}

#[test]
fn long_values_are_shortened() {
    let problems = load(&[("REQUEST_TIMEOUT", &"é".repeat(101))]).expect_err("not a duration");
    assert!(
        problems[0].ends_with(&format!("\"{}\"…", "é".repeat(100))),
        "{problems:?}"
    );
}

#[test]
fn conflicts_name_both_values() {
    let problems = load(&[("SHOUTCLOUD_DEADLINE", "40s")]).expect_err("longer than REQUEST_TIMEOUT");
    assert!(
        problems[0].ends_with(r#"(SHOUTCLOUD_DEADLINE is "40s", REQUEST_TIMEOUT is "30s")"#),
        "{problems:?}"
    );
    let problems = load(&[("DOCS_CLIENT_ID", "app1")]).expect_err("no domain");
    assert!(
        problems[0].ends_with(r#"(DOCS_COGNITO_DOMAIN is unset, DOCS_CLIENT_ID is "app1")"#),
        "{problems:?}"
    );
}

#[test]
fn none_is_not_a_name() {
    for name in [
        "COGNITO_USER_POOL_IDS",
        "COGNITO_CLIENT_IDS",
        "COGNITO_ADDITIONAL_REGIONS",
        "AUTH_REQUIRED_SCOPES",
        "AUTH_ALLOWED_GROUPS",
        "AUTH_AUDIENCES",
        "LOG_FILE",
        "DOCS_CLIENT_ID",
        "DOCS_COGNITO_DOMAIN",
        "COGNITO_ENDPOINT",
        "OTEL_RESOURCE_ATTRIBUTES",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "VALKEY_PASSWORD_FILE",
        "VALKEY_URL",
    ] {
        for none in ["none", "None", " NONE "] {
            let problems = load(&[(name, none)]).expect_err(name);
            assert!(
                problems[0].starts_with(&format!("{name}: must be")),
                "{problems:?}"
            );
        }
    }
    for name in [
        "AUTH_ALLOWED_GROUPS",
        "AUTH_AUDIENCES",
        "LOG_FILE",
        "DOCS_CLIENT_ID",
    ] {
        let problems = load(&[(name, "none")]).expect_err(name);
        assert!(
            problems[0].ends_with(r#"but is "none"; leave it unset for none"#),
            "{problems:?}"
        );
    }
    assert!(load(&[("AUTH_ALLOWED_GROUPS", "loud,none")]).is_err());
    assert!(load(&[("AUTH_ALLOWED_GROUPS", "nonesuch")]).is_ok());
    assert!(load(&[("SHOUTCLOUD_FALLBACK", "none"), ("OTEL_PROPAGATORS", "none")]).is_ok());
}

#[test]
fn conflicting_values_are_problems() {
    for (variables, variable) in [
        (
            &[("SHOUTCLOUD_ATTEMPT_TIMEOUT", "6s")][..],
            "SHOUTCLOUD_ATTEMPT_TIMEOUT",
        ),
        (&[("SHOUTCLOUD_DEADLINE", "30s")], "SHOUTCLOUD_DEADLINE"),
        (&[("BREAKER_SLOW_CALL", "2001ms")], "BREAKER_SLOW_CALL"),
        (
            &[
                ("BREAKER_SLOW_CALL", "1s"),
                ("SHOUTCLOUD_ATTEMPT_TIMEOUT", "999ms"),
            ],
            "BREAKER_SLOW_CALL",
        ),
        (&[("HTTP_ADDR", "127.0.0.1:9090")], "ADMIN_ADDR"),
        (&[("COGNITO_JWKS_MAX_STALE", "5m")], "COGNITO_JWKS_MAX_STALE"),
        (&[("CACHE_SHARED", "on")], "CACHE_SHARED"),
        (
            &[
                ("CACHE_SHARED", "on"),
                ("CACHE_CAPACITY", "0"),
                ("VALKEY_URL", "redis://cache"),
            ],
            "CACHE_SHARED",
        ),
        (
            &[("VALKEY_PASSWORD_FILE", "/run/password")],
            "VALKEY_PASSWORD_FILE",
        ),
        (
            &[
                ("VALKEY_PASSWORD_FILE", "/run/password"),
                ("VALKEY_URL", "redis://:s3cret@cache"),
            ],
            "VALKEY_PASSWORD_FILE",
        ),
        (&[("DOCS_CLIENT_ID", "app1")], "DOCS_COGNITO_DOMAIN"),
        (&[("DOCS_COGNITO_DOMAIN", "auth.example.com")], "DOCS_CLIENT_ID"),
        (
            &[
                ("DOCS_COGNITO_DOMAIN", "auth.example.com"),
                ("DOCS_CLIENT_ID", "app2"),
            ],
            "DOCS_CLIENT_ID",
        ),
    ] {
        let problems = load(variables).expect_err(variable);
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(problems[0].starts_with(variable), "{problems:#?}");
    }
    let problems =
        load(&[("SHOUTCLOUD_DEADLINE", "x"), ("REQUEST_TIMEOUT", "1s")]).expect_err("one bad value");
    assert_eq!(
        problems.len(),
        1,
        "no conflict is reported with a value that is invalid itself: {problems:#?}"
    );
}

#[test]
fn a_region_of_no_known_partition_needs_an_endpoint() {
    let pool = (
        "COGNITO_USER_POOL_IDS",
        "us-east-2_AbCdEfGhI,xx-north-1_AbCdEfGhI",
    );
    let problems = load(&[pool]).expect_err("an unknown region");
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].starts_with("COGNITO_USER_POOL_IDS"), "{problems:#?}");
    assert!(problems[0].contains("COGNITO_ENDPOINT"), "{problems:#?}");

    let keys = ("COGNITO_JWKS_ENDPOINT", "https://keys.example.com");
    assert_eq!(
        load(&[pool, keys]).expect_err("the issuer is still unknown"),
        problems
    );

    let loaded = load(&[pool, ("COGNITO_ENDPOINT", "https://idp.example.com")]);
    let super::Auth::Cognito(cognito) = loaded.expect("the issuer is known").config.auth else {
        panic!("Cognito is the default")
    };
    assert_eq!(
        cognito.pools[1].issuer,
        "https://idp.example.com/xx-north-1_AbCdEfGhI"
    );
    assert!(cognito.pools.iter().all(|pool| pool.other_issuers.is_empty()));
}

#[test]
fn additional_regions_belong_to_the_partition_of_a_pool_in_aws() {
    assert!(load(&[("COGNITO_ADDITIONAL_REGIONS", "us-west-2")]).is_ok());
    assert!(load(&[("COGNITO_ADDITIONAL_REGIONS", "")]).is_ok());
    for variables in [
        &[("COGNITO_ADDITIONAL_REGIONS", "xx-north-1")][..],
        &[("COGNITO_ADDITIONAL_REGIONS", "us-west-2,cn-north-1")],
        &[
            ("COGNITO_ADDITIONAL_REGIONS", "us-west-2"),
            ("COGNITO_ENDPOINT", "https://idp.example.com"),
        ],
    ] {
        let problems = load(variables).expect_err("not a region of the pool");
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(
            problems[0].starts_with("COGNITO_ADDITIONAL_REGIONS"),
            "{problems:#?}"
        );
    }
}

#[test]
fn the_slow_call_rule_is_off_at_the_attempt_timeout_and_its_default_never_conflicts() {
    for (variables, slow_call) in [
        (&[][..], None),
        (&[("SHOUTCLOUD_ATTEMPT_TIMEOUT", "500ms")], None),
        (&[("SHOUTCLOUD_ATTEMPT_TIMEOUT", "3s")], Some(2_000)),
        (&[("BREAKER_SLOW_CALL", "1999ms")], Some(1_999)),
        (&[("BREAKER_SLOW_CALL", "2s")], None),
    ] {
        let config = load(variables).expect("valid").config;
        let slow_call = slow_call.map(std::time::Duration::from_millis);
        assert_eq!(config.shoutcloud.breaker.slow_call, slow_call, "{variables:?}");
    }
}

#[test]
fn sign_in_requires_a_domain_and_a_client() {
    assert_eq!(load(&[]).expect("the minimum").config.sign_in, None);
    let config = load(&[
        ("DOCS_COGNITO_DOMAIN", "auth.example.com"),
        ("DOCS_CLIENT_ID", "app1"),
    ]);
    let sign_in = config.expect("valid").config.sign_in.expect("both are set");
    assert_eq!(sign_in.origin, "https://auth.example.com");
    assert_eq!(sign_in.client_id, "app1");
}

#[test]
fn disabled_authentication_requires_no_cognito_variables() {
    let environment = Environment::from([("AUTH_MODE", "disabled")]);
    assert!(matches!(
        Config::load(&environment).expect("allowed").config.auth,
        super::Auth::Disabled
    ));
}

#[test]
fn an_empty_value_is_a_problem_unless_the_list_may_be_empty() {
    assert!(load(&[("AUTH_REQUIRED_SCOPES", ""), ("AUTH_ALLOWED_GROUPS", "")]).is_ok());
    assert!(load(&[("REQUEST_TIMEOUT", "")]).is_err());
    assert!(load(&[("COGNITO_CLIENT_IDS", " , ")]).is_err());
}

#[test]
fn a_body_has_at_most_1_mib() {
    // Text is processed on the threads that also serve probes.
    assert!(load(&[("MAX_BODY_BYTES", "1MiB")]).is_ok());
    for size in ["1048577", "1025KiB", "2MiB", "16MiB"] {
        let problems = load(&[("MAX_BODY_BYTES", size)]).expect_err(size);
        assert!(problems[0].contains("from 1B to 1MiB"), "{problems:?}");
    }
}

#[test]
fn a_value_that_is_not_unicode_is_a_problem() {
    let mut environment = Environment::from(COGNITO);
    environment.set("HTTP_ADDR", OsString::from_vec(vec![0xff]));
    assert!(Config::load(&environment).is_err());
}

#[test]
fn unknown_variables_with_known_prefixes_cause_warnings() {
    for (name, suggestion) in [
        ("COGNITO_CLIENT_ID", Some("COGNITO_CLIENT_IDS")),
        ("COGNITO_POOL_IDS", Some("COGNITO_USER_POOL_IDS")),
        ("AUTH_AUDIENCE", Some("AUTH_AUDIENCES")),
        ("MAX_BODY_SIZE", Some("MAX_BODY_BYTES")),
        ("HTTP_ADDRESS", Some("HTTP_ADDR")),
        ("CACHE_TLT", Some("CACHE_TTL")),
        ("SHOUTCLOUD_RETRIES", Some("SHOUTCLOUD_MAX_RETRIES")),
        ("OTEL_SERVICE_NAMES", Some("OTEL_SERVICE_NAME")),
        ("OTEL_PROPAGATOR", Some("OTEL_PROPAGATORS")),
        ("OTEL_EXPORTER_OTLP_ENDPIONT", Some("OTEL_EXPORTER_OTLP_ENDPOINT")),
        ("SHOUTCLOUD_SERVICE_HOST", None),
        ("CACHE_X", None),
        ("AUTH_", None),
    ] {
        let loaded = load(&[(name, "s3cret"), ("PATH", "x")]).expect("only a warning");
        let [warning] = &loaded.warnings[..] else {
            panic!("{name}: {:?}", loaded.warnings)
        };
        let ending = suggestion.map_or("see shoutback --help".to_owned(), |known| {
            format!("did you mean {known}?")
        });
        assert!(warning.starts_with(&format!("{name} ")), "{warning}");
        assert!(warning.ends_with(&ending), "{warning}");
        assert!(!warning.contains("s3cret"), "{warning}");
    }
}

#[test]
fn variables_of_other_programs_cause_no_warnings() {
    let loaded = load(&[
        ("HTTP_PROXY", "x"),
        ("PATH", "x"),
        ("OTEL_LOGS_EXPORTER", "x"),
        ("OTEL_METRICS_EXPORTER", "x"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "x"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "x"),
        ("OTEL_PYTHON_LOG_LEVEL", "x"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "x"),
        ("OTEL_CONFIG_FILE", "x"),
    ])
    .expect("valid");
    assert_eq!(loaded.warnings, [""; 0]);
}

#[test]
fn the_documentation_page_lists_every_variable_and_no_other() {
    let page = include_str!("../../docs/configuration.md");
    let row = |v: &super::Documentation| {
        let default = match v.default {
            special @ ("unset" | "required") => format!("*{special}*"),
            value => format!("`{value}`"),
        };
        format!(
            "| `{}` | {default} | {} Accepts {}. |",
            v.name, v.description, v.accepts
        )
    };
    let expected: Vec<_> = Config::documentation().iter().map(row).collect();
    let found: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("| `") && line.contains("Accepts"))
        .collect();
    assert_eq!(found, expected, "the table should be:\n{}", expected.join("\n"));
}

#[test]
fn every_variable_is_documented_once() {
    let documentation = Config::documentation();
    for (index, variable) in documentation.iter().enumerate() {
        assert!(
            documentation[..index]
                .iter()
                .all(|other| other.name != variable.name),
            "{}",
            variable.name
        );
        assert!(
            !variable.description.is_empty() && !variable.accepts.is_empty(),
            "{}",
            variable.name
        );
    }
}
