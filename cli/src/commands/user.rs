//! `user`: who may use the cluster.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sdfs_client::UserKey;
use sdfs_types::{Access, FilePath, PathRight};

use crate::args::{Global, UserAddArgs, UserCommand};
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, warn};
use crate::session;
use crate::table::Table;

/// Adds, removes or lists users.
pub(crate) async fn run(global: &Global, command: &UserCommand, out: Output) -> Outcome {
    match command {
        UserCommand::Add(args) => add(global, args, out).await,
        UserCommand::Rm { name } => {
            session::connect(global).await?.delete_user(name).await?;
            out.json(&serde_json::json!({ "deleted": name }));
            Ok(())
        }
        UserCommand::Ls => list(global, out).await,
    }
}

async fn add(global: &Global, args: &UserAddArgs, out: Output) -> Outcome {
    let rights = args.rights.iter().map(|right| parse_right(right));
    let rights = rights.collect::<Outcome<Vec<_>>>()?;
    let client = session::connect(global).await?;
    let key = match &args.new_secret_file {
        Some(path) => {
            make_secret(path)?;
            Some(UserKey::from_file(path)?)
        }
        None => None,
    };
    client.put_user(&args.name, key, rights).await?;
    out.json(&serde_json::json!({ "user": args.name }));
    Ok(())
}

async fn list(global: &Global, out: Output) -> Outcome {
    let users = session::connect(global).await?.list_users().await?;
    let mut table = Table::new(&["user", "may", "below"]);
    for user in &users {
        for (place, right) in user.rights.iter().enumerate() {
            let name = if place == 0 { user.name.as_ref() } else { "" };
            table.row([
                name.to_owned(),
                word(right.access).to_owned(),
                right.path.to_string(),
            ]);
        }
        if user.rights.is_empty() {
            table.row([user.name.as_ref(), "nothing", ""]);
        }
    }
    table.print(out, 0);
    out.json(&users);
    Ok(())
}

/// Makes the secret file when nobody has yet, readable by its owner alone.
fn make_secret(path: &Path) -> Outcome {
    if path.exists() {
        return Ok(());
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::new(Code::Local, format!("no randomness: {error}")))?;
    let fault = |error| Failure::local("write the secret file", path, &error);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(fault)?;
    writeln!(file, "{}", super::stat::hex(&random)).map_err(fault)?;
    warn(&format!("sdfs: made the secret file {}", path.display()));
    Ok(())
}

/// Reads `write:/home/ann`.
fn parse_right(text: &str) -> Outcome<PathRight> {
    let wrong = || {
        Failure::new(Code::Usage, format!("'{text}' is no right"))
            .advise("Write read, write or admin, a colon and a path: write:/home/ann")
    };
    let (access, path) = text.split_once(':').ok_or_else(wrong)?;
    let access = match access {
        "read" => Access::Read,
        "write" => Access::Write,
        "admin" => Access::Admin,
        _ => return Err(wrong()),
    };
    Ok(PathRight {
        path: FilePath::parse(path)?,
        access,
    })
}

fn word(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::Write => "write",
        Access::Admin => "admin",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_read_as_written() {
        let right = parse_right("write:/home/ann").expect("a right");
        assert_eq!(
            (right.access, right.path.as_str()),
            (Access::Write, "/home/ann")
        );
        for text in ["write", "own:/a", "read:/a//b", ":/a", ""] {
            assert!(parse_right(text).is_err(), "{text}");
        }
    }
}
