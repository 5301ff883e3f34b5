//! The panels under the servers: the cluster, one server, events.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};
use sdfs_types::calls::activity::Severity;
use sdfs_types::calls::status::PeerStatus;

use super::draw::{colour, mark, number, size, text, time};
use super::facts::{CopyFacts, EventFacts, Facts, GroupFacts, Health, ServerFacts};
use super::grid::{Column, bold, dim, table};
use super::place::{Panel, Place};
use crate::units;

/// Columns of a server's name.
const NAME: u16 = 12;

/// Draws the panel somebody is at.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, facts: &Facts, place: &Place) {
    match place.panel {
        Panel::Cluster => cluster(frame, area, facts),
        Panel::Server => {
            if let Some(server) = facts.servers.get(place.chosen) {
                one_server(frame, area, server);
            }
        }
        Panel::Events => events(frame, area, facts),
    }
}

fn cluster(frame: &mut Frame<'_>, area: Rect, facts: &Facts) {
    let rows = facts.groups.len().max(facts.broken.len().min(6) + 1) + 1;
    let rows = u16::try_from(rows).unwrap_or(u16::MAX).min(area.height);
    let [above, _, below] = Layout::vertical([
        Constraint::Length(rows),
        Constraint::Length(1),
        Constraint::Min(0),
    ])
    .areas(area);
    let [left, _, right] = Layout::horizontal([
        Constraint::Fill(1),
        Constraint::Length(2),
        Constraint::Fill(1),
    ])
    .areas(above);
    let columns = vec![
        (
            0,
            Column::left("group", 18, |one: &GroupFacts| text(one.name.clone())),
        ),
        (0, Column::left("leader", NAME, leader)),
        (
            1,
            Column::right("behind", 6, |one| number(Some(one.behind))),
        ),
        (2, Column::right("term", 6, |one| number(Some(one.term)))),
        (
            3,
            Column::right("last entry", 11, |one| number(Some(one.last_log))),
        ),
    ];
    frame.render_widget(table(columns, &facts.groups, left.width), left);
    copies(frame, right, facts);
    events(frame, below, facts);
}

fn leader(group: &GroupFacts) -> Span<'static> {
    match &group.leader {
        None => Span::styled("none", colour(Health::Warn)),
        Some(name) if group.leader_answers => Span::raw(name.clone()),
        Some(name) => Span::styled(format!("{} {name}", mark(Health::Bad)), colour(Health::Bad)),
    }
}

fn copies(frame: &mut Frame<'_>, area: Rect, facts: &Facts) {
    let [first, rest] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    let whole = facts.volumes - facts.broken.len();
    let line = match (facts.volumes, facts.broken.len()) {
        (0, _) => Line::styled("no mserver tells of volumes", dim()),
        (_, 0) => Line::raw(format!("all {whole} volumes have every copy")),
        (volumes, _) => {
            let line = format!("{whole} of {volumes} volumes have every copy");
            Line::styled(line, colour(Health::Warn))
        }
    };
    frame.render_widget(line, first);
    if facts.broken.is_empty() {
        return;
    }
    let columns = vec![
        (
            0,
            Column::left("volume", 7, |one: &CopyFacts| text(one.volume.clone())),
        ),
        (
            0,
            Column::left("missing at", NAME, |one| text(one.missing.join(", "))),
        ),
        (
            0,
            Column::right("healed", 8, |one| match one.done {
                None => Span::styled("waits", dim()),
                Some((bytes, _)) => size(Some(bytes)),
            }),
        ),
        (
            1,
            Column::right("per s", 8, |one| size(one.done.map(|(_, rate)| rate))),
        ),
        (
            2,
            Column::left("writes", 6, |one| match one.is_writable {
                true => Span::raw("taken"),
                false => Span::styled("no", colour(Health::Bad)),
            }),
        ),
    ];
    frame.render_widget(table(columns, &facts.broken, rest.width), rest);
}

