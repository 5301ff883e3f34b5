//! The report for a person: one HTML file that needs nothing else.

use super::history::Operation;
use super::judge::Violation;
use super::limits::VIOLATIONS_SHOWN_MAX;
use super::schedule::Kind;
use super::timeline::{class, timeline};
use super::told::Told;
use crate::exit::Code;
use crate::units;

const STYLE: &str = include_str!("page.css");

/// The kinds of faults with their names, in the order they are explained.
const KINDS: [(Kind, &str); 8] = [
    (Kind::Kill, "killed (SIGKILL), started again"),
    (Kind::Freeze, "frozen (SIGSTOP)"),
    (Kind::Cut, "cut off from the other servers"),
    (Kind::Mute, "reaches no other server"),
    (Kind::Deaf, "reached by no other server"),
    (Kind::OneWay, "does not reach one other"),
    (Kind::Full, "disk full"),
    (Kind::Power, "all killed at once"),
];

/// The whole page.
pub(super) fn page(told: &Told) -> String {
    let (mark, word) = match told.code() {
        Code::Broken => ("bad", "Broken"),
        Code::Unknown => ("warn", "Undecided"),
        Code::NotNow => ("warn", "Not compared"),
        _ => ("good", "Kept its promises"),
    };
    let parts = [
        format!(
            "<p class=\"verdict {mark}\"><b>{word}</b> {}</p>\n",
            escaped(&told.verdict())
        ),
        summary(told),
        violations(told),
        format!("<h2>What happened</h2>\n{}{}", timeline(told), legend(told)),
        kinds(told),
        causes(told),
        planned(told),
        faults(told),
        format!(
            "<h2>Again</h2>\n<pre>{}</pre>\n<p class=\"dim\">The seed plans the same faults and \
             the same work. Processes and the network still take their own time, so another run \
             is alike, not the same.</p>\n",
            escaped(&told.command)
        ),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>sdfs torture: {word}\
         </title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>sdfs torture</h1>\n{}</body>\n\
         </html>\n",
        parts.concat()
    )
}

/// Text that is no markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn summary(told: &Told) -> String {
    let figures = &told.figures;
    let compared = told.compared.as_ref();
    let cells = [
        ("operations", units::count(figures.operations)),
        ("clients", told.clients.to_string()),
        ("names judged", units::count(told.judgement.names as u64)),
        ("faults", told.harms.len().to_string()),
        ("load", format!("{:.0} s", told.seconds)),
        (
            "longest without a change",
            units::micros(figures.changes_gap.us()),
        ),
        (
            "longest without a read",
            units::micros(figures.reads_gap.us()),
        ),
        (
            "healed after",
            told.healed_s
                .map_or("–".to_owned(), |s| format!("{s:.1} s")),
        ),
        ("names read back", units::count(told.read_back)),
        (
            "blocks compared",
            compared.map_or("–".to_owned(), |compared| units::count(compared.blocks)),
        ),
    ];
    let cells = cells.map(|(what, value)| format!("<div><b>{value}</b><span>{what}</span></div>"));
    let left_out = told.left_out.map_or(String::new(), |why| {
        format!("<p class=\"dim\">{}</p>\n", escaped(why))
    });
    format!(
        "<section class=\"cells\">{}</section>\n{left_out}",
        cells.concat()
    )
}

fn violations(told: &Told) -> String {
    let all = &told.judgement.violations;
    if all.is_empty() {
        return String::new();
    }
    let shown = all.iter().take(VIOLATIONS_SHOWN_MAX).map(violation);
    let more = all.len().saturating_sub(VIOLATIONS_SHOWN_MAX);
    let more = match more {
        0 => String::new(),
        _ => format!("<p>and {more} more</p>\n"),
    };
    format!(
        "<h2>What is not as promised</h2>\n{}{more}",
        shown.collect::<String>()
    )
}

fn violation(violation: &Violation) -> String {
    let what = format!("<h3>{}</h3>\n", escaped(&violation.what));
    if violation.operations.is_empty() {
        return what;
    }
    let rows = violation.operations.iter().map(row);
    format!(
        "{what}<p class=\"dim\">These operations contradict each other, whatever all others \
         did:</p>\n<table><tr><th class=\"n\">from s<th class=\"n\">to s<th class=\"n\">client\
         <th>asked<th>told</tr>\n{}</table>\n",
        rows.collect::<String>()
    )
}

