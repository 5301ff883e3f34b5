//! `ls`: the entries of a directory.

use futures::TryStreamExt;
use sdfs_client::{CallOptions, Client, DirectoryEntry, Error, Freshness, Refusal};
use sdfs_types::EntryKind;
use serde::Serialize;

use crate::args::{Global, LsArgs};
use crate::failure::Outcome;
use crate::output::{Output, write_out};
use crate::session;
use crate::units;

/// Text gathered before it is printed.
const BUFFER_BYTES: usize = 64 * 1024;

/// An entry, as `--json` tells.
#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    kind: EntryKind,
    size_bytes: u64,
    created_ms: u64,
    descriptor: String,
}

impl From<DirectoryEntry> for Entry {
    fn from(entry: DirectoryEntry) -> Entry {
        Entry {
            name: entry.name.as_ref().to_owned(),
            kind: entry.kind,
            size_bytes: entry.size_bytes,
            created_ms: entry.created_ms,
            descriptor: entry.descriptor.to_string(),
        }
    }
}

/// Lists the directory the command line names; a file is its own only entry.
pub(crate) async fn run(global: &Global, args: &LsArgs, out: Output) -> Outcome {
    let path = session::path(&args.path)?;
    let freshness = if args.local {
        Freshness::Local
    } else {
        Freshness::Linearizable
    };
    let client = session::connect(global).await?;
    let client = client.with(CallOptions {
        freshness,
        ..CallOptions::default()
    });
    let listed = list(&client, path.as_str(), args, out).await;
    match listed {
        Err(Error::Refused(Refusal::NotDirectory { .. })) => {
            let stat = client.stat(path.as_str()).await?;
            let size_bytes = stat
                .file
                .map_or(stat.name.size_bytes, |file| file.size_bytes);
            let mut printer = Printer::new(args, out);
            printer.entry(Entry {
                name: stat.name.name.as_ref().to_owned(),
                kind: stat.name.kind,
                size_bytes,
                created_ms: stat.name.created_ms,
                descriptor: stat.name.descriptor.to_string(),
            });
            printer.finish();
            Ok(())
        }
        listed => Ok(listed?),
    }
}

async fn list(client: &Client, path: &str, args: &LsArgs, out: Output) -> Result<(), Error> {
    let mut printer = Printer::new(args, out);
    let mut left = args.limit.unwrap_or(usize::MAX);
    let mut entries = client.list(path);
    while left > 0
        && let Some(entry) = entries.try_next().await?
    {
        printer.entry(entry.into());
        left -= 1;
    }
    printer.finish();
    Ok(())
}

/// Prints entries as they come: a directory of millions needs no memory here.
struct Printer {
    out: Output,
    is_long: bool,
    text: String,
    entries: u64,
}

impl Printer {
    fn new(args: &LsArgs, out: Output) -> Printer {
        Printer {
            out,
            is_long: args.long,
            text: String::new(),
            entries: 0,
        }
    }

    fn entry(&mut self, entry: Entry) {
        if self.out.is_json() {
            self.text
                .push_str(if self.entries == 0 { "[" } else { "," });
            // Plain fields always have a JSON form.
            self.text
                .push_str(&serde_json::to_string(&entry).unwrap_or_default());
        } else {
            let slash = if entry.kind == EntryKind::Directory {
                "/"
            } else {
                ""
            };
            if self.is_long {
                let size = match entry.kind {
                    EntryKind::Directory => "-".to_owned(),
                    EntryKind::File => units::size(entry.size_bytes),
                };
                let created = units::moment(entry.created_ms);
                self.text.push_str(&format!("{size:>10}  {created}  "));
            }
            self.text.push_str(&entry.name);
            self.text.push_str(slash);
            self.text.push('\n');
        }
        self.entries += 1;
        if self.text.len() >= BUFFER_BYTES {
            write_out(self.text.as_bytes());
            self.text.clear();
        }
    }

    fn finish(mut self) {
        if self.out.is_json() {
            self.text
                .push_str(if self.entries == 0 { "[]\n" } else { "]\n" });
        }
        write_out(self.text.as_bytes());
    }
}
