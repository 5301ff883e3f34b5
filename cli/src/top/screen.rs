//! The terminal: taken over, given back however this ends, drawn anew at each look and key.

use std::io::{self, Stdout};
use std::thread;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use sdfs_client::Client;
use sdfs_server_group::Config;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::LOOK_EVERY;
use super::draw::draw;
use super::facts::{Facts, facts};
use super::look::{Done, look};
use super::place::Place;
use crate::commands::serve::Stops;
use crate::failure::{Failure, Outcome};
use crate::panic_hook;

/// More keys than anybody types between two drawings.
const KEYS_WAITING_MAX: usize = 64;

/// Servers answer from memory: one that does not within this holds up no look.
const ANSWER_WITHIN: Duration = Duration::from_millis(900);

/// A terminal taken over. Dropped, it is as it was.
struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    fn open() -> io::Result<Screen> {
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        // From here on: it is given back also when half of this fails.
        let screen = Screen { terminal };
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen)?;
        panic_hook::before_that(give_back);
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// A terminal that is gone wants nothing back.
fn give_back() {
    disable_raw_mode().unwrap_or(());
    execute!(io::stdout(), LeaveAlternateScreen, Show).unwrap_or(());
}

/// Draws until `q` is pressed or the process is told to stop.
pub(super) async fn run(client: &Client, config: &Config, stops: &mut Stops) -> Outcome {
    let fault = |error: io::Error| Failure::system("draw on the terminal", &error);
    let mut screen = Screen::open().map_err(fault)?;
    let mut keys = keys().map_err(fault)?;
    let mut place = Place::default();
    let mut shown = Facts {
        cluster: config.cluster.clone(),
        banner: (Default::default(), vec!["Asking all servers.".to_owned()]),
        ..Facts::default()
    };
    let mut before = Done::new();
    let mut looking = Box::pin(look_at(Instant::now(), client, config));
    screen
        .terminal
        .draw(|frame| draw(frame, &shown, &place))
        .map_err(fault)?;
    loop {
        let is_changed = tokio::select! {
            (begun, seen, now) = &mut looking => {
                shown = facts(config, &seen, (&before, &now));
                before = now;
                looking.set(look_at(begun + LOOK_EVERY, client, config));
                true
            }
            event = keys.recv() => match event {
                Some(Event::Key(key)) if !place.press(key, shown.servers.len()) => return Ok(()),
                Some(_) => true,
                None => return Ok(()),
            },
            () = stops.next() => return Ok(()),
        };
        if is_changed {
            screen
                .terminal
                .draw(|frame| draw(frame, &shown, &place))
                .map_err(fault)?;
        }
    }
}

async fn look_at<'a>(
    at: Instant,
    client: &Client,
    config: &'a Config,
) -> (Instant, crate::view::Seen<'a>, Done) {
    sleep_until(at).await;
    let begun = Instant::now();
    let (seen, done) = look(client, config, ANSWER_WITHIN).await;
    (begun, seen, done)
}

/// What comes from the terminal. Read on a thread of its own, which ends with the process or the
/// terminal: half a key holds up whoever reads it until the rest of it comes.
fn keys() -> io::Result<mpsc::Receiver<Event>> {
    let (tell, keys) = mpsc::channel(KEYS_WAITING_MAX);
    let read = move || {
        while let Ok(event) = event::read() {
            if tell.blocking_send(event).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("keys".to_owned()).spawn(read)?;
    Ok(keys)
}