fn one_server(frame: &mut Frame<'_>, area: Rect, server: &ServerFacts) {
    let [left, _, right] = Layout::horizontal([
        Constraint::Fill(1),
        Constraint::Length(2),
        Constraint::Fill(1),
    ])
    .areas(area);
    frame.render_widget(
        Paragraph::new(said_of(server)).wrap(Wrap { trim: true }),
        left,
    );
    let columns = vec![
        (
            0,
            Column::left(heads_of(server), NAME, |one: &PeerStatus| {
                text(one.name.clone())
            }),
        ),
        (
            0,
            Column::left("state", 8, |one| {
                let health = if one.is_up() {
                    Health::Good
                } else {
                    Health::Bad
                };
                Span::styled(one.state.clone(), colour(health))
            }),
        ),
        (
            0,
            Column::right("rtt", 7, |one| time(one.rtt_us.filter(|_| one.is_up()))),
        ),
        (1, Column::right("least", 7, |one| time(one.rtt_min_us))),
        (2, Column::right("jitter", 7, |one| time(one.jitter_us))),
    ];
    frame.render_widget(table(columns, &server.peers, right.width), right);
}

/// Whose round trips are listed beside a server.
fn heads_of(server: &ServerFacts) -> &'static str {
    match server.status {
        Some(_) => "to",
        None => "as seen by",
    }
}

fn said_of(server: &ServerFacts) -> Vec<Line<'static>> {
    let line = |what: &'static str, value: String| {
        Line::from(vec![
            Span::styled(format!("{what:<9}"), dim()),
            Span::raw(value),
        ])
    };
    let state = Span::styled(server.state.clone(), colour(server.health));
    let mut lines = vec![
        Line::from(vec![
            Span::styled(server.name.clone(), bold()),
            Span::raw(" "),
            state,
        ]),
        line(
            "address",
            format!("{}, zone {}", server.address, server.zone),
        ),
    ];
    let why = server.why.iter().cloned();
    lines.extend(why.map(|why| Line::styled(why, colour(server.health))));
    if let Some(status) = &server.status {
        let up = units::uptime(status.up_s);
        lines.push(line("up for", format!("{up}, version {}", status.program)));
        for space in &status.spaces {
            let (blocks, live) = (units::count(space.blocks), units::size(space.live_bytes));
            let free = units::size(space.free_bytes);
            lines.push(line("disk", space.path.clone()));
            lines.push(line("", format!("{blocks} blocks, {live}; {free} free")));
            if let Some(why) = &space.failed {
                lines.push(Line::styled(format!("closed: {why}"), colour(Health::Bad)));
            }
        }
    }
    for log in server.activity.iter().flat_map(|activity| &activity.logs) {
        let queued = units::size(log.queued_bytes);
        lines.push(line(
            "log",
            format!("{queued} waiting, {} syncs", units::count(log.syncs)),
        ));
    }
    lines
}

fn events(frame: &mut Frame<'_>, area: Rect, facts: &Facts) {
    if facts.events.is_empty() {
        frame.render_widget(Line::styled("no events yet", dim()), area);
        return;
    }
    let shown = facts.events.iter().take(usize::from(area.height));
    let lines: Vec<_> = shown.map(|event| event_line(event, facts.now_ms)).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

fn event_line(event: &EventFacts, now_ms: u64) -> Line<'static> {
    let health = match event.severity {
        Severity::News => Health::Good,
        Severity::Warning => Health::Warn,
        Severity::Trouble => Health::Bad,
    };
    let by = match event.by.as_slice() {
        [one, _, _, ..] => format!("{one} and {} more", event.by.len() - 1),
        few => few.join(", "),
    };
    let ago = units::uptime(now_ms.saturating_sub(event.at_ms) / 1_000);
    Line::from(vec![
        Span::styled(format!("{ago:>11} ago "), dim()),
        Span::styled(mark(health), colour(health)),
        Span::raw(format!(" {} ", event.what)),
        Span::styled(by, dim()),
    ])
}
