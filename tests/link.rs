//! The link and the agent against a real sshd, sudo and su. This program is the agent that it uploads, ssh's askpass,
//! and the run that is killed, so it has its own main.

#[path = "link/become_user.rs"]
mod become_user;
#[path = "link/calls.rs"]
mod calls;
#[path = "link/lab.rs"]
mod lab;
#[path = "link/login.rs"]
mod login;
#[path = "link/loss.rs"]
mod loss;
#[path = "link/modules.rs"]
mod modules;
#[path = "link/secrets.rs"]
mod secrets;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use stx_upgrade::{agent, connection};

use lab::Lab;

fn main() -> ExitCode {
    if let Some(code) = connection::askpass::role() {
        return code;
    }
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    match args.first().and_then(|a| a.to_str()) {
        Some("agent") => return agent::main(&args[1..], modules::kit()),
        Some("impostor") => return loss::impersonate(),
        Some("leaky") => return login::leaky(&args[1..]),
        Some("runner") => return loss::runner(&args[1..]),
        Some("stranger") => return loss::stranger(&args[1..]),
        _ => {}
    }
    let arguments = Arguments::from_args();
    let lab = match Lab::start() {
        Ok(lab) => lab,
        Err(why) => {
            eprintln!("the tests of the link need sshd: {why}");
            return ExitCode::FAILURE;
        }
    };
    let trials =
        [calls::trials(lab), login::trials(lab), loss::trials(lab), become_user::trials(lab), secrets::trials(lab)];
    let conclusion = libtest_mimic::run(&arguments, trials.into_iter().flatten().collect());
    lab.stop();
    conclusion.exit_code()
}

/// A test on a runtime of its own.
fn trial(name: &str, lab: &'static Lab, test: impl AsyncFnOnce(&'static Lab) + Send + 'static) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            match tokio::time::timeout(std::time::Duration::from_secs(120), test(lab)).await {
                Ok(()) => Ok(()),
                Err(_) => Err("it did not end within two minutes".into()),
            }
        })
    })
}

/// A test that needs users of its own, which only root can make.
fn with_users(name: &str, lab: &'static Lab, test: impl AsyncFnOnce(&'static Lab) + Send + 'static) -> Trial {
    let trial = trial(name, lab, test);
    if lab.has_users() {
        return trial;
    }
    eprintln!("{name}: skipped, since only root can make the users that it needs");
    trial.with_ignored_flag(true)
}
