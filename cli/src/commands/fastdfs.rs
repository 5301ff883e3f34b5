//! `fastdfs`: links to files of FastDFS clients.

use std::time::Duration;

use sdfs_fastdfs::{FileName, Links, group_of};
use sdfs_server_group::{Config, FastDfs, Role, ServerConfig};
use sdfs_types::clock;

use crate::args::{FastdfsCommand, Global, LinkArgs};
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::session;
use crate::units::uptime;

/// Does what is asked.
pub(crate) fn run(global: &Global, command: &FastdfsCommand, out: Output) -> Outcome {
    match command {
        FastdfsCommand::Link(args) => link(global, args, out),
    }
}

fn link(global: &Global, args: &LinkArgs, out: Output) -> Outcome {
    let config = session::config(global)?;
    let settings = config.fastdfs.as_ref().ok_or_else(no_door)?;
    let id = args.id.trim_start_matches('/');
    let parts = id.split_once('/');
    let parts = parts.filter(|(_, name)| FileName::parse(name.as_bytes()).is_ok());
    let (group, name) = parts.ok_or_else(|| {
        let what = format!("'{}' is no file's id", args.id);
        Failure::new(Code::Usage, what).advise("It looks like group1/M00/00/00/NAME")
    })?;
    let server = server(&config, settings, (group, args.server.as_deref()))?;
    let door = settings.http_url(&config, server).ok_or_else(no_door)?;
    let mut link = format!("{door}/{group}/{name}");
    let mut good_until_s = None;
    match (config.link_secret()?, args.valid) {
        (Some(secret), valid) => {
            let valid_s = valid_s(settings, valid)?;
            good_until_s = Some(clock::now_ms() / 1_000 + valid_s);
            // A token tells when it was made, and counts as old from then on.
            let ts = good_until_s
                .unwrap_or(0)
                .saturating_sub(settings.link_ttl_s);
            let token = Links::new(secret, settings.link_ttl_s).token(name, ts);
            link.push_str(&format!("?token={token}&ts={ts}"));
        }
        (None, Some(_)) => {
            let what = "links have no end: config.conf has no link_secret";
            return Err(Failure::new(Code::Usage, what).advise("Leave --valid out"));
        }
        (None, None) => {}
    }
    out.say(&link);
    out.json(&serde_json::json!({
        "link": link,
        "server": server.name,
        "good_until_s": good_until_s,
    }));
    Ok(())
}

/// The dserver a link leads to.
fn server<'a>(
    config: &'a Config,
    settings: &FastDfs,
    (group, named): (&str, Option<&str>),
) -> Outcome<&'a ServerConfig> {
    let mut of_group = config
        .servers_of(Role::Dserver)
        .filter(|server| group_of(config, settings, server) == Some(group));
    let found = match named {
        None => of_group.next(),
        Some(named) => of_group.find(|server| server.name.as_str() == named),
    };
    found.ok_or_else(|| {
        let of = named.map_or_else(String::new, |named| format!(" {named}"));
        let what = format!("config.conf has no dserver{of} of group {group}");
        Failure::new(Code::NotFound, what).advise("`sdfs check-config` shows the groups")
    })
}

/// How long a link is to be good, seconds.
fn valid_s(settings: &FastDfs, wanted: Option<Duration>) -> Outcome<u64> {
    let most = Duration::from_secs(settings.link_ttl_s);
    let wanted = wanted.unwrap_or(most);
    if wanted > most {
        let what = format!("links are good for {} at most", uptime(settings.link_ttl_s));
        let advice = "Take a shorter --valid, or raise link_ttl_s in config.conf of every dserver";
        return Err(Failure::new(Code::Usage, what).advise(advice));
    }
    Ok(wanted.as_secs().max(1))
}

fn no_door() -> Failure {
    let what = "config.conf opens no HTTP door for files of FastDFS clients";
    Failure::new(Code::Config, what).advise("Give `fastdfs` an http_port there")
}
