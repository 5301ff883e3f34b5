//! The picture of a run: a lane for each server with its faults as bars, below it answers and
//! latency, all over the same seconds.

use super::figures::{Gap, Second};
use super::nemesis::Harm;
use super::schedule::Kind;
use super::told::Told;

const WIDTH: f64 = 1_120.0;
/// Left of the time: names and numbers.
const LEFT: f64 = 92.0;
const RIGHT: f64 = 16.0;
const LANE: f64 = 24.0;
const PLOT: f64 = 110.0;
const SPACE: f64 = 34.0;
/// The latencies that have a line, microseconds.
const LATENCIES_US: [u64; 5] = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];

/// Seconds to places.
struct Scale {
    seconds: f64,
}

impl Scale {
    fn x(&self, us: u64) -> f64 {
        let share = (us as f64 / 1e6 / self.seconds).min(1.0);
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }
}

/// The class of a kind's bars.
pub(super) fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Kill => "kill",
        Kind::Freeze => "freeze",
        Kind::Cut => "cut",
        Kind::Mute => "mute",
        Kind::Deaf => "deaf",
        Kind::OneWay => "oneway",
        Kind::Full => "full",
        Kind::Power => "power",
    }
}

/// The picture as SVG.
pub(super) fn timeline(told: &Told) -> String {
    let scale = Scale {
        seconds: told.seconds.max(1.0),
    };
    let lanes = told.servers.len() as f64 * LANE;
    let rates_top = 8.0 + lanes + SPACE;
    let times_top = rates_top + PLOT + SPACE;
    let height = times_top + PLOT + 30.0;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"Faults, answers and latency over time\">\n"
    );
    svg.push_str(&gap(&scale, told.figures.changes_gap, height - 22.0));
    svg.push_str(&seconds_axis(&scale, height));
    for (place, server) in told.servers.iter().enumerate() {
        let top = 8.0 + place as f64 * LANE;
        svg.push_str(&lane(&scale, server, top, &told.harms));
    }
    svg.push_str(&rates(&scale, rates_top, &told.figures.seconds));
    svg.push_str(&times(&scale, times_top, &told.figures.seconds));
    svg.push_str("</svg>\n");
    svg
}

fn text(x: f64, y: f64, class: &str, words: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{words}</text>\n")
}

fn line(y: f64) -> String {
    let end = WIDTH - RIGHT;
    format!("<line x1=\"{LEFT}\" x2=\"{end}\" y1=\"{y:.1}\" y2=\"{y:.1}\" class=\"grid\"/>\n")
}

fn gap(scale: &Scale, gap: Gap, height: f64) -> String {
    let (x, end) = (scale.x(gap.begin_us), scale.x(gap.end_us));
    let width = (end - x).max(1.0);
    format!(
        "<rect x=\"{x:.1}\" y=\"0\" width=\"{width:.1}\" height=\"{height:.1}\" class=\"gap\">\
         <title>no change was answered for {:.2} s</title></rect>\n",
        gap.us() as f64 / 1e6
    )
}

fn seconds_axis(scale: &Scale, height: f64) -> String {
    // Ten to twenty marks, at whole seconds a person counts in.
    let steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600];
    let fits = |step: &&u64| scale.seconds / **step as f64 <= 16.0;
    let step = steps.iter().find(fits).copied().unwrap_or(7_200);
    let mut svg = String::new();
    let mut at = 0;
    while at as f64 <= scale.seconds {
        let x = scale.x(at * 1_000_000);
        let words = match step {
            60.. => format!("{} min", at / 60),
            _ => format!("{at} s"),
        };
        svg.push_str(&text(x, height - 6.0, "mid", &words));
        svg.push_str(&format!(
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"8\" y2=\"{:.1}\" class=\"grid\"/>\n",
            height - 22.0
        ));
        at += step;
    }
    svg
}

