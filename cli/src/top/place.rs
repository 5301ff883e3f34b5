//! Where in the full screen somebody is, and what keys do. Pure.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What is shown under the servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Panel {
    /// Raft groups and copies.
    #[default]
    Cluster,
    /// The chosen server.
    Server,
    /// What happened.
    Events,
}

impl Panel {
    /// All, in the order of Tab.
    pub(super) const ALL: [Panel; 3] = [Panel::Cluster, Panel::Server, Panel::Events];

    fn step(self, by: usize) -> Panel {
        let at = Panel::ALL.iter().position(|panel| *panel == self);
        Panel::ALL[(at.unwrap_or(0) + by) % Panel::ALL.len()]
    }
}

/// Where somebody is.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// The chosen server, from the top.
    pub(super) chosen: usize,
    pub(super) panel: Panel,
    /// Whether the keys are explained.
    pub(super) helps: bool,
}

impl Place {
    /// A key was pressed, with so many servers shown; whether it goes on.
    pub(super) fn press(&mut self, key: KeyEvent, servers: usize) -> bool {
        if key.kind == KeyEventKind::Release {
            return true;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return key.code != KeyCode::Char('c');
        }
        let last = servers.saturating_sub(1);
        match key.code {
            KeyCode::Char('q') => return false,
            KeyCode::Char('?') => self.helps = !self.helps,
            KeyCode::Esc => self.helps = false,
            KeyCode::Up | KeyCode::Char('k') => self.chosen = self.chosen.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.chosen += 1,
            KeyCode::Home => self.chosen = 0,
            KeyCode::End => self.chosen = last,
            KeyCode::Tab | KeyCode::Right => self.panel = self.panel.step(1),
            KeyCode::BackTab | KeyCode::Left => self.panel = self.panel.step(2),
            KeyCode::Enter => self.panel = Panel::Server,
            _ => {}
        }
        self.chosen = self.chosen.min(last);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(keys: &[KeyCode]) -> (Place, bool) {
        let mut place = Place::default();
        let mut goes_on = true;
        for key in keys {
            goes_on = place.press(KeyEvent::from(*key), 3);
        }
        (place, goes_on)
    }

    #[test]
    fn keys_choose_among_what_there_is() {
        let (place, _) = pressed(&[KeyCode::Down, KeyCode::Down, KeyCode::Down, KeyCode::Up]);
        assert_eq!(place.chosen, 1);
        assert_eq!(pressed(&[KeyCode::End]).0.chosen, 2);
        assert_eq!(pressed(&[KeyCode::Up]).0.chosen, 0);
        assert_eq!(pressed(&[KeyCode::Tab]).0.panel, Panel::Server);
        assert_eq!(pressed(&[KeyCode::BackTab]).0.panel, Panel::Events);
        assert_eq!(pressed(&[KeyCode::Tab; 3]).0.panel, Panel::Cluster);
        assert!(pressed(&[KeyCode::Char('?')]).0.helps);
        assert!(!pressed(&[KeyCode::Char('?'), KeyCode::Esc]).0.helps);
    }

    #[test]
    fn only_q_and_control_c_end_it() {
        assert!(!pressed(&[KeyCode::Char('q')]).1);
        assert!(pressed(&[KeyCode::Char('c')]).1);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert!(!Place::default().press(interrupt, 3));
    }
}
