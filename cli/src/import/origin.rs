//! Where files come from: store paths of this machine, or storages that trackers name.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use bytes::Bytes;
use futures::{Stream, StreamExt};

use super::listed::FileId;
use super::store_path::{StorePaths, metadata_of};
use crate::exit::Code;
use crate::failure::{Failure, Outcome, plain};
use crate::fastdfs::{Answer, AskError, FastDfs, file_id};
use crate::local_read::Source;
use crate::progress::Progress;

/// Where one worker gets files from.
pub(super) enum Origin<'a> {
    Paths(&'a StorePaths),
    Servers(FastDfs),
}

/// Where a file is, and its size.
#[derive(Debug)]
pub(super) struct Found {
    at: Place,
    pub(super) bytes: u64,
}

#[derive(Debug)]
enum Place {
    File(PathBuf),
    Storage(SocketAddr),
}

/// Why a file cannot be read.
#[derive(Debug)]
pub(super) enum OriginFault {
    /// It alone, as far as is known.
    File(Failure),
    /// No file can.
    All(Failure),
}

/// The bytes of a file.
pub(super) enum Content<'a> {
    File(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
    Answer(Answer<'a>),
    Nothing,
}

impl Origin<'_> {
    /// Looks for a file, but not at storages that were `passed`; nothing when it is nowhere. The
    /// one that a tracker names may lag behind: then the others of the group are asked.
    pub(super) async fn find(
        &mut self,
        id: &FileId<'_>,
        passed: &[SocketAddr],
    ) -> Result<Option<Found>, OriginFault> {
        let client = match self {
            Origin::Servers(client) => client,
            Origin::Paths(paths) => {
                let path = paths.place(&id.name);
                return Ok(path.map(found_at).transpose()?.flatten());
            }
        };
        let wanted = file_id(id.group, id.name.text);
        let mut to_ask = Vec::new();
        if passed.is_empty() {
            to_ask.push(client.holder(&wanted).await.map_err(of_tracker)?);
        }
        to_ask.extend(client.active(id.group).await.map_err(of_tracker)?);
        let (mut asked, mut failed) = (passed.to_vec(), None);
        for at in to_ask {
            if asked.contains(&at) {
                continue;
            }
            asked.push(at);
            match found_there(client, at, &wanted).await {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                // Another one may have it.
                Err(failure) => failed = Some(failure),
            }
        }
        failed.map_or(Ok(None), |failure| Err(failure.into()))
    }

    /// The metadata of a file; empty when it has none.
    pub(super) async fn metadata(&mut self, id: &FileId<'_>, found: &Found) -> Outcome<Vec<u8>> {
        match &found.at {
            Place::File(path) => read_if_there(&metadata_of(path)),
            Place::Storage(at) => {
                let wanted = file_id(id.group, id.name.text);
                let text = self.client().metadata(*at, &wanted).await;
                text.map_err(|error| of_storage(*at, &error))
            }
        }
    }

    /// The content of a file.
    pub(super) async fn content(&mut self, id: &FileId<'_>, found: &Found) -> Outcome<Content<'_>> {
        match &found.at {
            // The original answers that an empty file cannot be read.
            _ if found.bytes == 0 => Ok(Content::Nothing),
            Place::File(path) => {
                let untold = Progress::new("", None, false);
                let stream = Source::open(path)?.stream(untold)?;
                Ok(Content::File(Box::pin(stream)))
            }
            Place::Storage(at) => {
                let wanted = file_id(id.group, id.name.text);
                let content = self.client().content(*at, &wanted).await;
                let content = content.map_err(|error| of_storage(*at, &error))?;
                Ok(Content::Answer(content))
            }
        }
    }

    fn client(&mut self) -> &mut FastDfs {
        match self {
            Origin::Servers(client) => client,
            Origin::Paths(_) => unreachable!("what lies in a store path is at no storage"),
        }
    }
}

impl Found {
    /// The storage it is at.
    pub(super) fn storage(&self) -> Option<SocketAddr> {
        match self.at {
            Place::File(_) => None,
            Place::Storage(at) => Some(at),
        }
    }
}

impl Content<'_> {
    /// The next bytes; nothing at the end.
    pub(super) async fn piece(&mut self) -> Outcome<Option<Bytes>> {
        let (piece, code) = match self {
            Content::File(stream) => (stream.next().await.transpose(), Code::Local),
            Content::Answer(answer) => (answer.piece().await, Code::Unreachable),
            Content::Nothing => return Ok(None),
        };
        piece.map_err(|error| {
            let what = format!("it was not read to its end: {}", plain(&error));
            Failure::new(code, what)
        })
    }
}

impl From<Failure> for OriginFault {
    fn from(failure: Failure) -> OriginFault {
        OriginFault::File(failure)
    }
}

fn found_at(path: PathBuf) -> Outcome<Option<Found>> {
    match std::fs::metadata(&path) {
        Ok(known) if known.is_file() => Ok(Some(Found {
            bytes: known.len(),
            at: Place::File(path),
        })),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::local("read", &path, &error)),
    }
}

async fn found_there(
    client: &mut FastDfs,
    at: SocketAddr,
    wanted: &Vec<u8>,
) -> Outcome<Option<Found>> {
    match client.size(at, wanted).await {
        Ok(bytes) => Ok(Some(Found {
            at: Place::Storage(at),
            bytes,
        })),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(of_storage(at, &error)),
    }
}

fn of_tracker(error: AskError) -> OriginFault {
    match error {
        AskError::Status { .. } => OriginFault::File(error.into()),
        AskError::Broken(_) => OriginFault::All(error.into()),
    }
}

fn of_storage(at: SocketAddr, error: &AskError) -> Failure {
    Failure::new(Code::Unreachable, format!("the storage {at}: {error}"))
        .advise("Run it again to go on; trackers may name another storage then")
}

fn read_if_there(path: &Path) -> Outcome<Vec<u8>> {
    match std::fs::read(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Failure::local("read", path, &error)),
    }
}

/// What a tracker said, or that none does.
impl From<AskError> for Failure {
    fn from(error: AskError) -> Failure {
        let what = match error {
            AskError::Status { .. } => format!("the tracker refuses: {error}"),
            AskError::Broken(_) => format!("no tracker answers: {error}"),
        };
        Failure::new(Code::Unreachable, what)
            .advise("Check --tracker, and whether the old servers run")
    }
}
