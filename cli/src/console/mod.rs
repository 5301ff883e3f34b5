//! `console`: a session at a server's console: for people with history and completion, or line by
//! line for scripts.

mod complete;
#[cfg(test)]
mod fake;
mod history;
mod link;
mod talk;
mod typist;

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::thread;

use sdfs_server::CLUSTER_LOGIN_LABEL;
use sdfs_server_group::{ClusterSecret, Config, Operator, Role, ServerConfig, UserKey};
use sdfs_types::CLUSTER_USER;

use crate::args::{ConsoleArgs, Global};
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::session::config as load;
use link::{Answer, End, Link, Login, refusal};
use typist::Typist;

/// Opens the console of a server. A line editor waits for keys, and whoever has typed waits for the
/// answer: all of it happens on a thread of its own.
pub(crate) fn run(global: &Global, args: &ConsoleArgs, out: Output) -> Outcome {
    let done = thread::scope(|scope| scope.spawn(|| session(global, args, out)).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn session(global: &Global, args: &ConsoleArgs, out: Output) -> Outcome {
    let config = load(global)?;
    let Some(operator) = &config.operator else {
        let what = format!("{} has no `operator: (..)` part", global.config.display());
        return Err(Failure::new(Code::Config, what).advise("The shipped config.conf shows one"));
    };
    let who = match args.emergency {
        true if global.user.is_some() || global.secret_file.is_some() => {
            let what = "--emergency comes in with the cluster's secret, as nobody's user";
            return Err(
                Failure::new(Code::Usage, what).advise("Leave --user and --secret-file out")
            );
        }
        true => holder_of_the_secret(&config)?,
        false => user(global, &config)?,
    };
    let logins = logins(global, &config, operator, &who)?;
    let home = open(args, &config, &logins)?;
    let mut typist = Typist::new(home, logins, out.is_json())?;
    if !args.command.is_empty() {
        return script(&mut typist, &args.command);
    }
    if !io::stdin().is_terminal() {
        let lines: Vec<_> = io::stdin()
            .lines()
            .collect::<Result<_, _>>()
            .map_err(|error| Failure::system("read standard input", &error))?;
        return script(&mut typist, &lines);
    }
    talk::talk(typist, out)
}

/// Who logs in, and the key he signs with.
struct Who {
    user: String,
    key: UserKey,
}

fn user(global: &Global, config: &Config) -> Outcome<Who> {
    let file = global.secret_file.as_ref();
    let named = global.user.clone();
    Ok(Who {
        user: named.unwrap_or_else(|| config.admin.name.clone()),
        key: UserKey::from_file(file.unwrap_or(&config.admin.secret_file))?,
    })
}

fn holder_of_the_secret(config: &Config) -> Outcome<Who> {
    let secret = ClusterSecret::from_file(&config.secret_file)?;
    Ok(Who {
        user: CLUSTER_USER.to_owned(),
        key: UserKey(secret.derive(CLUSTER_LOGIN_LABEL)),
    })
}

/// A login for each console there is.
fn logins(global: &Global, config: &Config, operator: &Operator, who: &Who) -> Outcome<Vec<Login>> {
    let transport = config.operator_transport()?;
    let login = |server: &ServerConfig| {
        Some(Login {
            cluster: config.cluster.clone(),
            server: server.name.to_string(),
            address: operator.console_reached_at(config, server)?,
            user: who.user.clone(),
            key: who.key.clone(),
            transport: Arc::clone(&transport),
            wait: global.timeout,
        })
    };
    Ok(config.servers.iter().filter_map(login).collect())
}

/// Connects with the server that was named, or else with the first mserver that answers.
fn open(args: &ConsoleArgs, config: &Config, logins: &[Login]) -> Outcome<(Link, Login)> {
    let named = args.server.as_ref();
    let is_mserver = |login: &Login| {
        let server = config.server_named(&login.server);
        server.is_some_and(|server| server.role == Role::Mserver)
    };
    let wanted = logins.iter().filter(|login| match named {
        Some(name) => login.server == *name,
        None => args.emergency || is_mserver(login),
    });
    let nobody = match named {
        Some(name) => format!("there is no console of {name} in the configuration"),
        None => "config.conf keeps the consoles closed".to_owned(),
    };
    let mut failed = Failure::new(Code::Usage, nobody);
    for login in wanted {
        match Link::open(login) {
            Ok(link) => return Ok((link, login.clone())),
            Err(failure) if failure.code == Code::Unreachable => failed = failure,
            Err(failure) => return Err(failure),
        }
    }
    Err(failed)
}

/// Types the lines one after the other; the first that is refused ends it.
fn script(typist: &mut Typist, lines: &[String]) -> Outcome {
    let mut lines = lines
        .iter()
        .filter(|line| !line.trim().is_empty())
        .peekable();
    while let Some(line) = lines.next() {
        let answer = typist.line(line)?;
        show(&answer);
        match answer.end {
            End::Refused { code, what } => return Err(refusal(&code, &what)),
            End::Confirm(name) if lines.peek().is_none() => {
                let what = format!("nothing was done: `{line}` wants its name typed once more");
                let advice = format!("Give it as the next command: --command {name}");
                return Err(Failure::new(Code::Refused, what).advise(advice));
            }
            End::Confirm(_) | End::Done => {}
        }
    }
    Ok(())
}

fn show(answer: &Answer) {
    if !answer.body.is_empty() {
        crate::output::write_out(format!("{}\n", answer.body.trim_end_matches('\n')).as_bytes());
    }
}
