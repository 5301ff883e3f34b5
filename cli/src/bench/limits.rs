//! What this machine can do at most: its disk and its loopback, measured with nothing of ours in
//! between.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::failure::{Failure, Outcome};

/// How long each limit is measured.
const MEASURED_FOR: Duration = Duration::from_millis(500);
/// One small append, as a record of a log is.
const APPEND_BYTES: usize = 4 * 1024;
/// One write of the sequential measurement.
const CHUNK_BYTES: usize = 1024 * 1024;
/// Sequential bytes between two looks at the clock; each stretch ends with a sync. A disk that is
/// busy with others is not kept so for long.
const STRETCH_BYTES: usize = 16 * CHUNK_BYTES;
/// The file of the sequential measurement begins anew here, so that no disk is filled.
const FILE_BYTES_MAX: usize = 32 * STRETCH_BYTES;
/// One write of the loopback measurement.
const LOOPBACK_CHUNK_BYTES: usize = 256 * 1024;
/// One ping.
const PING_BYTES: usize = 64;

/// A machine's limits.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Limits {
    /// Appends of 4 KiB, each synced, one after the other.
    pub(crate) fdatasync_per_s: f64,
    /// Sequential write, synced every 16 MiB, 10^6 bytes.
    pub(crate) write_mb_per_s: f64,
    /// One round trip of 64 bytes.
    pub(crate) loopback_rtt_us: f64,
    /// One stream, 10^9 bytes.
    pub(crate) loopback_gb_per_s: f64,
}

/// Measures with files in `folder`.
pub(crate) fn measure(folder: &Path) -> Outcome<Limits> {
    let disk = |error| Failure::local("measure the disk in", folder, &error);
    let net = |error| Failure::system("measure the loopback", &error);
    let file = Scratch::new(folder).map_err(disk)?;
    Ok(Limits {
        fdatasync_per_s: fdatasync_per_s(&file.file).map_err(disk)?,
        write_mb_per_s: write_mb_per_s(&file.file).map_err(disk)?,
        loopback_rtt_us: loopback_rtt_us().map_err(net)?,
        loopback_gb_per_s: loopback_gb_per_s().map_err(net)?,
    })
}

/// A file that is gone when dropped.
struct Scratch {
    file: File,
    path: PathBuf,
}

impl Scratch {
    fn new(folder: &Path) -> io::Result<Scratch> {
        let path = folder.join(format!(".sdfs-limits-{}", std::process::id()));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)?;
        Ok(Scratch { file, path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It holds nothing; one that stays is overwritten or removed by hand.
        std::fs::remove_file(&self.path).unwrap_or(());
    }
}

/// Into a file that is filled beforehand: as a log's recycled segments are.
fn fdatasync_per_s(file: &File) -> io::Result<f64> {
    use std::os::unix::fs::FileExt;
    let zeros = vec![0; CHUNK_BYTES];
    let filled_bytes = 16 * CHUNK_BYTES;
    for at in (0..filled_bytes).step_by(CHUNK_BYTES) {
        file.write_all_at(&zeros, at as u64)?;
    }
    file.sync_all()?;
    let record = vec![0xa5; APPEND_BYTES];
    let begin = Instant::now();
    let mut syncs = 0;
    while begin.elapsed() < MEASURED_FOR {
        let at = (syncs * APPEND_BYTES) % filled_bytes;
        file.write_all_at(&record, at as u64)?;
        file.sync_data()?;
        syncs += 1;
    }
    Ok(syncs as f64 / begin.elapsed().as_secs_f64())
}

fn write_mb_per_s(file: &File) -> io::Result<f64> {
    use std::os::unix::fs::FileExt;
    let chunk: Vec<u8> = (0..CHUNK_BYTES).map(|at| (at % 251) as u8).collect();
    let begin = Instant::now();
    let mut written = 0;
    while begin.elapsed() < MEASURED_FOR {
        for _ in 0..STRETCH_BYTES / CHUNK_BYTES {
            file.write_all_at(&chunk, (written % FILE_BYTES_MAX) as u64)?;
            written += CHUNK_BYTES;
        }
        file.sync_data()?;
    }
    Ok(written as f64 / begin.elapsed().as_secs_f64() / 1e6)
}

fn loopback_rtt_us() -> io::Result<f64> {
    with_peer(
        |mut peer| {
            let mut ping = [0; PING_BYTES];
            while peer.read_exact(&mut ping).is_ok() && peer.write_all(&ping).is_ok() {}
        },
        |stream| {
            let mut ping = [0; PING_BYTES];
            let begin = Instant::now();
            let mut pings = 0;
            while begin.elapsed() < MEASURED_FOR {
                stream.write_all(&ping)?;
                stream.read_exact(&mut ping)?;
                pings += 1;
            }
            Ok(begin.elapsed().as_secs_f64() * 1e6 / f64::from(pings))
        },
    )
}

fn loopback_gb_per_s() -> io::Result<f64> {
    with_peer(
        |mut peer| {
            let mut sink = vec![0; LOOPBACK_CHUNK_BYTES];
            while peer.read(&mut sink).is_ok_and(|bytes| bytes > 0) {}
        },
        |stream| {
            let chunk = vec![0x5a; LOOPBACK_CHUNK_BYTES];
            let begin = Instant::now();
            let mut sent = 0;
            while begin.elapsed() < MEASURED_FOR {
                stream.write_all(&chunk)?;
                sent += chunk.len();
            }
            Ok(sent as f64 / begin.elapsed().as_secs_f64() / 1e9)
        },
    )
}

/// Measures one end of a loopback connection whose other end is `peer`'s.
fn with_peer(
    peer: impl FnOnce(TcpStream) + Send,
    measure: impl FnOnce(&mut TcpStream) -> io::Result<f64>,
) -> io::Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if let Ok((stream, _)) = listener.accept()
                && stream.set_nodelay(true).is_ok()
            {
                peer(stream);
            }
        });
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        // The stream ends with this closure, and with it the peer.
        measure(&mut stream)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_measured_and_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let limits = measure(folder.path()).expect("measured");
        assert!(limits.fdatasync_per_s > 0.0 && limits.write_mb_per_s > 0.0);
        assert!(limits.loopback_rtt_us > 0.0 && limits.loopback_gb_per_s > 0.0);
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 0);
    }
}
