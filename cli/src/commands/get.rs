//! `get`: files and directories out of the cluster.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use futures::stream::{self, StreamExt, TryStreamExt};
use sdfs_client::{Client, Error, Refusal};
use sdfs_types::{EntryKind, FilePath};
use serde::Serialize;

use crate::args::{GetArgs, Global};
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::local_write::Target;
use crate::output::Output;
use crate::progress::Progress;
use crate::session;
use crate::tally::Tally;
use crate::units;

/// Files of a directory under way at the same time.
const FILES_AT_ONCE: usize = 8;

/// What was read.
#[derive(Debug, Serialize)]
struct Read<'a> {
    path: &'a FilePath,
    target: String,
    size_bytes: u64,
    seconds: f64,
    mb_per_s: f64,
}

/// Reads what the command line names.
pub(crate) async fn run(global: &Global, args: &GetArgs, out: Output) -> Outcome {
    let path = session::path(&args.name)?;
    let is_stdout = args.target.as_deref() == Some(Path::new("-"));
    if args.recursive {
        if is_stdout {
            return Err(Failure::new(
                Code::Usage,
                "a directory does not fit standard output",
            ));
        }
        let client = session::connect(global).await?;
        return directory(&client, &path, args, out).await;
    }
    let client = session::connect(global).await?;
    let begin = Instant::now();
    // Opened first: a name that does not exist leaves no trace on this machine.
    let bytes = client
        .get_stream(path.as_str())
        .await
        .map_err(|error| match error {
            Error::Refused(Refusal::IsDirectory { .. }) => {
                Failure::from(error).advise("-r reads directories")
            }
            error => error.into(),
        })?;
    let local = local_file(args, &path)?;
    let target = if is_stdout {
        Target::stdout()?
    } else {
        Target::file(&local, !args.no_replace)?
    };
    let progress = Progress::new(path.as_str(), Some(bytes.file_bytes()), !out.is_json());
    let read = copy(bytes, target, &progress).await;
    progress.finish();
    let size_bytes = read?;
    let seconds = begin.elapsed().as_secs_f64();
    let mb_per_s = size_bytes as f64 / seconds / 1e6;
    if is_stdout {
        return Ok(());
    }
    let target = local.display().to_string();
    out.say(&format!(
        "{target}  {}  {seconds:.2} s  {}",
        units::size(size_bytes),
        units::rate(mb_per_s)
    ));
    out.json(&Read {
        path: &path,
        target,
        size_bytes,
        seconds,
        mb_per_s,
    });
    Ok(())
}

async fn copy(
    mut bytes: sdfs_client::ByteStream,
    mut target: Target,
    progress: &Progress,
) -> Outcome<u64> {
    let mut copied = 0;
    while let Some(piece) = bytes.try_next().await? {
        copied += piece.len() as u64;
        progress.advance(piece.len() as u64);
        if !target.write(piece).await {
            break;
        }
    }
    target.finish().await?;
    Ok(copied)
}

/// The local file: as given, in the folder given, or its own name here.
fn local_file(args: &GetArgs, path: &FilePath) -> Outcome<PathBuf> {
    let Some((_, name)) = path.split_last() else {
        return Err(Failure::new(Code::Usage, "`/` is the root directory").advise("Add -r"));
    };
    Ok(match &args.target {
        Some(target) if target.is_dir() => target.join(name),
        Some(target) => target.clone(),
        None => PathBuf::from(name),
    })
}

/// One entry to fetch.
struct Wanted {
    path: FilePath,
    local: PathBuf,
}

/// Reads a directory with everything in it; what fails is told and does not stop the rest.
async fn directory(client: &Client, path: &FilePath, args: &GetArgs, out: Output) -> Outcome {
    let begin = Instant::now();
    let local = match (path.split_last(), &args.target) {
        (Some((_, name)), Some(target)) if target.is_dir() => target.join(name),
        (None, None) => PathBuf::from("."),
        (Some((_, name)), None) => PathBuf::from(name),
        (_, Some(target)) => target.clone(),
    };
    let mut tally = Tally::default();
    let files = plan(client, path, &local, &mut tally).await?;
    let fetches = files.into_iter().map(|file| async move {
        let outcome = one(client, &file, !args.no_replace).await;
        (file, outcome)
    });
    let mut fetched = stream::iter(fetches).buffer_unordered(FILES_AT_ONCE);
    while let Some((file, outcome)) = fetched.next().await {
        tally.file(file.path.as_str(), outcome);
    }
    tally.finish(
        begin.elapsed(),
        "read into",
        &local.display().to_string(),
        out,
    )
}

/// Makes the local folders and says which files are to be fetched.
async fn plan(
    client: &Client,
    path: &FilePath,
    local: &Path,
    tally: &mut Tally,
) -> Outcome<Vec<Wanted>> {
    let mut files = Vec::new();
    let mut waiting = vec![Wanted {
        path: path.clone(),
        local: local.to_owned(),
    }];
    while let Some(directory) = waiting.pop() {
        // Listed first, so that a name that is no directory leaves no trace on this machine.
        let entries: Vec<_> = client.list(directory.path.as_str()).try_collect().await?;
        let made = fs::create_dir_all(&directory.local)
            .map_err(|error| Failure::local("make", &directory.local, &error));
        tally.folder(directory.path.as_str(), made);
        for entry in entries {
            let wanted = Wanted {
                path: directory.path.join(&entry.name)?,
                local: directory.local.join(&*entry.name),
            };
            match entry.kind {
                EntryKind::Directory => waiting.push(wanted),
                EntryKind::File => files.push(wanted),
            }
        }
    }
    Ok(files)
}

async fn one(client: &Client, file: &Wanted, is_replacing: bool) -> Outcome<u64> {
    let bytes = client.get_stream(file.path.as_str()).await?;
    let target = Target::file(&file.local, is_replacing)?;
    copy(bytes, target, &Progress::new("", None, false)).await
}
