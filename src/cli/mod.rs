//! One file per subcommand; wires the rest.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

mod ansible;
pub mod args;
mod doc;
pub mod exit_code;
mod inventory;
mod operator;
mod play;
mod playbooks;
mod reporters;
mod resume;
mod runs;
mod secrets;
mod settings;
mod show;
mod vault;
mod wire;

use args::{Cli, Command};
use exit_code::Exit;

/// The whole program: reads the command line, runs, and gives the exit code.
pub fn main() -> ExitCode {
    // Passwords are in this memory: no core dump of it, and no other process of this user may read it. Where the kernel
    // refuses, the rest still holds.
    let _ = nix::sys::prctl::set_dumpable(false);
    if let Some(code) = crate::connection::askpass::role() {
        return code;
    }
    let words: Vec<OsString> = std::env::args_os().collect();
    if words.get(1).is_some_and(|w| w == "agent") {
        return crate::agent::main(&words[2..], wire::kit());
    }
    std::panic::set_hook(Box::new(tell_bug));
    let called_ansible = ansible::is_called(&words);
    let words = if called_ansible { ansible::words(words) } else { words };
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            let usage = error.use_stderr();
            return if usage { Exit::Usage.into_code(called_ansible) } else { ExitCode::SUCCESS };
        }
    };
    let ansible = called_ansible || matches!(&cli.command, Command::Play(p) if p.exit_compat.is_some());
    match dispatch(cli, called_ansible) {
        Ok(exit) => exit.into_code(ansible),
        Err(error) => {
            eprintln!("error: {error:#}");
            Exit::Error.into_code(ansible)
        }
    }
}

/// A panic is a bug of ours, and says so; but for a pipe that is gone, which ends a listing in peace.
fn tell_bug(panic: &std::panic::PanicHookInfo<'_>) {
    let text = panic.payload_as_str().unwrap_or("no message");
    if text.starts_with("failed printing to std") {
        std::process::exit(0);
    }
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    eprintln!(
        "error: this is a bug in stx-upgrade {} ({place}): {text}. The journal is whole: `stx-upgrade resume` goes on. Please report it \
         with the output of `stx-upgrade show`",
        env!("CARGO_PKG_VERSION")
    );
    std::process::exit(250);
}

fn dispatch(cli: Cli, ansible: bool) -> anyhow::Result<Exit> {
    match cli.command {
        Command::Play(args) => play::run(*args, ansible),
        Command::Validate(mut args) => {
            args.syntax_check = true;
            play::run(*args, ansible)
        }
        Command::Resume(args) => resume::run(&args),
        Command::Runs(args) => runs::list(&args),
        Command::Status(args) => runs::status(&args),
        Command::Show(args) => show::run(&args),
        Command::Inventory(args) => inventory::run(&args),
        Command::Doc(args) => doc::run(&args),
        Command::Playbooks(args) => playbooks::run(&args),
        Command::Vault(args) => vault::run(&args),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "stx-upgrade", &mut std::io::stdout());
            Ok(Exit::Ok)
        }
        Command::Man => {
            clap_mangen::Man::new(Cli::command()).render(&mut std::io::stdout())?;
            Ok(Exit::Ok)
        }
    }
}
