//! `put`: files, folders and standard input into the cluster.

use std::cell::Cell;
use std::path::Path;
use std::time::Instant;

use futures::stream::{self, StreamExt};
use sdfs_client::{
    BlockSize, CallOptions, Client, Durability, FileMetaMetaData, InstantPut, PutOptions,
};
use sdfs_types::FilePath;
use serde::Serialize;

use crate::args::{DurabilityArg, Global, PutArgs};
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::local_read::Source;
use crate::output::Output;
use crate::progress::Progress;
use crate::session;
use crate::tally::Tally;
use crate::units;
use crate::walk::{Found, walk};

/// Files of a folder under way at the same time: small files wait for each other's syncs, large
/// ones share the wire anyhow.
const FILES_AT_ONCE: usize = 16;

/// What was stored.
#[derive(Debug, Serialize)]
struct Stored {
    path: FilePath,
    descriptor: String,
    size_bytes: u64,
    /// Nothing, when the cluster had the content.
    sent_bytes: u64,
    /// Whether names may share its content.
    is_shared: bool,
    seconds: f64,
    mb_per_s: f64,
}

/// Stores what the command line names.
pub(crate) async fn run(global: &Global, args: &PutArgs, out: Output) -> Outcome {
    let options = put_options(args)?;
    let target = target(args)?;
    let is_stdin = args.source == Path::new("-");
    if is_stdin && args.recursive {
        return Err(Failure::new(
            Code::Usage,
            "standard input is no folder; leave out -r",
        ));
    }
    if args.recursive {
        let found = walk(&args.source)?;
        let client = connect(global, args).await?;
        let how = How {
            options,
            is_instant: args.instant,
        };
        return folder(&client, &target, found, how, out).await;
    }
    let source = if is_stdin {
        Source::stdin()?
    } else {
        Source::open(&args.source)?
    };
    let client = connect(global, args).await?;
    let bytes = source.bytes;
    let progress = Progress::new(target.as_str(), bytes, !out.is_json());
    let begin = Instant::now();
    let how = How {
        options,
        is_instant: args.instant,
    };
    let put = one(&client, &target, source, (&how, progress.clone())).await;
    progress.finish();
    let Put {
        name: stored,
        is_sent,
        is_shared,
    } = put?;
    let seconds = begin.elapsed().as_secs_f64();
    let sent_bytes = if is_sent { stored.size_bytes } else { 0 };
    let mb_per_s = sent_bytes as f64 / seconds / 1e6;
    let rate = match is_sent {
        true => units::rate(mb_per_s),
        false => "the cluster had it: nothing was sent".to_owned(),
    };
    let size = units::size(stored.size_bytes);
    out.say(&format!("{target}  {size}  {seconds:.2} s  {rate}"));
    out.json(&Stored {
        path: target,
        descriptor: stored.descriptor.to_string(),
        size_bytes: stored.size_bytes,
        sent_bytes,
        is_shared,
        seconds,
        mb_per_s,
    });
    Ok(())
}

/// How files are stored.
#[derive(Clone)]
struct How {
    options: PutOptions,
    is_instant: bool,
}

/// What was put.
struct Put {
    name: FileMetaMetaData,
    /// Whether its bytes were sent.
    is_sent: bool,
    /// Whether names may share its content.
    is_shared: bool,
}

/// Stores one file.
async fn one(
    client: &Client,
    target: &FilePath,
    source: Source,
    (how, progress): (&How, Progress),
) -> Outcome<Put> {
    let options = PutOptions {
        size_bytes: source.bytes,
        ..how.options.clone()
    };
    if !how.is_instant || source.bytes == Some(0) {
        let mut stream = source.stream(progress)?;
        let put = client.put_stream(target.as_str(), &mut stream, options);
        return Ok(Put {
            name: put.await?,
            is_sent: true,
            is_shared: false,
        });
    }
    let mut reader = source.reader(progress)?;
    let put = client.put_instant(target.as_str(), &mut reader, options);
    match put.await? {
        InstantPut::Linked { name } => Ok(Put {
            name,
            is_sent: false,
            is_shared: true,
        }),
        InstantPut::Sent { name, shared } => {
            if let Err(error) = &shared {
                tracing::warn!(%target, %error, "stored, but its content is not shared");
            }
            Ok(Put {
                name,
                is_sent: true,
                is_shared: shared.is_ok(),
            })
        }
    }
}

async fn connect(global: &Global, args: &PutArgs) -> Outcome<Client> {
    let durability = Some(args.durability.into());
    let options = CallOptions {
        durability,
        ..CallOptions::default()
    };
    Ok(session::connect(global).await?.with(options))
}

impl From<DurabilityArg> for Durability {
    fn from(arg: DurabilityArg) -> Durability {
        match arg {
            DurabilityArg::Synced => Durability::Synced,
            DurabilityArg::Replicated => Durability::Replicated,
        }
    }
}

/// The block size as given, when it is one.
pub(crate) fn block_size(bytes: Option<u64>) -> Outcome<Option<BlockSize>> {
    let size = bytes.map(BlockSize::from_bytes).transpose();
    size.map_err(|fault| Failure::new(Code::Usage, format!("--block-size: {fault}")))
}

