//! The full screen: how the cluster is, its servers, one of three panels, and the keys.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Flex, Layout, Margin, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, TableState, Wrap};

use super::facts::{Facts, Health, ServerFacts, keeps_blocks};
use super::grid::{Column, bold, dim, table};
use super::panels;
use super::place::{Panel, Place};
use super::rates::Rates;
use crate::units;

/// Lines of the banner at most.
const BANNER_LINES_MAX: u16 = 3;
/// Lines that stay for the panel, whatever the number of servers.
const PANEL_LINES_MIN: u16 = 8;
/// Columns of a time, a count, a size.
const TIME: u16 = 7;
const COUNT: u16 = 7;
const SIZE: u16 = 8;

/// What the keys do.
const KEYS: [(&str, &str); 6] = [
    ("up, down", "choose a server"),
    ("tab, left, right", "another panel"),
    ("enter", "the chosen server"),
    ("home, end", "the first, the last server"),
    ("?", "this help"),
    ("q, ctrl-c", "end"),
];
/// What the columns say.
const WORDS: [(&str, &str); 4] = [
    ("rtt", "middle one of its round trips to the others"),
    ("calls/s", "answered, without raft and without looks"),
    ("p50, p99", "half, 99 of 100 of the calls took no longer"),
    ("queue", "bytes that wait for its disks"),
];

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, facts: &Facts, place: &Place) {
    let area = frame.area().inner(Margin::new(1, 0));
    let text = facts.banner.1.join(" ");
    let letters = u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
    let lines = (letters / area.width.max(1) + 1).min(BANNER_LINES_MAX);
    let others = 1 + lines + 1 + 1 + 1 + 1;
    let rows = u16::try_from(facts.servers.len()).unwrap_or(u16::MAX);
    let room = area.height.saturating_sub(others + PANEL_LINES_MIN).max(2);
    let [
        title_at,
        banner_at,
        _,
        servers_at,
        _,
        tabs_at,
        panel_at,
        keys_at,
    ] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(lines),
        Constraint::Length(1),
        Constraint::Length(rows.saturating_add(1).min(room)),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(area);
    title(frame, title_at, facts);
    let banner = Line::styled(text, colour(facts.banner.0));
    frame.render_widget(Paragraph::new(banner).wrap(Wrap { trim: true }), banner_at);
    servers(frame, servers_at, facts, place);
    tabs(frame, tabs_at, facts, place);
    panels::draw(frame, panel_at, facts, place);
    let keys = "q end   arrows choose   tab panels   ? help";
    frame.render_widget(Line::styled(keys, dim()), keys_at);
    if place.helps {
        help(frame, area);
    }
}

fn title(frame: &mut Frame<'_>, area: Rect, facts: &Facts) {
    let answering = facts
        .servers
        .iter()
        .filter(|server| server.status.is_some());
    let count = format!(
        "{} of {} servers answer",
        answering.count(),
        facts.servers.len()
    );
    let cluster = match facts.cluster.as_str() {
        "sdfs" => String::new(),
        other => format!(" {other}"),
    };
    let name = Line::from(vec![
        Span::styled("sdfs", bold()),
        Span::raw(format!("{cluster}  ")),
        Span::styled(count, dim()),
    ]);
    frame.render_widget(name, area);
    if facts.now_ms > 0 {
        let clock = format!("{} UTC", units::moment(facts.now_ms));
        let clock = Line::styled(clock, dim()).alignment(Alignment::Right);
        let width = area.width.min(24);
        frame.render_widget(
            clock,
            Rect {
                x: area.right() - width,
                width,
                ..area
            },
        );
    }
}

