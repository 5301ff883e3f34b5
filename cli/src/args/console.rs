//! Arguments of the commands for operators' doors.

use clap::Args;

/// Arguments of `console`.
#[derive(Debug, Args)]
pub(crate) struct ConsoleArgs {
    /// Whose console; else the first mserver's that answers
    pub(crate) server: Option<String>,
    /// Type this line, show the answer and end; as often as needed. A name that has to be
    /// confirmed is the next line
    #[arg(short, long, value_name = "LINE")]
    pub(crate) command: Vec<String>,
    /// Log in with the cluster's secret: to look at a server, and to stop it, when no mserver can
    /// judge a user
    #[arg(long)]
    pub(crate) emergency: bool,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Write all that was seen to this file, for whoever helps; it holds no secret
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: Option<std::path::PathBuf>,
}

/// Arguments of `top`.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// Print one table and end
    #[arg(long, conflicts_with = "times")]
    pub(crate) once: bool,
    /// Print so many tables, one a second, and end; else, on a terminal, fill it until `q`
    #[arg(long, value_name = "N")]
    pub(crate) times: Option<u32>,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// For which shell
    pub(crate) shell: clap_complete::Shell,
}
