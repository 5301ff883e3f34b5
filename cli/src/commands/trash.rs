//! `trash`: what was deleted or replaced, for as long as it is kept.

use futures::TryStreamExt;
use sdfs_client::{Client, TrashEntry, TrashName};
use sdfs_types::{FileDescriptor, FileId, FilePath, FileVersion};
use serde::Serialize;

use super::names::Failures;
use crate::args::{Global, TrashCommand, TrashEmptyArgs, TrashLsArgs, TrashRestoreArgs};
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, warn};
use crate::session;
use crate::table::Table;
use crate::units;

const GROWING: &str = "sdfs: a large directory is still being taken apart; look again for more";

/// Lists, restores or empties.
pub(crate) async fn run(global: &Global, command: &TrashCommand, out: Output) -> Outcome {
    match command {
        TrashCommand::Ls(args) => list(global, args, out).await,
        TrashCommand::Restore(args) => restore(global, args, out).await,
        TrashCommand::Empty(args) => empty(global, args, out).await,
    }
}

/// A file in the trash, as `--json` tells.
#[derive(Debug, Serialize)]
struct Entry {
    id: String,
    path: FilePath,
    size_bytes: u64,
    owner: String,
    created_ms: u64,
    deleted_by: String,
    deleted_ms: u64,
    until_ms: u64,
}

impl From<TrashEntry> for Entry {
    fn from(entry: TrashEntry) -> Entry {
        Entry {
            id: entry.descriptor.to_string(),
            path: entry.path,
            size_bytes: entry.size_bytes,
            owner: entry.owner.as_ref().to_owned(),
            created_ms: entry.created_ms,
            deleted_by: entry.deleted_by.as_ref().to_owned(),
            deleted_ms: entry.deleted_ms,
            until_ms: entry.until_ms,
        }
    }
}

async fn list(global: &Global, args: &TrashLsArgs, out: Output) -> Outcome {
    let path = session::path(&args.path)?;
    let client = session::connect(global).await?;
    let mut left = args.limit.unwrap_or(usize::MAX);
    let mut found: Vec<Entry> = Vec::new();
    let mut entries = client.trash_list(path.as_str());
    while left > 0
        && let Some(entry) = entries.try_next().await?
    {
        found.push(entry.into());
        left -= 1;
    }
    let mut table = Table::new(&["id", ">size", "deleted", "by", "kept until", "path"]);
    for entry in &found {
        table.row([
            entry.id.clone(),
            units::size(entry.size_bytes),
            units::moment(entry.deleted_ms),
            entry.deleted_by.clone(),
            units::moment(entry.until_ms),
            entry.path.to_string(),
        ]);
    }
    if !found.is_empty() {
        table.print(out, 0);
    }
    let bytes = found.iter().map(|entry| entry.size_bytes).sum();
    out.say(&format!(
        "{} files, {}",
        units::count(found.len() as u64),
        units::size(bytes)
    ));
    out.json(&found);
    if entries.is_growing() {
        warn(GROWING);
    }
    Ok(())
}

async fn restore(global: &Global, args: &TrashRestoreArgs, out: Output) -> Outcome {
    let what = named(&args.what)?;
    let client = session::connect(global).await?;
    let wanted = match (&what, args.recursive) {
        (_, false) => vec![what],
        (TrashName::Path(path), true) => below(&client, path).await?,
        (TrashName::Descriptor(_), true) => {
            return Err(Failure::new(Code::Usage, "-r takes a name, not an id"));
        }
    };
    let mut restored = Vec::with_capacity(wanted.len());
    let mut failures = Failures::default();
    for what in wanted {
        let to = match &args.to {
            Some(to) => Some(target(&client, &what, to).await?),
            None => None,
        };
        let to = to.as_ref().map(FilePath::as_str);
        match client.restore(what, to, args.replace).await {
            Ok(done) => {
                out.say(&done.path.to_string());
                restored.push(serde_json::json!({
                    "path": done.path, "descriptor": done.name.descriptor.to_string(),
                }));
            }
            Err(error) => failures.add(error.into()),
        }
    }
    out.json(&serde_json::json!({ "restored": restored, "failed": failures.told }));
    failures.finish()
}

/// The name a restored file gets; in a directory it keeps its own.
async fn target(client: &Client, what: &TrashName, to: &str) -> Outcome<FilePath> {
    if !to.ends_with('/') {
        return Ok(session::path(to)?);
    }
    let path = match what {
        TrashName::Path(path) => Some(path.clone()),
        TrashName::Descriptor(descriptor) => {
            let mut entries = client.trash_list("/");
            let mut path = None;
            while let Some(entry) = entries.try_next().await? {
                if entry.descriptor == *descriptor {
                    path = Some(entry.path);
                    break;
                }
            }
            path
        }
    };
    let missing = || Failure::new(Code::NotFound, format!("{what} is not in the trash"));
    let path = path.ok_or_else(missing)?;
    let (_, name) = path.split_last().ok_or_else(missing)?;
    Ok(session::path_or_directory(to, name)?)
}

/// Of each path at or below this one, what was deleted last.
async fn below(client: &Client, path: &FilePath) -> Outcome<Vec<TrashName>> {
    let mut paths: Vec<FilePath> = Vec::new();
    let mut entries = client.trash_list(path.as_str());
    while let Some(entry) = entries.try_next().await? {
        if paths.last() != Some(&entry.path) {
            paths.push(entry.path);
        }
    }
    if entries.is_growing() {
        warn(GROWING);
    }
    if paths.is_empty() {
        let what = format!("nothing of {path} is in the trash");
        return Err(Failure::new(Code::NotFound, what).advise("`sdfs trash ls` shows what is"));
    }
    Ok(paths.into_iter().map(TrashName::Path).collect())
}

async fn empty(global: &Global, args: &TrashEmptyArgs, out: Output) -> Outcome {
    let path = session::path(&args.path)?;
    let client = session::connect(global).await?;
    let older_than = args.older_than.unwrap_or_default();
    let emptied = client.empty_trash(path.as_str(), older_than).await?;
    out.say(&format!(
        "deleted {} files, {}, for good",
        units::count(emptied.files),
        units::size(emptied.bytes)
    ));
    out.json(&serde_json::json!({ "files": emptied.files, "bytes": emptied.bytes }));
    Ok(())
}

/// Reads a name, or an id like `17.3`. A name that looks like an id begins with a slash.
fn named(text: &str) -> Outcome<TrashName> {
    if let Some((id, version)) = text.split_once('.')
        && let (Ok(id), Ok(version)) = (id.parse(), version.parse())
    {
        return Ok(TrashName::Descriptor(FileDescriptor {
            id: FileId(id),
            version: FileVersion(version),
        }));
    }
    Ok(TrashName::Path(session::path(text)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_differ() {
        let descriptor = FileDescriptor {
            id: FileId(17),
            version: FileVersion(3),
        };
        let read = |text| named(text).expect("a name or an id");
        assert_eq!(read("17.3"), TrashName::Descriptor(descriptor));
        for text in ["/17.3", "17.3.jpg", "photo.jpg", "17", ".3"] {
            assert!(matches!(read(text), TrashName::Path(_)), "{text}");
        }
    }
}
