//! `demo`: a whole cluster of real processes in a temporary folder, shown at work and losing
//! servers, measured, and removed.

mod figures;
mod story;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sdfs_client::{Client, ClientOptions};
use sdfs_server::{ClusterOptions, make_missing_secrets, write_config};
use sdfs_server_group::Config;
use tempfile::TempDir;

use crate::args::DemoArgs;
use crate::commands::serve::Stops;
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::output::{Ink, Output};
use crate::supervise::{ChildLog, Children, wait_ready};

/// How long the cluster may take to stand.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long one operation may take: longer than it takes to notice a killed server.
const OPERATION_WITHIN: Duration = Duration::from_secs(20);

/// A cluster to show.
struct Stage {
    /// Dropped before the folder, so that no server writes into a folder that is being removed.
    children: Children,
    config: Arc<Config>,
    out: Output,
    folder: TempDir,
}

/// Shows the cluster; Ctrl-C ends it early, and everything is removed either way.
pub(crate) async fn run(args: &DemoArgs, out: Output) -> Outcome {
    let file = match &args.file {
        Some(file) => file.clone(),
        None => std::env::current_exe()
            .map_err(|error| Failure::system("find this program's own file", &error))?,
    };
    // Before anything is started: a file that cannot be read ends it here.
    drop(crate::local_read::Source::open(&file)?);
    let mut stops = Stops::listen()?;
    let begin = Instant::now();
    let mut stage = Stage::set(out).await?;
    let shown = tokio::select! {
        shown = stage.show(file) => shown,
        () = stops.next() => Err(Failure::new(Code::Interrupted, "interrupted")),
    };
    let removed = stage.strike().await;
    shown.and(removed)?;
    let seconds = begin.elapsed().as_secs_f64();
    out.say("");
    out.say(&format!(
        "All of it is removed again. It took {seconds:.0} s."
    ));
    Ok(())
}

impl Stage {
    /// Starts six servers in a temporary folder.
    async fn set(out: Output) -> Outcome<Stage> {
        let folder = tempfile::Builder::new()
            .prefix("sdfs-demo-")
            .tempdir()
            .map_err(|error| Failure::local("make a folder in", &std::env::temp_dir(), &error))?;
        let options = ClusterOptions {
            name: "demo".to_owned(),
            storage: Some("storage: (segment_bytes: 33554432, reserve_bytes: 67108864)".to_owned()),
            ..ClusterOptions::default()
        };
        let config_file = write_config(folder.path(), &options)?;
        let config = Arc::new(Config::load(&config_file)?);
        make_missing_secrets(&config)?;
        let children = Children::start(Arc::clone(&config), config_file, ChildLog::TEXT).await?;
        Ok(Stage {
            children,
            config,
            out,
            folder,
        })
    }

    async fn show(&mut self, file: PathBuf) -> Outcome {
        let begin = Instant::now();
        self.head("A cluster on this machine");
        let config = Arc::clone(&self.config);
        let holds = self.children.holds();
        tokio::select! {
            ready = wait_ready(&config, &holds, READY_WITHIN) => drop(ready?),
            ended = self.children.next_ended() => return Err(ended.failure()),
        }
        self.line(&format!(
            "3 mservers and 3 dservers, a process each, took their first write after {:.1} s.",
            begin.elapsed().as_secs_f64()
        ));
        let limits = crate::bench::measure(self.folder.path())?;
        let stored = self.store_and_read(&file).await?;
        self.explain().await?;
        self.distances().await?;
        let figures = self.figures(&limits, &stored).await?;
        let after_dserver = self.lose_a_dserver(&stored).await?;
        let after_mserver = self.lose_the_main(&stored).await?;
        self.out.json(&serde_json::json!({
            "file_bytes": stored.bytes,
            "blake3": stored.digest.to_hex().as_str(),
            "limits": limits,
            "figures": figures,
            "read_after_dserver_kill_s": after_dserver,
            "create_after_main_kill_s": after_mserver,
        }));
        Ok(())
    }

    /// Stops the servers and removes the folder.
    async fn strike(mut self) -> Outcome {
        let unclean = self.children.stop().await?;
        drop(self.children);
        let path = self.folder.path().to_owned();
        self.folder
            .close()
            .map_err(|error| Failure::local("remove", &path, &error))?;
        match unclean.first() {
            Some(first) => Err(Failure::new(Code::ServerDied, first.to_string())),
            None => Ok(()),
        }
    }

    /// A client that talks to `via`, or to the nearest mserver.
    async fn client(&self, via: Option<&str>) -> Outcome<Client> {
        let mut options = ClientOptions::of_admin(Arc::clone(&self.config))?;
        options.via = via.map(str::to_owned);
        options.timeout = OPERATION_WITHIN;
        Ok(Client::connect(options).await?)
    }

    fn head(&self, text: &str) {
        self.out.say("");
        self.out.say(&self.out.ink(Ink::Bold, text));
    }

    fn line(&self, text: &str) {
        self.out.say(&format!("  {text}"));
    }
}
