//! `console`: a session at a server's console, or line by line for scripts.

mod link;

use std::io::{self, IsTerminal};

use sdfs_server_group::{Config, Operator, Role, ServerConfig, UserKey};

use crate::args::{ConsoleArgs, Global};
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::output::{Ink, Output};
use crate::session;
use link::{Answer, End, Link, Login, refusal};

/// Opens the console of a server.
pub(crate) fn run(global: &Global, args: &ConsoleArgs, out: Output) -> Outcome {
    let config = session::config(global)?;
    let Some(operator) = &config.operator else {
        let what = format!("{} has no `operator: (..)` part", global.config.display());
        return Err(Failure::new(Code::Config, what).advise("The shipped config.conf shows one"));
    };
    let (mut link, login) = open(global, args, &config, operator)?;
    if out.is_json() {
        said(&mut link, &login, "json on")?;
    }
    if !args.command.is_empty() {
        return script(&mut link, &login, &args.command, out);
    }
    if !io::stdin().is_terminal() {
        let lines: Vec<_> = io::stdin()
            .lines()
            .collect::<Result<_, _>>()
            .map_err(|error| Failure::system("read standard input", &error))?;
        return script(&mut link, &login, &lines, out);
    }
    talk(link, &login, out)
}

/// Connects with the server that was named, or else with the first mserver that answers.
fn open(
    global: &Global,
    args: &ConsoleArgs,
    config: &Config,
    operator: &Operator,
) -> Outcome<(Link, Login)> {
    let file = global.secret_file.as_ref();
    let key = UserKey::from_file(file.unwrap_or(&config.admin.secret_file))?;
    let login = |server: &ServerConfig| {
        Some(Login {
            cluster: config.cluster.clone(),
            server: server.name.to_string(),
            address: operator.console_address(config, server)?,
            user: global
                .user
                .clone()
                .unwrap_or_else(|| config.admin.name.clone()),
            key: key.clone(),
            wait: global.timeout,
        })
    };
    let named = args.server.as_ref();
    let wanted = config.servers.iter().filter(|server| match named {
        Some(name) => server.name.as_str() == name,
        None => server.role == Role::Mserver,
    });
    let nobody = match named {
        Some(name) => format!("there is no server {name} in {}", global.config.display()),
        None => "config.conf keeps the consoles closed".to_owned(),
    };
    let mut failed = Failure::new(Code::Usage, nobody);
    for login in wanted.filter_map(login) {
        match Link::open(&login) {
            Ok(link) => return Ok((link, login)),
            Err(failure) if failure.code == Code::Unreachable => failed = failure,
            Err(failure) => return Err(failure),
        }
    }
    Err(failed)
}

fn said(link: &mut Link, login: &Login, line: &str) -> Outcome<Answer> {
    link.ask(line).map_err(|error| {
        let plain = crate::failure::plain(&error);
        let what = format!("the console of {} has gone: {plain}", login.server);
        Failure::new(Code::Unreachable, what)
    })
}

/// Types the lines one after the other; the first that is refused ends it.
fn script(link: &mut Link, login: &Login, lines: &[String], out: Output) -> Outcome {
    for line in lines.iter().filter(|line| !line.trim().is_empty()) {
        let answer = said(link, login, line)?;
        show(&answer, out);
        if let End::Refused { code, what } = answer.end {
            return Err(refusal(&code, &what));
        }
    }
    Ok(())
}

fn show(answer: &Answer, out: Output) {
    if !answer.body.is_empty() {
        crate::output::write_out(format!("{}\n", answer.body.trim_end_matches('\n')).as_bytes());
    }
    if let End::Confirm(name) = &answer.end
        && !out.is_json()
    {
        out.say(&out.ink(Ink::Warn, &format!("type {name} to go on")));
    }
}

/// A person types.
fn talk(mut link: Link, login: &Login, out: Output) -> Outcome {
    out.say(&format!(
        "at {} as {}; `help` lists the commands",
        login.server, login.user
    ));
    let mut lines = io::stdin().lines();
    loop {
        prompt(&login.server);
        let Some(line) = lines.next() else {
            return Ok(());
        };
        let line = line.map_err(|error| Failure::system("read standard input", &error))?;
        if line.trim().is_empty() {
            continue;
        }
        let answer = said(&mut link, login, &line)?;
        show(&answer, out);
        if let End::Refused { what, .. } = &answer.end {
            out.say(&out.ink(Ink::Bad, what));
        }
        if matches!(line.trim(), "quit" | "exit") && answer.end == End::Done {
            return Ok(());
        }
    }
}

fn prompt(server: &str) {
    crate::output::write_out(format!("{server}> ").as_bytes());
}
