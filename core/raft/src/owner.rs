//! The file that says whose raft directory this is, so that a lost log is not taken for a new
//! server. The log and the store repeat what it says.

use crate::errors::StartError;
use crate::record::Life;
use sdfs_log::Disk;
use sdfs_server_group::ServerId;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

const FILE: &str = "owner";
const FILE_NEW: &str = "owner.new";

/// Longest an owner file may be, in bytes; it has two short lines.
const FILE_BYTES_MAX: u64 = 1_024;

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) server: ServerId,
    pub(crate) life: Life,
}

/// What is said of who this server is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Said {
    pub(crate) file: Option<Owner>,
    pub(crate) log: Option<(ServerId, Life)>,
    pub(crate) store: Option<Life>,
}

impl Owner {
    /// A new life of `server`.
    pub(crate) fn new(server: ServerId) -> Result<Self, StartError> {
        let mut life = [0; 16];
        getrandom::fill(&mut life).map_err(StartError::Randomness)?;
        Ok(Self {
            server,
            life: Life(life),
        })
    }

    /// Reads the file; `None` when there is none.
    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, StartError> {
        let fail = |source| files_error(dir, source);
        disk.make_dir(dir).map_err(fail)?;
        if !disk
            .list(dir)
            .map_err(fail)?
            .iter()
            .any(|name| name == FILE)
        {
            return Ok(None);
        }
        let file = disk.open(&dir.join(FILE)).map_err(fail)?;
        let bytes = file.bytes().map_err(fail)?.min(FILE_BYTES_MAX);
        let text = file
            .read_at(0, usize::try_from(bytes).unwrap_or(0))
            .map_err(fail)?;
        match Self::parse(&String::from_utf8_lossy(&text)) {
            Some(owner) => Ok(Some(owner)),
            None => Err(fail(io::Error::new(
                io::ErrorKind::InvalidData,
                "this is not an owner file; put back the one that belongs here",
            ))),
        }
    }

    /// Writes the file so that a crash leaves the former one or this one.
    pub(crate) fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<(), StartError> {
        let fail = |source| files_error(dir, source);
        let new = dir.join(FILE_NEW);
        let file = disk.create(&new).map_err(fail)?;
        let text = self.to_text();
        file.write_at(0, &mut [IoSlice::new(text.as_bytes())])
            .map_err(fail)?;
        file.sync().map_err(fail)?;
        disk.rename(&new, &dir.join(FILE)).map_err(fail)?;
        disk.sync_dir(dir).map_err(fail)
    }

    /// Which life this server is in, from what the owner file, the log and the store say; `None`
    /// for a server that was never here before. The log says it first, the others later: without
    /// the log, either of them means that it was lost.
    pub(crate) fn settle(me: ServerId, dir: &Path, said: Said) -> Result<Option<Self>, StartError> {
        let owners = said
            .file
            .map(|file| file.server)
            .into_iter()
            .chain(said.log.map(|log| log.0));
        for owner in owners {
            if owner != me {
                return Err(StartError::OtherServer {
                    dir: dir.to_owned(),
                    owner,
                    me,
                });
            }
        }
        let Some((_, life)) = said.log else {
            if said.store.is_some() || said.file.is_some() {
                return Err(StartError::LogLost {
                    dir: dir.to_owned(),
                });
            }
            return Ok(None);
        };
        let others = said
            .file
            .map(|file| file.life)
            .into_iter()
            .chain(said.store);
        if others.into_iter().any(|other| other != life) {
            return Err(StartError::Mixed {
                dir: dir.to_owned(),
            });
        }
        Ok(Some(Self { server: me, life }))
    }

    fn to_text(self) -> String {
        let life = u128::from_be_bytes(self.life.0);
        format!("server {}\nlife {life:032x}\n", self.server)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let server = lines.next()?.strip_prefix("server ")?.parse().ok()?;
        let life = u128::from_str_radix(lines.next()?.strip_prefix("life ")?, 16).ok()?;
        let life = Life(life.to_be_bytes());
        Some(Self {
            server: ServerId(server),
            life,
        })
    }
}

fn files_error(dir: &Path, source: io::Error) -> StartError {
    let path: PathBuf = dir.join(FILE);
    StartError::Files { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(said: Said) -> Result<Option<Owner>, StartError> {
        Owner::settle(ServerId(3), Path::new("raft"), said)
    }

    const LIFE: Life = Life([7; 16]);
    const FILE: Owner = Owner {
        server: ServerId(3),
        life: LIFE,
    };

    #[test]
    fn empty_space_is_a_new_server() {
        assert_eq!(settle(Said::default()).unwrap(), None);
    }

    #[test]
    fn lost_log_is_refused() {
        let by_file = Said {
            file: Some(FILE),
            ..Said::default()
        };
        assert!(matches!(settle(by_file), Err(StartError::LogLost { .. })));
        let by_store = Said {
            store: Some(LIFE),
            ..Said::default()
        };
        assert!(matches!(settle(by_store), Err(StartError::LogLost { .. })));
    }

    #[test]
    fn other_servers_directory_is_refused() {
        let log = Some((ServerId(4), LIFE));
        let said = Said {
            log,
            ..Said::default()
        };
        assert!(matches!(settle(said), Err(StartError::OtherServer { .. })));
    }

    #[test]
    fn mixed_directories_are_refused() {
        let log = Some((ServerId(3), Life([8; 16])));
        let said = Said {
            log,
            file: Some(FILE),
            store: None,
        };
        assert!(matches!(settle(said), Err(StartError::Mixed { .. })));
        let log = Some((ServerId(3), LIFE));
        let said = Said {
            log,
            file: Some(FILE),
            store: Some(LIFE),
        };
        assert_eq!(settle(said).unwrap(), Some(FILE));
        let said = Said {
            log,
            file: None,
            store: None,
        };
        assert_eq!(settle(said).unwrap(), Some(FILE));
    }

    #[test]
    fn owner_survives_its_text() {
        let owner = Owner {
            server: ServerId(3),
            life: Life([7; 16]),
        };
        assert_eq!(Owner::parse(&owner.to_text()), Some(owner));
        assert_eq!(Owner::parse("server 3\nlife zz\n"), None);
    }
}
