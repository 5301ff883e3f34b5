//! `completions` and `man`: what a shell and a manual know of this program, from its own arguments.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::Code;
use crate::failure::{Failure, Outcome};
use crate::output::write_out;

/// Prints what completes the commands in a shell.
pub(crate) fn completions(shell: Shell) -> Outcome {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sdfs", &mut text);
    write_out(&text);
    Ok(())
}

/// Prints the manual page: the program, then each of its commands.
pub(crate) fn man() -> Outcome {
    let mut text = Vec::new();
    let mut command = Cli::command();
    command.build();
    let fault = |error: std::io::Error| Failure::new(Code::Fault, error.to_string());
    clap_mangen::Man::new(command.clone())
        .render(&mut text)
        .map_err(fault)?;
    for one in command.get_subcommands().filter(|one| !one.is_hide_set()) {
        let page = clap_mangen::Man::new(one.clone());
        text.extend(format!(".SH \"{}\"\n", one.get_name().to_uppercase()).as_bytes());
        page.render_description_section(&mut text).map_err(fault)?;
        page.render_options_section(&mut text).map_err(fault)?;
    }
    write_out(&text);
    Ok(())
}
