//! What is shipped for Prometheus and Grafana: it names metrics that there are, every alert is
//! explained, and `promtool` finds nothing wrong with any of it, where that is installed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod kit;

use std::collections::BTreeSet;
use std::fmt::Write;

use kit::promtool::promtool;
use sdfs_console::metrics::ALL;

const RULES: &str = include_str!("../../../deploy/prometheus/sdfs.rules.yml");
const RULES_TESTS: &str = include_str!("../../../deploy/prometheus/sdfs.test.yml");
const DASHBOARD: &str = include_str!("../../../deploy/grafana/sdfs.json");
const OPERATIONS: &str = include_str!("../../../docs/OPERATIONS.md");

/// The words that begin like a metric of ours.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("sdfs_")).collect()
}

fn is_told(name: &str) -> bool {
    // What a histogram's samples are called.
    let ends = ["", "_bucket", "_sum", "_count"];
    let of = |end: &&str| name.strip_suffix(*end).unwrap_or_default().to_owned();
    let families: Vec<_> = ends.iter().map(of).collect();
    ALL.iter()
        .any(|metric| families.iter().any(|family| family == metric.name))
}

#[test]
fn only_metrics_there_are_get_named() {
    for (file, text, least) in [
        ("sdfs.rules.yml", RULES, 14),
        ("sdfs.test.yml", RULES_TESTS, 14),
        ("sdfs.json", DASHBOARD, 14),
    ] {
        let named = metrics_in(text);
        assert!(named.len() >= least, "{file}: {named:?}");
        let unknown: Vec<_> = named.iter().filter(|name| !is_told(name)).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}");
    }
}

fn after<'a>(text: &'a str, begin: &str) -> Vec<&'a str> {
    let lines = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix(begin));
    lines
        .map(|rest| rest.split(['`', ',', '}']).next().unwrap().trim())
        .collect()
}

#[test]
fn every_alert_is_explained_and_tried() {
    let alerts = after(RULES, "- alert: ");
    assert!(alerts.len() >= 16, "{alerts:?}");
    let explained: Vec<_> = after(OPERATIONS, "| `Sdfs");
    let explained: Vec<_> = explained.iter().map(|rest| format!("Sdfs{rest}")).collect();
    assert_eq!(
        explained, alerts,
        "docs/OPERATIONS.md has them in their order"
    );
    let tried = RULES_TESTS.split("alertname: ").skip(1);
    let tried = tried.map(|rest| rest.split(|letter: char| !letter.is_ascii_alphanumeric()));
    let tried: BTreeSet<_> = tried.filter_map(|mut words| words.next()).collect();
    assert_eq!(
        tried,
        alerts.into_iter().collect(),
        "sdfs.test.yml tries each"
    );
}

#[test]
fn rules_and_dashboard_hold_in_promtool() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let rules = file("sdfs.rules.yml", RULES);
    let tests = file("sdfs.test.yml", RULES_TESTS);
    // A dashboard's expressions are checked as rules are.
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let mut recorded = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (number, target) in targets.enumerate() {
        let expression = &target["expr"];
        writeln!(
            recorded,
            "      - {{record: 'panel:{number}', expr: {expression}}}"
        )
        .unwrap();
    }
    assert!(recorded.matches("record: ").count() >= 16, "{recorded}");
    let recorded = file("dashboard.yml", &recorded);
    for words in [
        &["check", "rules", &rules][..],
        &["check", "rules", &recorded],
        &["test", "rules", &tests],
    ] {
        promtool(words, "");
    }
}
