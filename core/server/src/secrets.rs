//! Makes the secret files a configuration names and nobody has made yet.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sdfs_server_group::Config;

use crate::error::ClusterError;

/// Bytes of randomness in a secret made here: 256 bits, as strong as the keys derived from it.
const SECRET_BYTES: usize = 32;

/// Makes the secret files of `config` that do not exist, readable by their owner alone. Returns
/// those it made.
///
/// # Errors
/// When a file cannot be written or the system has no randomness.
pub fn make_missing_secrets(config: &Config) -> Result<Vec<PathBuf>, ClusterError> {
    let mut made = Vec::new();
    let links = config.link_secret_file();
    let others = [&config.secret_file, &config.admin.secret_file];
    for path in others.into_iter().chain(links) {
        if make_secret(path)? {
            made.push(path.clone());
        }
    }
    Ok(made)
}

/// Whether the file was missing and is there now.
fn make_secret(path: &Path) -> Result<bool, ClusterError> {
    let fault = |source: io::Error| ClusterError::Folder {
        path: path.to_owned(),
        source,
    };
    let mut random = [0; SECRET_BYTES];
    getrandom::fill(&mut random).map_err(ClusterError::Randomness)?;
    let words: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(fault)?;
    }
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let mut file = match file {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(fault(error)),
    };
    writeln!(file, "{words}")
        .and_then(|()| file.sync_all())
        .map_err(fault)?;
    Ok(true)
}
