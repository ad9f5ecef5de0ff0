//! `stx-lab`: simulated StarlingX hosts behind real sshds.
//!
//! One program, several parts: the operator's command, the lab's server, a host's boot and first process, and, under
//! the platform's own names, the commands inside the hosts.

mod cli;
mod crash;
pub mod fabric;
pub mod host;
pub mod server;
pub mod shell;
pub mod system;

/// Be whatever the arguments and the program's own name call for. Does not return.
pub fn main() -> ! {
    let argv: Vec<String> = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    if let Some(part) = argv.first().and_then(|name| host::part(name)) {
        std::process::exit(host::run(part, &argv));
    }
    let done = match argv.get(1).map(String::as_str) {
        Some("boot") => serde_json::from_str(argv.get(2).map_or("", String::as_str))
            .map_err(anyhow::Error::from)
            .and_then(|spec| fabric::boot::main(&spec)),
        Some("init") if std::process::id() == 1 => {
            let word = |i: usize| argv.get(i).map_or("", String::as_str);
            fabric::init::main(word(2), word(3), word(4)).map(|()| 0)
        }
        Some("kube-api") => host::kube_api::main(argv.get(2).map_or("", String::as_str)).map(|()| 0),
        Some("activate") => host::activity::activate().map(|()| 0),
        Some("configure") => host::activity::configure().map(|()| 0),
        Some("deactivate") => host::activity::deactivate().map(|()| 0),
        Some("registry") => {
            host::registry::main(argv.get(2).map_or("", String::as_str), argv.get(3).map_or("", String::as_str))
                .map(|()| 0)
        }
        Some("backup") => serde_json::from_str(argv.get(2).map_or("", String::as_str))
            .map_err(anyhow::Error::from)
            .and_then(|order| host::backup::run(&order))
            .map(|()| 0),
        _ => cli::main(),
    };
    match done {
        Ok(rc) => std::process::exit(rc),
        Err(why) => {
            eprintln!("stx-lab: {why:#}");
            std::process::exit(1);
        }
    }
}
