//! `bench`: what the cluster does beside what this machine could do.

pub(crate) mod args;
mod cpu;
mod engine;
mod fastdfs;
mod limits;
mod listing;
mod mix;
mod recorder;
mod report;
mod turns;

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::join_all;
use sdfs_client::{CallOptions, Client};
use sdfs_server_group::{Config, Role};

pub(crate) use engine::Bench;
pub(crate) use limits::{Limits, measure};
pub(crate) use report::Report;

use crate::args::Global;
use crate::commands::serve::Stops;
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, warn};
use crate::session;
use args::{BenchArgs, BenchCommand, BenchDoor, Extent, Work};

/// Measures the machine, then the cluster.
pub(crate) async fn run(global: &Global, command: &BenchCommand, out: Output) -> Outcome {
    match (&command.door, &command.own) {
        (Some(BenchDoor::Fastdfs(args)), _) => fastdfs::run(global, args, out).await,
        (None, Some(args)) => run_own(global, args, out).await,
        (None, None) => Err(Failure::new(Code::Usage, "say what to measure")),
    }
}

async fn run_own(global: &Global, args: &BenchArgs, out: Output) -> Outcome {
    let extent = args.extent()?;
    let config = session::config(global)?;
    let mut stops = Stops::listen()?;
    let clients = clients(global, &config, args).await?;
    let limits = if args.no_limits {
        None
    } else {
        Some(measure(&data_folder(&config))?)
    };
    if let Some(limits) = &limits {
        report::show_limits(limits, out);
    }
    let directory = match &args.directory {
        Some(path) => session::path(path)?.as_str().to_owned(),
        None => format!("/bench-{}", clients[0].next_request()),
    };
    let bench = Bench {
        clients,
        directory,
        size_bytes: args.size_bytes(),
        concurrency: usize::from(args.concurrency),
        servers: cpu::local_servers(&config),
    };
    let measured = tokio::select! {
        measured = measure_work(&bench, args.work, args.names(), extent) => measured,
        () = stops.next() => Err(Failure::new(Code::Interrupted, "interrupted")),
    };
    if args.directory.is_none() {
        bench.clean().await;
    }
    let shape = bench.shape(args.work, config.storage.copies);
    let report = Report::new(measured?, &shape, limits);
    report.show(out);
    out.json(&report);
    Ok(())
}

async fn measure_work(
    bench: &Bench,
    work: Work,
    names: u64,
    extent: Extent,
) -> Outcome<recorder::Measured> {
    bench.prepare(work, names).await?;
    Ok(bench.run(work, names, extent).await)
}

/// A client for each mserver, so that all have work; one when the command line names a server.
async fn clients(global: &Global, config: &Arc<Config>, args: &BenchArgs) -> Outcome<Vec<Client>> {
    let durability = Some(args.durability.into());
    let with = |client: Client| {
        client.with(CallOptions {
            durability,
            ..CallOptions::default()
        })
    };
    if global.via.is_some() {
        return Ok(vec![with(session::connect(global).await?)]);
    }
    let connects = config.servers_of(Role::Mserver).map(|server| {
        let via = Some(server.name.to_string());
        let global = Global {
            via,
            ..global.clone()
        };
        async move { session::connect(&global).await }
    });
    let mut clients = Vec::new();
    let mut last = None;
    for connected in join_all(connects).await {
        match connected {
            Ok(client) => clients.push(with(client)),
            Err(failure) => {
                warn(&format!("sdfs: {failure}; the others get its share"));
                last = Some(failure);
            }
        }
    }
    match last {
        Some(failure) if clients.is_empty() => Err(failure),
        _ => Ok(clients),
    }
}

/// Where the disk is measured: the first dserver's space when it is on this machine.
fn data_folder(config: &Config) -> PathBuf {
    let mut spaces = config
        .servers_of(Role::Dserver)
        .filter_map(|server| server.space.first());
    let local = spaces.find(|space| space.is_dir());
    local.cloned().unwrap_or_else(std::env::temp_dir)
}

/// Creates for a while, for `demo`.
pub(crate) async fn creates(bench: &Bench, extent: Extent) -> Outcome<recorder::Measured> {
    measure_work(bench, Work::Create, 0, extent).await
}
