//! `up`: every server of the configuration as a child process, until told to stop.

use std::path::Path;
use std::sync::Arc;

use sdfs_server::make_missing_secrets;
use sdfs_server_group::Config;

use super::serve::Stops;
use crate::args::{Global, UpArgs};
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, warn};
use crate::session;
use crate::supervise::{ChildLog, Children, Ended, wait_ready};
use crate::table::Table;

/// Starts all servers, says `ready` when the cluster takes writes, and watches over them.
pub(crate) async fn run(global: &Global, args: &UpArgs, out: Output) -> Outcome {
    let config_file = session::absolute(&global.config)?;
    let config = Arc::new(Config::load(&config_file)?);
    for made in make_missing_secrets(&config)? {
        warn(&format!("sdfs: made the secret file {}", made.display()));
    }
    let mut stops = Stops::listen()?;
    let log = ChildLog {
        to: args.log_to,
        is_json: global.log_json,
    };
    let mut children = Children::start(Arc::clone(&config), config_file, log).await?;
    let holds = children.holds();
    tokio::select! {
        ready = wait_ready(&config, &holds, args.ready_within) => {
            if let Err(failure) = ready {
                // How the others end is not what went wrong.
                drop(children.stop().await?);
                return Err(failure);
            }
        }
        ended = children.next_ended() => {
            drop(children.stop().await?);
            return Err(ended.failure());
        }
        () = stops.next() => return stop(&mut children).await,
    }
    tell_ready(&children, out);
    watch(&mut children, &mut stops).await
}

/// Waits for the end: of this program by a signal, or of all servers by themselves.
async fn watch(children: &mut Children, stops: &mut Stops) -> Outcome {
    let mut died: Vec<Ended> = Vec::new();
    loop {
        tokio::select! {
            () = stops.next() => {
                stop(children).await?;
                break;
            }
            ended = children.next_ended() => {
                warn(&format!("sdfs: {ended}; it is not started again"));
                died.push(ended);
                if children.running().is_empty() {
                    break;
                }
            }
        }
    }
    match died.first() {
        Some(first) => {
            let what = format!("{} of the servers had ended before: {first}", died.len());
            Err(Failure::new(Code::ServerDied, what))
        }
        None => Ok(()),
    }
}

/// Stops all servers; those that would not are the failure.
async fn stop(children: &mut Children) -> Outcome {
    let unclean = children.stop().await?;
    match unclean.first() {
        Some(first) => Err(Failure::new(Code::ServerDied, first.to_string())),
        None => Ok(()),
    }
}

fn tell_ready(children: &Children, out: Output) {
    let views: Vec<_> = children
        .running()
        .iter()
        .map(|child| child.view())
        .collect();
    out.json(&serde_json::json!({ "ready": true, "servers": views }));
    let mut table = Table::new(&["server", "address", ">pid"]);
    for child in children.running() {
        let pid = child.pid().map(|pid| pid.to_string()).unwrap_or_default();
        table.row([child.name().to_owned(), child.address().to_owned(), pid]);
    }
    table.print(out, 0);
    let base = children.config().base.as_path();
    if base != Path::new("") {
        out.say(&format!("configuration and secrets in {}", base.display()));
    }
    out.say("ready");
}
