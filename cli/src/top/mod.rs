//! `top`: what every server is doing, anew each second: on the full screen for people, as a table
//! or JSON for everything else.

mod draw;
#[cfg(test)]
mod draw_tests;
mod facts;
mod grid;
mod look;
mod panels;
mod place;
mod plain;
mod rates;
mod screen;

use std::io::{IsTerminal, stdin, stdout};
use std::time::Duration;

use sdfs_client::Client;
use sdfs_server_group::Config;
use tokio::time::sleep;

use crate::args::{Global, TopArgs};
use crate::commands::serve::Stops;
use crate::failure::Outcome;
use crate::output::Output;
use crate::session;
use crate::view::ANSWER_WITHIN;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Draws until it is told to end, or as often as wanted.
pub(crate) async fn run(global: &Global, args: &TopArgs, out: Output) -> Outcome {
    let (client, config) = session::cluster(global).await?;
    let mut stops = Stops::listen()?;
    let times = if args.once { Some(1) } else { args.times };
    let is_for_people = stdin().is_terminal() && stdout().is_terminal() && !out.is_json();
    if is_for_people && times.is_none() {
        return screen::run(&client, &config, &mut stops).await;
    }
    lines(&client, &config, (times, &mut stops), out).await
}

/// Prints a table at each look.
async fn lines(
    client: &Client,
    config: &Config,
    (times, stops): (Option<u32>, &mut Stops),
    out: Output,
) -> Outcome {
    let mut before = look::done(client, config, ANSWER_WITHIN).await;
    for printed in 1.. {
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            () = stops.next() => return Ok(()),
        }
        let now = look::done(client, config, ANSWER_WITHIN).await;
        plain::print(config, (&before, &now), out);
        if times.is_some_and(|times| printed >= times) {
            return Ok(());
        }
        before = now;
    }
    Ok(())
}