fn servers(frame: &mut Frame<'_>, area: Rect, facts: &Facts, place: &Place) {
    let longest = facts
        .servers
        .iter()
        .map(|server| server.name.chars().count())
        .max();
    let name = u16::try_from(longest.unwrap_or(0))
        .unwrap_or(u16::MAX)
        .clamp(6, 32);
    let leads = facts
        .servers
        .iter()
        .map(|server| server.leads.join(", ").chars().count());
    let leads = u16::try_from(leads.max().unwrap_or(0))
        .unwrap_or(u16::MAX)
        .max(5);
    let columns = vec![
        (
            0,
            Column::left("  server", name + 2, |one: &ServerFacts| marked(one)),
        ),
        (
            0,
            Column::left("state", 11, |one| {
                Span::styled(one.state.clone(), colour(one.health))
            }),
        ),
        (1, Column::right("rtt", TIME, |one| time(one.rtt_us))),
        (
            6,
            Column::right("clients", COUNT, |one| {
                number(one.activity.as_ref().map(|activity| activity.clients))
            }),
        ),
        (
            2,
            Column::right("calls/s", COUNT, |one| {
                number(rate_of(one, |rates| rates.calls))
            }),
        ),
        (
            7,
            Column::right("p50", TIME, |one| {
                time(one.rates.as_ref().and_then(|r| r.p50_us))
            }),
        ),
        (
            2,
            Column::right("p99", TIME, |one| {
                time(one.rates.as_ref().and_then(|r| r.p99_us))
            }),
        ),
        (
            3,
            Column::right("in/s", SIZE, |one| {
                size(rate_of(one, |rates| rates.bytes_in))
            }),
        ),
        (
            3,
            Column::right("out/s", SIZE, |one| {
                size(rate_of(one, |rates| rates.bytes_out))
            }),
        ),
        (
            9,
            Column::right("records/s", 9, |one| {
                number(rate_of(one, |rates| rates.records))
            }),
        ),
        (
            8,
            Column::right("syncs/s", COUNT, |one| {
                number(rate_of(one, |rates| rates.syncs))
            }),
        ),
        (
            4,
            Column::right("queue", SIZE, |one| size(one.queued_bytes)),
        ),
        (10, Column::right("free", SIZE, |one| size(free(one)))),
        (
            5,
            Column::left("leads", leads, |one| text(one.leads.join(", "))),
        ),
    ];
    let chosen = table(columns, &facts.servers, area.width.saturating_sub(2))
        .highlight_symbol("> ")
        .row_highlight_style(bold());
    let mut state = TableState::new().with_selected(Some(place.chosen));
    frame.render_stateful_widget(chosen, area, &mut state);
}

fn rate_of(server: &ServerFacts, of: fn(&Rates) -> u64) -> Option<u64> {
    server.rates.as_ref().map(of)
}

fn free(server: &ServerFacts) -> Option<u64> {
    let spaces = &server.status.as_ref()?.spaces;
    let free = spaces.iter().map(|space| space.free_bytes).sum();
    keeps_blocks(server).then_some(free)
}

fn marked(server: &ServerFacts) -> Span<'static> {
    Span::styled(
        format!("{} {}", mark(server.health), server.name),
        name_style(server.health),
    )
}

/// A shape of its own for each, for those who see no colours.
pub(super) fn mark(health: Health) -> &'static str {
    match health {
        Health::Good => "\u{25cf}",
        Health::Warn => "\u{25c6}",
        Health::Bad => "\u{25a0}",
    }
}

pub(super) fn colour(health: Health) -> Style {
    Style::new().fg(match health {
        Health::Good => Color::Green,
        Health::Warn => Color::Yellow,
        Health::Bad => Color::Red,
    })
}

fn name_style(health: Health) -> Style {
    match health {
        Health::Good => Style::new(),
        other => colour(other),
    }
}

/// Text, or a dash where there is none.
pub(super) fn text(text: String) -> Span<'static> {
    if text.is_empty() {
        return Span::styled("-", dim());
    }
    Span::raw(text)
}

pub(super) fn time(us: Option<u64>) -> Span<'static> {
    text(us.map_or_else(String::new, units::micros))
}

pub(super) fn number(count: Option<u64>) -> Span<'static> {
    text(count.map_or_else(String::new, units::count))
}

pub(super) fn size(bytes: Option<u64>) -> Span<'static> {
    text(bytes.map_or_else(String::new, units::size))
}

fn tabs(frame: &mut Frame<'_>, area: Rect, facts: &Facts, place: &Place) {
    let chosen = facts.servers.get(place.chosen);
    let tabs = Panel::ALL.iter().flat_map(|panel| {
        let name = match panel {
            Panel::Cluster => "cluster",
            Panel::Server => chosen.map_or("server", |server| server.name.as_str()),
            Panel::Events => "events",
        };
        let name = match *panel == place.panel {
            true => Span::styled(format!("[{name}]"), bold()),
            false => Span::styled(format!(" {name} "), dim()),
        };
        [name, Span::raw(" ")]
    });
    frame.render_widget(Line::from_iter(tabs), area);
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let lines = |said: &[(&str, &str)]| {
        let line = |(key, what): &(&str, &str)| {
            let key = Span::styled(format!(" {key:<17}"), bold());
            Line::from(vec![key, Span::raw((*what).to_owned())])
        };
        said.iter().map(line).collect::<Vec<_>>()
    };
    let mut all = lines(&KEYS);
    all.push(Line::default());
    all.extend(lines(&WORDS));
    let height = u16::try_from(all.len())
        .unwrap_or(u16::MAX)
        .saturating_add(2);
    let [middle] = Layout::vertical([Constraint::Length(height)])
        .flex(Flex::Center)
        .areas(area);
    let [middle] = Layout::horizontal([Constraint::Length(66)])
        .flex(Flex::Center)
        .areas(middle);
    frame.render_widget(Clear, middle);
    let frame_of = Block::bordered().title(" help ");
    frame.render_widget(Paragraph::new(all).block(frame_of), middle);
}
