//! One file, from where it is to where it gets its old name.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sdfs_client::Error;
use sdfs_fastdfs::Imports;
use sdfs_fastdfs::limits::METADATA_BYTES_MAX;
use tokio::io::AsyncWriteExt;

use super::check::{Damage, Passed, Told, told};
use super::listed::FileId;
use super::origin::{Found, Origin, OriginFault};
use super::report::Done;
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::progress::Progress;

/// How often a file is tried to be read.
const ATTEMPTS: u32 = 3;
/// Pause before the second time; twice as long before the third.
const PAUSE: Duration = Duration::from_millis(500);

/// Where files go.
pub(super) struct Target {
    pub(super) groups: BTreeMap<String, Imports>,
    pub(super) progress: Progress,
}

/// Why a file is not copied.
enum Fault {
    Origin(OriginFault),
    /// The cluster does not take it, and would take no other one.
    Cluster(Failure),
}

impl From<OriginFault> for Fault {
    fn from(fault: OriginFault) -> Fault {
        Fault::Origin(fault)
    }
}

/// A file that could not be read.
impl From<Failure> for Fault {
    fn from(failure: Failure) -> Fault {
        Fault::Origin(failure.into())
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::Cluster(error.into())
    }
}

impl Target {
    /// Copies a file that is not here.
    ///
    /// # Errors
    /// When the cluster takes no more files.
    pub(super) async fn copy(&self, origin: &mut Origin<'_>, id: &str) -> Outcome<Done> {
        let parsed = FileId::parse(id);
        let target = parsed.and_then(|id| Some((id, self.groups.get(id.group)?)));
        let Some((id, imports)) = target else {
            unreachable!("what is listed is an id of a group that was looked for")
        };
        let mut attempt = 1;
        // Where it is damaged or cannot be read, and how it was first.
        let (mut passed, mut damaged, mut failed) = (Vec::new(), None, None);
        loop {
            match self.try_copy(origin, (&id, imports), &passed).await {
                Ok((Done::Damaged(damage), Some(at))) => {
                    passed.push(at);
                    damaged.get_or_insert(damage);
                    continue;
                }
                Ok((Done::Failed(failure), Some(at))) => {
                    passed.push(at);
                    failed = Some(failure);
                    continue;
                }
                Ok((Done::Missing, _)) => match (damaged.take(), failed.take()) {
                    (None, None) => return Ok(Done::Missing),
                    (damage, Some(failure)) if attempt < ATTEMPTS => {
                        (damaged, failed) = (damage, Some(failure));
                        passed.clear();
                        tokio::time::sleep(PAUSE * attempt).await;
                    }
                    (Some(damage), _) => return Ok(Done::Damaged(damage)),
                    (None, Some(failure)) => return Ok(Done::Failed(failure)),
                },
                Ok((done, _)) => return Ok(done),
                // The cluster takes others all the same.
                Err(Fault::Cluster(failure)) if failure.code == Code::Usage => {
                    return Ok(Done::Failed(failure));
                }
                Err(Fault::Cluster(failure)) => return Err(failure),
                Err(Fault::Origin(fault)) => match fault {
                    OriginFault::File(failure)
                        if attempt == ATTEMPTS || failure.code == Code::Local =>
                    {
                        return Ok(damaged.map_or(Done::Failed(failure), Done::Damaged));
                    }
                    OriginFault::All(failure) if attempt == ATTEMPTS => return Err(failure),
                    _ => tokio::time::sleep(PAUSE * attempt).await,
                },
            }
            attempt += 1;
        }
    }

    /// What became of it, and at which storage, when it was looked at there.
    async fn try_copy(
        &self,
        origin: &mut Origin<'_>,
        (id, imports): (&FileId<'_>, &Imports),
        passed: &[SocketAddr],
    ) -> Result<(Done, Option<SocketAddr>), Fault> {
        let told = told(&id.name);
        let here = imports.size(&id.name).await?;
        // When the name tells the size nobody else need be asked.
        if let (Some(here), Some(told)) = (here, told) {
            return Ok((compared(here, told.bytes), None));
        }
        let Some(found) = origin.find(id, passed).await? else {
            return Ok((Done::Missing, None));
        };
        if let Some(here) = here {
            return Ok((compared(here, found.bytes), None));
        }
        let done = match told.filter(|told| told.bytes != found.bytes) {
            Some(told) => Done::Damaged(Damage::Size {
                told: told.bytes,
                found: found.bytes,
            }),
            None => match self.take(origin, (id, imports), (&found, told)).await {
                Err(Fault::Origin(OriginFault::File(failure))) if found.storage().is_some() => {
                    Done::Failed(failure)
                }
                taken => taken?,
            },
        };
        Ok((done, found.storage()))
    }

    async fn take(
        &self,
        origin: &mut Origin<'_>,
        (id, imports): (&FileId<'_>, &Imports),
        (found, told): (&Found, Option<Told>),
    ) -> Result<Done, Fault> {
        let metadata = origin.metadata(id, found).await?;
        if metadata.len() > METADATA_BYTES_MAX {
            let bytes = metadata.len();
            return Ok(Done::Damaged(Damage::Metadata { bytes }));
        }
        let copied = self.store(origin, (id, imports), (found, told), &metadata);
        match copied.await {
            // Another import was faster.
            Err(Fault::Cluster(failure)) if exists(&failure) => Ok(Done::Already(found.bytes)),
            copied => copied,
        }
    }

    /// Reads it, and makes it a file when all of it is here and as it should be.
    async fn store(
        &self,
        origin: &mut Origin<'_>,
        (id, imports): (&FileId<'_>, &Imports),
        (found, told): (&Found, Option<Told>),
        metadata: &[u8],
    ) -> Result<Done, Fault> {
        let mut content = origin.content(id, found).await?;
        let mut writer = imports.create(&id.name, found.bytes).await?;
        let mut passed = Passed::begin();
        let read = loop {
            match content.piece().await {
                Ok(Some(piece)) => {
                    passed.take(&piece);
                    self.progress.advance(piece.len() as u64);
                    if passed.bytes > found.bytes {
                        break Ok(());
                    }
                    writer.write_all(&piece).await.map_err(of_cluster)?;
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let is_changed = passed.bytes != found.bytes && told.is_none();
        let read = match read {
            Ok(()) if is_changed => {
                let what = "it was changed while it was read";
                Err(Failure::new(Code::NotNow, what))
            }
            read => read,
        };
        let damage = passed.damage(told);
        if read.is_err() || damage.is_some() {
            self.progress.retreat(passed.bytes);
        }
        read?;
        if let Some(damage) = damage {
            return Ok(Done::Damaged(damage));
        }
        // Before the file is seen: who goes on with an import leaves files alone that are here.
        if !metadata.is_empty() {
            imports.set_metadata(&id.name, metadata).await?;
        }
        writer.finish().await?;
        Ok(Done::Imported(found.bytes))
    }
}

fn compared(here: u64, there: u64) -> Done {
    match here == there {
        true => Done::Already(here),
        false => Done::OtherSize { here, there },
    }
}

fn exists(failure: &Failure) -> bool {
    let refusal = failure.refusal.as_deref();
    refusal.is_some_and(|refusal| matches!(refusal, sdfs_types::Refusal::Exists { .. }))
}

/// The client's own error, from under that of its writer.
fn of_cluster(error: io::Error) -> Fault {
    match error.downcast::<Error>() {
        Ok(error) => error.into(),
        Err(error) => Fault::Cluster(Failure::system("store a file", &error)),
    }
}
