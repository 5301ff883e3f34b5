//! The folders a server keeps its files in: made when absent, and held by one process at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::Path;

use sdfs_server_group::ServerConfig;

use crate::error::ServerError;

/// The file in each space whose lock says that the space is in use; it holds the process id of
/// the server that uses it.
pub const LOCK_FILE: &str = "in-use.lock";

/// The locks on a server's spaces; dropped, the spaces are free again.
#[derive(Debug)]
pub(crate) struct Spaces {
    _locks: Vec<File>,
}

/// Makes the spaces of `server` and locks them against a second process.
pub(crate) fn take_spaces(server: &ServerConfig) -> Result<Spaces, ServerError> {
    let mut locks = Vec::with_capacity(server.space.len());
    for path in &server.space {
        locks.push(take(server, path)?);
    }
    Ok(Spaces { _locks: locks })
}

fn take(server: &ServerConfig, path: &Path) -> Result<File, ServerError> {
    let fault = |source| ServerError::Space {
        server: server.name.to_string(),
        path: path.to_owned(),
        source,
    };
    std::fs::create_dir_all(path).map_err(fault)?;
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.join(LOCK_FILE))
        .map_err(fault)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(ServerError::SpaceInUse {
                server: server.name.to_string(),
                path: path.to_owned(),
            });
        }
        Err(TryLockError::Error(source)) => return Err(fault(source)),
    }
    file.set_len(0).map_err(fault)?;
    writeln!(&file, "{}", std::process::id()).map_err(fault)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdfs_server_group::{Role, ServerId, ServerName};
    use std::path::PathBuf;

    fn server(space: PathBuf) -> ServerConfig {
        ServerConfig {
            id: ServerId(1),
            name: ServerName::from("mserver-1"),
            role: Role::Mserver,
            address: ([127, 0, 0, 1], 7101).into(),
            space: vec![space],
            zone: "a".to_owned(),
        }
    }

    #[test]
    fn a_space_has_one_user() {
        let folder = tempfile::tempdir().expect("a folder");
        let server = server(folder.path().join("deep/space"));
        let held = take_spaces(&server).expect("free");
        assert!(matches!(
            take_spaces(&server),
            Err(ServerError::SpaceInUse { .. })
        ));
        drop(held);
        take_spaces(&server).expect("free again");
    }

    #[test]
    fn a_file_is_no_space() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, b"x").expect("written");
        assert!(matches!(
            take_spaces(&server(path)),
            Err(ServerError::Space { .. })
        ));
    }
}