fn put_options(args: &PutArgs) -> Outcome<PutOptions> {
    Ok(PutOptions {
        replace: !args.no_replace,
        block_size: block_size(args.block_size)?,
        make_parents: args.parents,
        ..PutOptions::default()
    })
}

/// The name in the cluster: as given, in the directory given, or the local one in the root.
fn target(args: &PutArgs) -> Outcome<FilePath> {
    let local = args
        .source
        .file_name()
        .or_else(|| args.source.components().next_back().map(|c| c.as_os_str()));
    let local = local
        .and_then(|name| name.to_str())
        .filter(|name| !matches!(*name, "-" | "." | ".."));
    let name = args.name.as_deref();
    let wanted = match (name, local) {
        (Some(name), Some(local)) => session::path_or_directory(name, local)?,
        (Some(name), None) => session::path(name)?,
        (None, Some(local)) => FilePath::root().join(local)?,
        (None, None) => {
            let what = "standard input has no name; give the one it gets in the cluster";
            return Err(Failure::new(Code::Usage, what));
        }
    };
    if wanted.is_root() && !args.recursive {
        return Err(Failure::new(
            Code::Usage,
            "`/` is the root directory, not a file",
        ));
    }
    Ok(wanted)
}

/// Stores a folder with everything in it: directories first, then the files, several at once.
/// What fails is told and does not stop the rest.
async fn folder(
    client: &Client,
    target: &FilePath,
    found: Found,
    how: How,
    out: Output,
) -> Outcome {
    let begin = Instant::now();
    let mut tally = Tally::default();
    client.mkdir_all(target.as_str()).await?;
    for folder in &found.folders {
        let made = match under(target, folder) {
            Ok(path) => client
                .mkdir_all(path.as_str())
                .await
                .map(|_| ())
                .map_err(Failure::from),
            Err(failure) => Err(failure),
        };
        tally.folder(&folder.display().to_string(), made);
    }
    for skipped in &found.skipped {
        tally.skip(&skipped.display().to_string());
    }
    let progress = Progress::new(target.as_str(), Some(found.bytes), !out.is_json());
    let load = Load {
        client,
        target,
        root: &found.root,
        how,
        progress: progress.clone(),
        known: Cell::new(0),
    };
    let load = &load;
    let files = found
        .files
        .iter()
        .map(|file| async move { (file, load.store(file).await) });
    let mut stored = stream::iter(files).buffer_unordered(FILES_AT_ONCE);
    while let Some((file, outcome)) = stored.next().await {
        tally.file(&file.display().to_string(), outcome);
    }
    progress.finish();
    if load.known.get() > 0 {
        let known = load.known.get();
        out.say(&format!(
            "{known} of them the cluster had: nothing of those was sent"
        ));
    }
    tally.finish(begin.elapsed(), "stored in", target.as_str(), out)
}

/// A folder on its way.
struct Load<'a> {
    client: &'a Client,
    target: &'a FilePath,
    root: &'a Path,
    how: How,
    progress: Progress,
    /// Files the cluster had the content of.
    known: Cell<u64>,
}

impl Load<'_> {
    /// Stores the file at `file` below the folder; returns its size.
    async fn store(&self, file: &Path) -> Outcome<u64> {
        let path = under(self.target, file)?;
        let source = Source::open(&self.root.join(file))?;
        let told = (&self.how, self.progress.clone());
        let put = one(self.client, &path, source, told).await?;
        self.known.set(self.known.get() + u64::from(!put.is_sent));
        Ok(put.name.size_bytes)
    }
}

/// The name below `target` of a local path relative to the folder that is stored.
fn under(target: &FilePath, relative: &Path) -> Outcome<FilePath> {
    let mut path = target.clone();
    for part in relative.components() {
        let name = part.as_os_str().to_str().ok_or_else(|| {
            let what = format!("the name {} is not UTF-8", relative.display());
            Failure::new(Code::Local, what)
        })?;
        path = path.join(name)?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn target_of(words: &[&str]) -> Option<String> {
        let cli = Cli::try_parse_from(["sdfs", "put"].iter().chain(words)).expect("understood");
        let Command::Put(args) = cli.command else {
            return None;
        };
        target(&args).ok().map(String::from)
    }

    #[test]
    fn names_follow_the_source() {
        let table: &[(&[&str], Option<&str>)] = &[
            (&["a/b.txt"], Some("/b.txt")),
            (&["a/b.txt", "/x"], Some("/x")),
            (&["a/b.txt", "/x/"], Some("/x/b.txt")),
            (&["a/b.txt", "/"], Some("/b.txt")),
            (&["-r", "a", "/"], Some("/a")),
            (&["-r", ".", "/"], Some("/")),
            (&["-", "/x"], Some("/x")),
            (&["-"], None),
            (&["a", &"n".repeat(256)], None),
        ];
        for (words, expected) in table {
            assert_eq!(target_of(words).as_deref(), *expected, "{words:?}");
        }
    }
}