fn row(operation: &Operation) -> String {
    let value = operation.ask.value();
    let value = value.map_or(String::new(), |value| format!(" value {value}"));
    format!(
        "<tr><td class=\"n\">{:.6}<td class=\"n\">{:.6}<td class=\"n\">{}<td>{}{value}\
         <td>{}</tr>\n",
        operation.begin_us as f64 / 1e6,
        operation.end_us as f64 / 1e6,
        operation.client,
        operation.ask.word(),
        escaped(&operation.outcome.sentence())
    )
}

fn legend(told: &Told) -> String {
    let seen = |kind: Kind| told.harms.iter().any(|harm| harm.kind == kind);
    let kinds = KINDS.iter().filter(|(kind, _)| seen(*kind));
    let keys = kinds
        .map(|(kind, words)| format!("<span><i class=\"{}\"></i>{words}</span>", class(*kind)));
    format!(
        "<p class=\"legend\">{}<span><i class=\"gap\"></i>longest time without an answered \
         change</span></p>\n",
        keys.collect::<String>()
    )
}

fn kinds(told: &Told) -> String {
    let rows = told.figures.kinds.iter().map(|(word, counts)| {
        let numbers = [counts.done, counts.refused, counts.unknown, counts.failed];
        let numbers = numbers.map(|number| format!("<td class=\"n\">{}", units::count(number)));
        let times = [counts.p50_us, counts.p99_us, counts.max_us];
        let times = times.map(|us| format!("<td class=\"n\">{}", units::micros(us)));
        format!(
            "<tr><td>{word}{}{}</tr>\n",
            numbers.concat(),
            times.concat()
        )
    });
    format!(
        "<h2>Operations</h2>\n<table><tr><th>asked<th class=\"n\">done<th class=\"n\">refused for \
         cause<th class=\"n\">unknown<th class=\"n\">failed<th class=\"n\">p50<th class=\"n\">p99\
         <th class=\"n\">longest</tr>\n{}</table>\n",
        rows.collect::<String>()
    )
}

fn causes(told: &Told) -> String {
    if told.figures.causes.is_empty() {
        return String::new();
    }
    let rows = told.figures.causes.iter().map(|(why, count)| {
        let count = units::count(*count);
        format!("<tr><td class=\"n\">{count}<td>{}</tr>\n", escaped(why))
    });
    format!(
        "<h2>Why operations failed or are unknown</h2>\n<table><tr><th class=\"n\">times<th>what \
         the client was told</tr>\n{}</table>\n",
        rows.collect::<String>()
    )
}

/// What was to come, so that nobody takes a run for proof of what it never met.
fn planned(told: &Told) -> String {
    if told.faults.is_empty() {
        return String::new();
    }
    let rows = told.faults.iter().map(|planned| {
        let felt = planned.felt.map_or("–".to_owned(), units::count);
        let (word, begun) = (planned.kind.word(), units::count(planned.begun));
        format!("<tr><td>{word}<td class=\"n\">{begun}<td class=\"n\">{felt}</tr>\n")
    });
    format!(
        "<h2>Faults</h2>\n<table><tr><th>kind<th class=\"n\">begun<th class=\"n\">parted servers\
         </tr>\n{}</table>\n",
        rows.collect::<String>()
    )
}

fn faults(told: &Told) -> String {
    let mut harms: Vec<_> = told.harms.iter().collect();
    harms.sort_by_key(|harm| harm.begin_us);
    let rows = harms.iter().map(|harm| {
        let (from, to) = (harm.begin_us as f64 / 1e6, harm.end_us as f64 / 1e6);
        let sentence = escaped(&harm.sentence());
        format!("<tr><td class=\"n\">{from:.2}<td class=\"n\">{to:.2}<td>{sentence}</tr>\n")
    });
    format!(
        "<details><summary>All {} faults</summary>\n<table><tr><th class=\"n\">from s\
         <th class=\"n\">to s<th>what</tr>\n{}</table></details>\n",
        harms.len(),
        rows.collect::<String>()
    )
}
