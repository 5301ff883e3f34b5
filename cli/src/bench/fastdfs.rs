//! `bench fastdfs`: small files through the FastDFS protocol, the tracker asked for each.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use sdfs_net_layer::{TcpTransport, Transport};
use sdfs_server_group::Role;

use super::args::{Extent, FastdfsArgs, FastdfsWork};
use super::cpu::{self, CpuTime};
use super::engine::FAILURE_PAUSE;
use super::limits::{Limits, measure};
use super::mix::{Dice, random_bytes};
use super::recorder::{Measured, Recorder};
use super::report::{self, Report, Shape};
use super::turns::Turns;
use crate::args::Global;
use crate::commands::serve::Stops;
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::fastdfs::{FastDfs, FileId};
use crate::output::{Output, warn};
use crate::session;

/// What the workers of one run share.
struct Run<'a> {
    work: FastdfsWork,
    content: Bytes,
    turns: Turns,
    recorder: Recorder,
    /// Files that are there, and may be read or deleted.
    files: &'a RefCell<VecDeque<FileId>>,
    /// Whether to end early.
    ending: &'a Cell<bool>,
}

/// Measures the machine, then the servers.
pub(super) async fn run(global: &Global, args: &FastdfsArgs, out: Output) -> Outcome {
    let extent = args.extent()?;
    let mut stops = Stops::listen()?;
    let Target {
        trackers,
        transport,
        servers,
        limits,
        copies,
    } = target(global, args)?;
    if let Some(limits) = &limits {
        report::show_limits(limits, out);
    }
    let mut clients: Vec<_> = (0..usize::from(args.concurrency))
        .map(|number| FastDfs::new(&transport, &trackers, number))
        .collect();
    let ending = Cell::new(false);
    let measuring = measure_work(&mut clients, (args, extent), (&servers, &ending));
    let mut measuring = std::pin::pin!(measuring);
    let measured = tokio::select! {
        measured = &mut measuring => measured,
        () = stops.next() => {
            // What was stored is taken away all the same, unless it is asked twice.
            ending.set(true);
            let interrupted = Err(Failure::new(Code::Interrupted, "interrupted"));
            tokio::select! {
                measured = &mut measuring => measured.and(interrupted),
                () = stops.next() => interrupted,
            }
        }
    };
    let shape = Shape {
        name: args.work.name(),
        like: args.work.like(),
        concurrency: args.concurrency.into(),
        size_bytes: args.size,
        copies,
    };
    let report = Report::new(measured?, &shape, limits);
    report.show(out);
    out.json(&report);
    Ok(())
}

/// Whom to ask, which processes to watch, and what this machine could do.
struct Target {
    trackers: Vec<SocketAddr>,
    transport: Arc<dyn Transport>,
    servers: Vec<u32>,
    limits: Option<Limits>,
    copies: u16,
}

fn target(global: &Global, args: &FastdfsArgs) -> Outcome<Target> {
    let measured = |folder: &Path| match args.no_limits {
        true => Ok(None),
        false => measure(folder).map(Some),
    };
    if let Some(tracker) = args.tracker {
        return Ok(Target {
            trackers: vec![tracker],
            transport: Arc::new(TcpTransport),
            servers: Vec::new(),
            limits: measured(&std::env::temp_dir())?,
            copies: 1,
        });
    }
    let config = session::config(global)?;
    let Some(settings) = &config.fastdfs else {
        let failure = Failure::new(Code::Config, "config.conf switches no FastDFS doors on");
        return Err(failure.advise("Add `fastdfs: ()` to it, or name a tracker with --tracker"));
    };
    let trackers = config
        .servers_of(Role::Mserver)
        .map(|server| settings.tracker_address(&config, server));
    Ok(Target {
        trackers: trackers.collect(),
        transport: config.fastdfs_transport()?,
        servers: cpu::local_servers(&config),
        limits: measured(&super::data_folder(&config))?,
        copies: config.storage.copies,
    })
}

