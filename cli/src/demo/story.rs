//! What the demo shows, in order: a file stored and read, a create explained, servers lost.

use std::path::Path;
use std::time::{Duration, Instant};

use blake3::{Hash, Hasher};
use futures::TryStreamExt;
use sdfs_client::{Client, CreateOptions, PutOptions};

use super::Stage;
use crate::bench::Report;
use crate::commands::create::timeline;
use crate::commands::status::rtt_matrix;
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::local_read::Source;
use crate::progress::Progress;
use crate::units;
use crate::view::told_by_all;

/// A server that does not answer within this is left out of the matrix.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The file of the demo.
pub(super) struct Stored {
    /// Its name in the cluster.
    pub(super) path: String,
    /// Its size.
    pub(super) bytes: u64,
    /// Of what was stored.
    pub(super) digest: Hash,
    /// How fast it was stored.
    pub(super) put_mb_per_s: f64,
    /// How fast it was read.
    pub(super) get_mb_per_s: f64,
}

impl Stage {
    /// Stores a file through one mserver and reads it through another.
    pub(super) async fn store_and_read(&self, file: &Path) -> Outcome<Stored> {
        self.head("Store a file through mserver-1, read it through mserver-2");
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("file");
        let path = format!("/{name}");
        let digest = digest_of_file(file).await?;
        let source = Source::open(file)?;
        let options = PutOptions {
            size_bytes: source.bytes,
            ..PutOptions::default()
        };
        let writer = self.client(Some("mserver-1")).await?;
        let begin = Instant::now();
        let mut stream = source.stream(Progress::new(&path, None, false))?;
        let stored = writer.put_stream(&path, &mut stream, options).await?;
        let put_mb_per_s = mb_per_s(stored.size_bytes, begin.elapsed());
        let begin = Instant::now();
        let reader = self.client(Some("mserver-2")).await?;
        let read = digest_of(&reader, &path).await?;
        let get_mb_per_s = mb_per_s(stored.size_bytes, begin.elapsed());
        self.compare(&path, digest, read)?;
        let bytes = stored.size_bytes;
        self.line(&format!(
            "{path}, {}, three copies, each on disk.",
            units::size(bytes)
        ));
        self.line(&format!(
            "BLAKE3 of what came back is the same: {}",
            short(digest)
        ));
        Ok(Stored {
            path,
            bytes,
            digest,
            put_mb_per_s,
            get_mb_per_s,
        })
    }

    /// Shows the timeline of one create.
    pub(super) async fn explain(&self) -> Outcome {
        self.head("How one create is agreed on");
        let client = self.client(Some("mserver-3")).await?;
        // The first create of a client also opens links; the second shows the agreement alone.
        let options = CreateOptions {
            explain: true,
            ..CreateOptions::default()
        };
        client
            .create_file_meta_data("/warm", options.clone())
            .await?;
        let options = CreateOptions {
            size_bytes: 64 << 20,
            ..options
        };
        let created = client.create_file_meta_data("/explained", options).await?;
        match &created.trace {
            Some(trace) => timeline(&client, trace).print(self.out, 2),
            None => self.line("the coordinator told no timeline"),
        }
        Ok(())
    }

    /// Shows the round-trip times between all servers.
    pub(super) async fn distances(&self) -> Outcome {
        self.head("Round trips between the servers");
        let client = self.client(None).await?;
        let told = told_by_all(&client, &self.config, ANSWER_WITHIN).await;
        let told: Vec<_> = told
            .into_iter()
            .filter_map(|(_, status)| status.ok())
            .collect();
        rtt_matrix(&told).print(self.out, 2);
        Ok(())
    }

    /// Kills a dserver and reads the file again. Returns the seconds the read took.
    pub(super) async fn lose_a_dserver(&mut self, stored: &Stored) -> Outcome<f64> {
        self.head("Kill dserver-1 (SIGKILL), read again");
        let client = self.client(None).await?;
        self.children.kill("dserver-1").await?;
        let begin = Instant::now();
        let read = digest_of(&client, &stored.path).await?;
        let seconds = begin.elapsed().as_secs_f64();
        self.compare(&stored.path, stored.digest, read)?;
        self.line(&format!(
            "Every byte is there: read from the others in {seconds:.2} s."
        ));
        Ok(seconds)
    }

    /// Kills the main of the file and creates another. Returns the seconds the create took.
    pub(super) async fn lose_the_main(&mut self, stored: &Stored) -> Outcome<f64> {
        let client = self.client(None).await?;
        let stat = client.stat(&stored.path).await?;
        let main = stat
            .name
            .locate
            .and_then(|locate| self.config.server(locate.main));
        let Some(main) = main.map(|main| main.name.to_string()) else {
            return Err(Failure::new(
                Code::Fault,
                format!("{} has no main", stored.path),
            ));
        };
        self.head(&format!(
            "Kill {main}, the main of {} (SIGKILL), create again",
            stored.path
        ));
        self.children.kill(&main).await?;
        let begin = Instant::now();
        let options = CreateOptions {
            size_bytes: 1 << 20,
            ..CreateOptions::default()
        };
        let created = client
            .create_file_meta_data("/after-the-loss", options)
            .await?;
        let seconds = begin.elapsed().as_secs_f64();
        let stat = client.stat("/after-the-loss").await?;
        if stat.name.descriptor != created.file.meta_data().descriptor {
            return Err(Failure::new(
                Code::Damaged,
                "the new file is not the one created",
            ));
        }
        self.line(&format!(
            "Created after {seconds:.2} s, with the loss noticed in between."
        ));
        let read = digest_of(&client, &stored.path).await?;
        self.compare(&stored.path, stored.digest, read)?;
        self.line(&format!("{} is still whole.", stored.path));
        Ok(seconds)
    }

    fn compare(&self, path: &str, stored: Hash, read: Hash) -> Outcome {
        if stored == read {
            return Ok(());
        }
        let what = format!("{path} came back with BLAKE3 {read}, stored was {stored}");
        Err(Failure::new(Code::Damaged, what))
    }
}

/// What the figures of the demo are, for `--json`.
#[derive(serde::Serialize)]
pub(super) struct Figures {
    /// The demo's file stored, 10^6 bytes a second.
    pub(super) put_mb_per_s: f64,
    /// The demo's file read, 10^6 bytes a second.
    pub(super) get_mb_per_s: f64,
    /// Creates for a second.
    pub(super) creates: Report,
}

async fn digest_of(client: &Client, path: &str) -> Outcome<Hash> {
    let mut bytes = client.get_stream(path).await?;
    let mut hasher = Hasher::new();
    while let Some(piece) = bytes.try_next().await? {
        hasher.update(&piece);
    }
    Ok(hasher.finalize())
}

async fn digest_of_file(file: &Path) -> Outcome<Hash> {
    let mut bytes = Source::open(file)?.stream(Progress::new("", None, false))?;
    let mut hasher = Hasher::new();
    let fault = |error| Failure::local("read", file, &error);
    while let Some(piece) = bytes.try_next().await.map_err(fault)? {
        hasher.update(&piece);
    }
    Ok(hasher.finalize())
}

fn mb_per_s(bytes: u64, taken: Duration) -> f64 {
    bytes as f64 / taken.as_secs_f64().max(f64::EPSILON) / 1e6
}

fn short(digest: Hash) -> String {
    digest.to_hex().chars().take(16).collect::<String>() + "…"
}
