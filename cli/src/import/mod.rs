//! `import`: files of another store, taken over with the names they have there.
//!
//! What is to be taken is listed first (`store_path`, `old_cluster` with `binlog`, or ids that
//! somebody knows), then copied by workers (`copy`), each from its own `origin`; `report` counts.
//! Where the files lie in the cluster is `sdfs_fastdfs::Imports`' matter.

mod binlog;
mod check;
mod copy;
mod listed;
mod old_cluster;
mod origin;
mod report;
mod store_path;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, btree_set};
use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::FuturesUnordered;
use sdfs_fastdfs::{Imports, all_groups};
use sdfs_server_group::Config;

use crate::args::{Global, ImportCommand, ImportFastdfsArgs};
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::local_read::Source;
use crate::output::{Output, warn};
use crate::progress::Progress;
use crate::session;
use crate::units;
use copy::Target;
use listed::Listed;
use old_cluster::OldCluster;
use origin::Origin;
use report::{Done, Report};
use store_path::StorePaths;

/// Lines that are no ids and are shown.
const WRONG_LINES_SHOWN: usize = 10;

/// Where a FastDFS is read.
enum Old {
    Paths(StorePaths),
    Servers(OldCluster),
}

/// What the workers share.
struct Import {
    target: Target,
    waiting: RefCell<btree_set::IntoIter<String>>,
    report: RefCell<Report>,
    all: u64,
    done: Cell<u64>,
}

/// Imports what the command line names.
pub(crate) async fn run(global: &Global, command: &ImportCommand, out: Output) -> Outcome {
    match command {
        ImportCommand::Fastdfs(args) => fastdfs(global, args, out).await,
    }
}

async fn fastdfs(global: &Global, args: &ImportFastdfsArgs, out: Output) -> Outcome {
    let config = session::config(global)?;
    let groups = groups(&config)?;
    if let Some(group) = &args.group {
        expect_group(&groups, group)?;
    }
    let begin = Instant::now();
    let (old, listed) = list(args, &groups).await?;
    // Before anything is copied.
    for group in listed.groups() {
        expect_group(&groups, group)?;
    }
    let client = session::connect(global).await?;
    let mut imports = BTreeMap::new();
    for group in listed.groups() {
        let begun = Imports::begin(client.clone(), group).await?;
        imports.insert(group.to_owned(), begun);
    }
    let progress = Progress::new("", Some(listed.told_bytes()), !out.is_json());
    let import = Import {
        report: RefCell::new(Report::of(&listed, args.ids.is_some())),
        all: listed.ids.len() as u64,
        done: Cell::new(0),
        target: Target {
            groups: imports,
            progress: progress.clone(),
        },
        waiting: RefCell::new(listed.ids.into_iter()),
    };
    let copied = import.copy_all(&old, args.concurrency.into()).await;
    progress.finish();
    let report = import.report.into_inner();
    let told = report.finish(begin.elapsed(), out);
    copied.and(told)
}

impl Import {
    /// Copies everything, so many files at once.
    async fn copy_all(&self, old: &Old, concurrency: usize) -> Outcome {
        let origin = |number| match old {
            Old::Paths(paths) => Origin::Paths(paths),
            Old::Servers(servers) => Origin::Servers(servers.client(number)),
        };
        let workers = (0..concurrency).map(|number| self.copy_some(origin(number)));
        let workers: FuturesUnordered<_> = workers.collect();
        workers.try_collect().await
    }

    /// One file after the other.
    async fn copy_some(&self, mut origin: Origin<'_>) -> Outcome {
        loop {
            let next = self.waiting.borrow_mut().next();
            let Some(id) = next else { return Ok(()) };
            let done = self.target.copy(&mut origin, &id).await?;
            let progress = &self.target.progress;
            if let Done::Already(bytes) = done {
                progress.advance(bytes);
            }
            self.done.set(self.done.get() + 1);
            let (done_count, all) = (units::count(self.done.get()), units::count(self.all));
            progress.tell(&format!("{done_count} of {all} files"));
            if let Some(words) = self.report.borrow_mut().take(&id, done) {
                progress.say(&format!("sdfs: {words}"));
            }
        }
    }
}

/// The groups of this cluster.
fn groups(config: &Config) -> Outcome<BTreeSet<&str>> {
    let settings = config.fastdfs.as_ref().ok_or_else(|| {
        let what = "config.conf switches no FastDFS doors on";
        let advice = "Add `fastdfs: (group: \"..\")` to it and restart the servers: ids are good \
                      at these doors";
        Failure::new(Code::Config, what).advise(advice)
    })?;
    Ok(all_groups(config, settings))
}

fn expect_group(groups: &BTreeSet<&str>, group: &str) -> Outcome {
    if groups.contains(group) {
        return Ok(());
    }
    let known: Vec<&str> = groups.iter().copied().collect();
    let what = format!(
        "this cluster has no group {group}, but {}",
        known.join(", ")
    );
    let advice = format!(
        "Ids begin with their group: name it in config.conf, as `fastdfs: (group: \"{group}\")` \
         or `group: \"{group}\"` of dservers, and restart the servers; --group takes one alone"
    );
    Err(Failure::new(Code::Config, what).advise(advice))
}

/// Everything that is to be taken, and where.
async fn list(args: &ImportFastdfsArgs, known: &BTreeSet<&str>) -> Outcome<(Old, Listed)> {
    let group = args.group.as_deref();
    if let (true, Some(group)) = (args.trackers.is_empty(), group) {
        let paths = StorePaths::of(&args.paths)?;
        let listed = paths.list(group).await?;
        return Ok((Old::Paths(paths), listed));
    }
    let servers = OldCluster::reach(&args.trackers).await?;
    let mut listed = Listed::default();
    if let Some(file) = &args.ids {
        take_ids(file, group, &mut listed).await?;
        return Ok((Old::Servers(servers), listed));
    }
    let mut wanted = servers.groups().await?;
    if let Some(group) = group {
        let has = wanted.join(", ");
        wanted.retain(|one| one == group);
        if wanted.is_empty() {
            let what = format!("the trackers know no group {group}, but {has}");
            return Err(Failure::new(Code::NotFound, what));
        }
    }
    for group in &wanted {
        expect_group(known, group)?;
        servers.list(group, &mut listed).await?;
    }
    Ok((Old::Servers(servers), listed))
}

/// Ids that somebody knows, one a line.
async fn take_ids(file: &Path, group: Option<&str>, listed: &mut Listed) -> Outcome {
    let source = match file == Path::new("-") {
        true => Source::stdin()?,
        false => Source::open(file)?,
    };
    let pieces = source.stream(Progress::new("", None, false))?;
    let pieces: Vec<Bytes> = pieces
        .try_collect()
        .await
        .map_err(|error| Failure::local("read", file, &error))?;
    let text = pieces.concat();
    let text = String::from_utf8_lossy(&text);
    let wrong = listed.take_lines(&text, group);
    for (number, line) in wrong.iter().take(WRONG_LINES_SHOWN) {
        warn(&format!("sdfs: line {number}: '{line}' is no file id"));
    }
    if wrong.len() > WRONG_LINES_SHOWN {
        let more = units::count((wrong.len() - WRONG_LINES_SHOWN) as u64);
        warn(&format!("sdfs: and {more} lines more"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_is_not_here_is_refused() {
        let groups = BTreeSet::from(["group1", "images"]);
        assert!(expect_group(&groups, "images").is_ok());
        let failure = expect_group(&groups, "group2").expect_err("no such group");
        assert_eq!(failure.code, Code::Config);
        assert!(failure.what.contains("group1, images"), "{failure}");
    }
}