async fn measure_work(
    clients: &mut [FastDfs],
    (args, extent): (&FastdfsArgs, Extent),
    (servers, ending): (&[u32], &Cell<bool>),
) -> Outcome<Measured> {
    clients[0].test().await.map_err(|error| {
        let what = format!("the first tracker does not answer: {error}");
        Failure::new(Code::Unreachable, what).advise("Start the servers, or name another --tracker")
    })?;
    let files = RefCell::new(VecDeque::new());
    let prepare = Run::new(
        FastdfsWork::Upload,
        (args.size, args.prepared()),
        (&files, ending),
    );
    let prepared = prepare.go(clients, &[]).await;
    let measured = match prepared.told.keys().next() {
        Some(words) => {
            let what = format!("the files to work on could not be stored: {words}");
            Err(Failure::new(Code::NotNow, what))
        }
        None => {
            let run = Run::new(args.work, (args.size, extent), (&files, ending));
            Ok(run.go(clients, servers).await)
        }
    };
    // Takes away everything that was made; a failure is told and that is all. A connection that
    // was closed meanwhile is noticed by the first attempt.
    let never = Cell::new(false);
    let mut told = BTreeMap::new();
    for _ in 0..2 {
        let count = Extent::Count(files.borrow().len() as u64);
        let clean = Run::new(FastdfsWork::Delete, (args.size, count), (&files, &never));
        told = clean.go(clients, &[]).await.told;
    }
    for (words, times) in told {
        warn(&format!("sdfs: {times} files stay: {words}"));
    }
    measured
}

impl<'a> Run<'a> {
    fn new(
        work: FastdfsWork,
        (size_bytes, extent): (u64, Extent),
        (files, ending): (&'a RefCell<VecDeque<FileId>>, &'a Cell<bool>),
    ) -> Run<'a> {
        let Some(recorder) = Recorder::new() else {
            unreachable!("the histogram's bounds fit")
        };
        Run {
            work,
            content: random_bytes(size_bytes),
            turns: Turns::begin(extent),
            recorder,
            files,
            ending,
        }
    }

    /// Works until it is done.
    async fn go(self, clients: &mut [FastDfs], servers: &[u32]) -> Measured {
        let begin = Instant::now();
        let cpu_before = CpuTime::now(servers);
        let numbered = (1..).zip(clients.iter_mut());
        let mut workers: FuturesUnordered<_> = numbered
            .map(|(number, client)| self.worker(client, Dice::new(number)))
            .collect();
        while workers.next().await.is_some() {}
        drop(workers);
        let cpu = CpuTime::now(servers).since(cpu_before);
        self.recorder.finish(begin.elapsed(), cpu)
    }

    /// One operation after the other until the work is done.
    async fn worker(&self, client: &mut FastDfs, mut dice: Dice) {
        while !self.ending.get() && self.turns.next().is_some() {
            let begin = Instant::now();
            match self.one(client, dice.roll()).await {
                Ok(bytes) => self.recorder.done(begin.elapsed(), 1, bytes),
                Err(error) => {
                    self.recorder.failed(&error);
                    tokio::time::sleep(FAILURE_PAUSE).await;
                }
            }
        }
    }

    /// The bytes it moved.
    async fn one(&self, client: &mut FastDfs, dice: u64) -> io::Result<u64> {
        let bytes = self.content.len() as u64;
        match self.work {
            FastdfsWork::Upload => {
                let id = client.upload(&self.content).await?;
                self.files.borrow_mut().push_back(id);
                Ok(bytes)
            }
            FastdfsWork::Download => {
                let id = {
                    let files = self.files.borrow();
                    files[dice as usize % files.len()].clone()
                };
                match client.download(&id).await? == self.content {
                    true => Ok(bytes),
                    false => Err(io::Error::other("other bytes came back")),
                }
            }
            FastdfsWork::Delete => {
                let id = self.files.borrow_mut().pop_back();
                let id = id.ok_or_else(|| io::Error::other("no file is left"))?;
                let deleted = client.delete(&id).await;
                if deleted.is_err() {
                    // The last to be tried again.
                    self.files.borrow_mut().push_front(id);
                }
                Ok(deleted.map(|()| 0)?)
            }
        }
    }
}