fn lane(scale: &Scale, server: &str, top: f64, harms: &[Harm]) -> String {
    let mut svg = text(LEFT - 8.0, top + LANE * 0.66, "end", server);
    svg.push_str(&line(top + LANE));
    for harm in harms
        .iter()
        .filter(|harm| harm.servers.iter().any(|one| one == server))
    {
        let (x, end) = (scale.x(harm.begin_us), scale.x(harm.end_us));
        svg.push_str(&format!(
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"2\" \
             class=\"{}\"><title>{}: {:.2} s to {:.2} s</title></rect>\n",
            top + 4.0,
            (end - x).max(2.0),
            LANE - 8.0,
            class(harm.kind),
            harm.sentence(),
            harm.begin_us as f64 / 1e6,
            harm.end_us as f64 / 1e6,
        ));
    }
    svg
}

fn rates(scale: &Scale, top: f64, seconds: &[Second]) -> String {
    let most = seconds
        .iter()
        .map(|second| second.answered + second.unanswered)
        .max()
        .unwrap_or(0)
        .max(1);
    let mut svg = text(
        LEFT,
        top - 8.0,
        "head",
        "operations a second: answered, and in red not",
    );
    svg.push_str(&text(LEFT - 8.0, top + 8.0, "end", &most.to_string()));
    svg.push_str(&text(LEFT - 8.0, top + PLOT, "end", "0"));
    svg.push_str(&line(top + PLOT));
    let bar = |count: u64| count as f64 / most as f64 * PLOT;
    for (at, second) in (0..).zip(seconds) {
        let x = scale.x(at * 1_000_000);
        let width = (scale.x((at + 1) * 1_000_000) - x).max(0.4);
        let (good, bad) = (bar(second.answered), bar(second.unanswered));
        let base = top + PLOT;
        for (class, y, height) in [
            ("answered", base - good, good),
            ("unanswered", base - good - bad, bad),
        ] {
            if height > 0.0 {
                svg.push_str(&format!(
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.2}\" \
                     height=\"{height:.1}\" class=\"{class}\"/>\n"
                ));
            }
        }
    }
    svg
}

/// Latency has a line for each tenfold.
fn times(scale: &Scale, top: f64, seconds: &[Second]) -> String {
    let floor = (LATENCIES_US[0] as f64).log10();
    let span = (LATENCIES_US[LATENCIES_US.len() - 1] as f64).log10() - floor;
    let y = |us: u64| {
        let share = ((us.max(1) as f64).log10() - floor) / span;
        top + PLOT - share.clamp(0.0, 1.0) * PLOT
    };
    let mut svg = text(
        LEFT,
        top - 8.0,
        "head",
        "latency of the answered: p50, and p99 thin",
    );
    for us in LATENCIES_US {
        let words = match us {
            1_000_000.. => format!("{} s", us / 1_000_000),
            _ => format!("{} ms", us / 1_000),
        };
        svg.push_str(&text(LEFT - 8.0, y(us) + 4.0, "end", &words));
        svg.push_str(&line(y(us)));
    }
    let p99 = seconds
        .iter()
        .map(|second| (second.answered, second.p99_us));
    let p50 = seconds
        .iter()
        .map(|second| (second.answered, second.p50_us));
    for (class, path) in [("p99", curve(scale, y, p99)), ("p50", curve(scale, y, p50))] {
        svg.push_str(&format!("<path d=\"{path}\" class=\"{class}\"/>\n"));
    }
    svg
}

/// A curve over the seconds that have an answer; it is cut where there is none.
fn curve(
    scale: &Scale,
    y: impl Fn(u64) -> f64,
    seconds: impl Iterator<Item = (u64, u64)>,
) -> String {
    let mut path = String::new();
    let mut is_begun = false;
    for (at, (answered, us)) in (0..).zip(seconds) {
        if answered > 0 {
            let letter = if is_begun { 'L' } else { 'M' };
            let x = scale.x(at * 1_000_000 + 500_000);
            path.push_str(&format!("{letter}{x:.1} {:.1}", y(us)));
        }
        is_begun = answered > 0;
    }
    path
}
