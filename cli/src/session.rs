//! What most commands begin with: the configuration, the user, the connected client.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sdfs_client::{CallOptions, Client, ClientOptions};
use sdfs_server_group::{Config, ServerConfig, UserKey};
use sdfs_types::{FilePath, PathFault, ServerList, ServerRecord};

use crate::args::Global;
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::view::ANSWER_WITHIN;

/// Reads the configuration the command line names.
pub(crate) fn config(global: &Global) -> Outcome<Arc<Config>> {
    Ok(Arc::new(Config::load(&absolute(&global.config)?)?))
}

/// A path that stays right whatever the working folder of the process that uses it.
pub(crate) fn absolute(path: &Path) -> Outcome<PathBuf> {
    std::path::absolute(path).map_err(|error| Failure::local("find", path, &error))
}

/// The client's options the command line asks for.
pub(crate) fn client_options(global: &Global, config: &Arc<Config>) -> Outcome<ClientOptions> {
    let file = global
        .secret_file
        .as_ref()
        .unwrap_or(&config.admin.secret_file);
    let user = global.user.as_ref().unwrap_or(&config.admin.name);
    let key = UserKey::from_file(file)?;
    let mut options = ClientOptions::of_config(Arc::clone(config), user, key)?;
    options.via.clone_from(&global.via);
    options.timeout = global.timeout;
    Ok(options)
}

/// Connects as the command line asks.
pub(crate) async fn connect(global: &Global) -> Outcome<Client> {
    let config = config(global)?;
    let options = client_options(global, &config)?;
    check_via(global, &config)?;
    Ok(Client::connect(options).await?)
}

/// Connects as the command line asks; with the configuration as the cluster has it now: servers
/// that have joined are in it, those that are gone are not.
pub(crate) async fn cluster(global: &Global) -> Outcome<(Client, Arc<Config>)> {
    let configured = config(global)?;
    let client = connect(global).await?;
    let list = list(&client, global).await;
    Ok((client, as_listed(configured, &list)))
}

/// The list of servers, when a mserver tells; else an empty one.
pub(crate) async fn list(client: &Client, global: &Global) -> ServerList {
    let options = CallOptions {
        timeout: Some(global.timeout.min(ANSWER_WITHIN)),
        ..CallOptions::default()
    };
    client
        .with(options)
        .servers()
        .await
        .unwrap_or_else(|error| {
            tracing::debug!(%error, "no list of servers: config.conf counts");
            ServerList::default()
        })
}

/// `config` with the servers of the list, if there is one.
pub(crate) fn as_listed(config: Arc<Config>, list: &ServerList) -> Arc<Config> {
    if list.version == 0 {
        return config;
    }
    let server = |record: &ServerRecord| ServerConfig {
        id: record.id,
        name: record.name.clone(),
        role: record.role,
        address: record.address,
        space: config
            .server_named(record.name.as_str())
            .map_or_else(Vec::new, |known| known.space.clone()),
        zone: record.zone.clone(),
    };
    Arc::new(Config {
        servers: list.present().map(server).collect(),
        ..(*config).clone()
    })
}

fn check_via(global: &Global, config: &Config) -> Outcome {
    let Some(via) = &global.via else {
        return Ok(());
    };
    if config.server_named(via).is_some() {
        return Ok(());
    }
    let known: Vec<_> = config
        .servers
        .iter()
        .map(|server| server.name.as_str())
        .collect();
    let what = format!("there is no server {via} in {}", global.config.display());
    Err(Failure::new(Code::Usage, what).advise(format!("It has {}", known.join(", "))))
}

/// A path in the cluster as typed.
pub(crate) fn path(text: &str) -> Result<FilePath, PathFault> {
    FilePath::parse(text)
}

/// A name as typed, where one that ends in a slash means: in that directory, under `last`.
pub(crate) fn path_or_directory(text: &str, last: &str) -> Result<FilePath, PathFault> {
    let directory = FilePath::parse(text)?;
    if text.ends_with('/') || directory.is_root() {
        directory.join(last)
    } else {
        Ok(directory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_slash_means_into() {
        let table = [
            ("/a/", "x", "/a/x"),
            ("/a", "x", "/a"),
            ("/", "x", "/x"),
            ("a/b/", "x", "/a/b/x"),
        ];
        for (text, last, expected) in table {
            let path = path_or_directory(text, last).expect("a path");
            assert_eq!(path.as_str(), expected, "{text}");
        }
    }
}
