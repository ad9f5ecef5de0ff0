//! `stx_credentials`: the passwords that the procedure will need later, tried now.

use std::path::Path;
use std::time::Duration;

use crate::action::command::{Command, Output};
use crate::action::host::Act;
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::model::secret::Secret;

use super::advice::Advice;
use super::platform::OPENRC;

crate::arguments! {
    pub struct Args {
        /// The login user's password, as sudo wants it.
        sudo_password []: Option<Secret>,
        /// The user whose password that is.
        user []: String = "sysadmin",
        /// The password of the Keystone user `admin`.
        admin_password []: Option<Secret>,
    }
    rules [OneOf(&["sudo_password", "admin_password"])]
}

pub struct Credentials;

impl Module for Credentials {
    const NAMES: &'static [&'static str] = &["stx_credentials"];
    const DOC: &'static str = "Tries the passwords that the procedure needs: sudo's with sudo, admin's with Keystone.\n\
        They go over standard input, never on a command line.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("tried", "which were tried")];
    const EXAMPLE: &'static str = "- name: the passwords are right\n  stx_credentials:\n    \
        sudo_password: \"{{ ansible_become_pass }}\"\n    admin_password: \"{{ admin_password }}\"\n  no_log: true";
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let (mut tried, mut wrong) = (Vec::new(), Vec::new());
        if let Some(password) = &args.sudo_password {
            tried.push("sudo");
            if !sudo(host, &args.user, password)? {
                wrong.push((
                    "sudo",
                    format!("sudo does not take the password of {}", args.user),
                    "give it with `-K`, or as ansible_become_pass in the inventory's vault",
                ));
            }
        }
        if let Some(password) = &args.admin_password {
            tried.push("admin");
            if host.stat(Path::new(OPENRC), true)?.is_none() {
                return Err(Failure::new(
                    "the admin password cannot be tried: the platform is not configured on this host",
                ));
            }
            match keystone(host, password)? {
                Answer::Taken => {}
                Answer::Refused => wrong.push((
                    "admin",
                    "Keystone does not take the admin password".to_owned(),
                    "give it with `-e admin_password=…` from a vault file",
                )),
                Answer::Unknown(said) => {
                    return Err(Failure::new(format!("the admin password could not be tried: {said}")));
                }
            }
        }
        if wrong.is_empty() {
            return Ok(Outcome::ok()
                .msg(format!("right: {}", tried.join(", ")))
                .with("tried", tried.into_iter().collect::<crate::model::value::Value>()));
        }
        let said: Vec<&str> = wrong.iter().map(|(_, msg, _)| msg.as_str()).collect();
        let advice = wrong.iter().fold(Advice::failed(said.join("; ")), |a, (_, _, next)| a.next(*next));
        Err(advice.safe("yes: nothing was changed").into())
    }
}

/// Whether sudo takes the password, asked as the user whose it is: root needs none.
fn sudo(host: &mut dyn Act, user: &str, password: &Secret) -> Result<bool, Failure> {
    // -k: a password given a minute ago must not answer for this one.
    let ask = ["sudo", "-S", "-k", "-p", "", "true"];
    let me = host.query(&Command::new(["id", "-un"]).timeout(Duration::from_secs(10)))?.text();
    let argv: Vec<&str> =
        if me.trim() == user { ask.to_vec() } else { ["runuser", "-u", user, "--"].into_iter().chain(ask).collect() };
    let stdin = format!("{}\n", password.reveal());
    let output = host.query(&Command::new(argv).stdin(stdin).timeout(Duration::from_secs(30)))?;
    Ok(output.success())
}

enum Answer {
    Taken,
    Refused,
    Unknown(String),
}

/// Asks the platform something with this password in the place of the keyring's.
fn keystone(host: &mut dyn Act, password: &Secret) -> Result<Answer, Failure> {
    let script = format!("source {OPENRC} && IFS= read -r OS_PASSWORD && export OS_PASSWORD && exec system show");
    let command = Command::new(["/bin/bash", "-c", &script]);
    let stdin = format!("{}\n", password.reveal());
    let output: Output = host.query(&command.stdin(stdin).timeout(Duration::from_secs(120)))?;
    let said = output.error_text();
    Ok(if output.success() {
        Answer::Taken
    } else if said.contains("Invalid Identity credentials") || said.contains("HTTP 401") {
        Answer::Refused
    } else {
        Answer::Unknown(said.trim().to_owned())
    })
}
