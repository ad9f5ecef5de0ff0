//! `stx_host_upgrade`: the reinstall of a simplex controller with the new release. It wipes the host it runs on.

use std::path::PathBuf;

use crate::action::host::{Act, Effect};
use crate::action::module::{Failure, Module, Recovery};
use crate::dict;
use crate::model::outcome::Outcome;

use super::advice::Advice;
use super::archive::BACKUP_DIR;
use super::platform::{self, BUILD_INFO, Host, No, OPENRC, System, Upgrade};
use super::state::{Administrative, Availability, Operational, Task, UpgradeState};

crate::arguments! {
    pub struct Args {
        /// The host, by StarlingX's name. The platform takes any name on simplex; here it must be the one that is there.
        host []: String,
        /// The release that it is reinstalled with.
        to_release []: String,
        /// Paths that survive the wipe, for check runs: the backup partition and what is mounted.
        keep []: Vec<PathBuf> = vec![PathBuf::from(BACKUP_DIR), PathBuf::from("/media")],
    }
}

pub struct HostUpgrade;

impl Module for HostUpgrade {
    const NAMES: &'static [&'static str] = &["stx_host_upgrade"];
    const DOC: &'static str = "Reinstalls a locked simplex controller with the new release: its root disk is wiped.\n\
        It answers the platform's prompt, returns as soon as the platform accepted, and does not wait: the host goes \
        down. Use `stx_reinstalled` after it. Put a gate before it.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("release", "what is or will be installed")];
    // The install that it begins may take an hour.
    const LOSES_HOST: Option<u64> = Some(3600);
    const EXAMPLE: &'static str =
        "- name: reinstall controller-0\n  stx_host_upgrade:\n    host: controller-0\n    to_release: '21.12'";
    type Args = Args;

    fn recovery(_: &Args) -> Recovery {
        Recovery::Observe
    }

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let installed = platform::installed_release(host.as_look())?;
        if installed.as_deref() == Some(&args.to_release) {
            return Ok(outcome(&args, false, "is installed"));
        }
        let (system, upgrade, now) = look(&args, host)?;
        match decide(&args, &system, upgrade.as_ref(), &now)? {
            Step::Wait => Ok(outcome(&args, false, "is being installed")),
            Step::Act => {
                let effects = effects(&args, host, &system);
                match platform::tell(host, &["host-upgrade", &args.host], Some("yes\n"), &effects) {
                    // The answer may be lost with the host.
                    Ok(_) | Err(No::Away(_)) => Ok(outcome(&args, true, "will be installed, and the host goes down")),
                    Err(No::Refused(why)) if why.contains("already targeted") => Ok(outcome(&args, false, "is being installed")),
                    Err(No::Refused(why)) => Err(Advice::failed(why)
                        .state(now.states())
                        .safe("yes: the host was not wiped")
                        .next("put that right, then `stx-upgrade resume`; until here `stx-upgrade play abort.yml` undoes it")
                        .into()),
                    Err(other) => Err(other.into()),
                }
            }
        }
    }
}

fn look(args: &Args, host: &mut dyn Act) -> Result<(System, Option<Upgrade>, Host), Failure> {
    let host = host.as_look();
    let names = platform::patiently(host, platform::host_names)?;
    if !names.contains(&args.host) {
        return Err(Advice::failed(format!(
            "there is no host `{}` in this system, only {}",
            args.host,
            names.join(", ")
        ))
        .cause("on simplex the platform would take any name and wipe the one host there is")
        .safe("yes: nothing was changed")
        .next("name the host exactly")
        .into());
    }
    Ok((
        platform::patiently(host, platform::show)?,
        platform::patiently(host, platform::upgrade)?,
        platform::patiently(host, |h| platform::host(h, &args.host))?,
    ))
}

#[derive(Debug, PartialEq)]
enum Step {
    /// Under way already: not asked for again.
    Wait,
    Act,
}

fn decide(args: &Args, system: &System, upgrade: Option<&Upgrade>, now: &Host) -> Result<Step, Failure> {
    let refused = |msg: String, next: &str| -> Failure {
        Advice::failed(msg).state(now.states()).safe("yes: the host was not wiped").next(next).into()
    };
    if !system.simplex() {
        return Err(refused(
            format!("{} is a {} system; this module reinstalls simplex controllers only", system.name, system.mode),
            "use the procedure of that system",
        ));
    }
    if matches!(now.task, Task::Reinstalling) || now.inventory.as_deref() == Some("reinstalling") {
        return Ok(Step::Wait);
    }
    match upgrade {
        Some(u) if u.to != args.to_release => {
            return Err(refused(
                format!("the upgrade in progress is to {}, not to {}", u.to, args.to_release),
                "check `to_release`",
            ));
        }
        Some(u) if u.state == UpgradeState::Started => {}
        Some(u) => {
            return Err(refused(
                format!("the upgrade is {}, and must be started", u.state),
                "`stx-upgrade play upgrade.yml`",
            ));
        }
        None => return Err(refused("no upgrade is in progress".into(), "`stx-upgrade play upgrade.yml`")),
    }
    let ready = now.administrative == Administrative::Locked
        && now.operational == Operational::Disabled
        && now.availability == Availability::Online;
    if !ready {
        return Err(refused(
            format!("{} is {}, and must be locked/disabled/online", args.host, now.states()),
            "lock it first (`stx_host_lock`)",
        ));
    }
    Ok(Step::Act)
}

/// What a check run sees of the host afterwards: bare, with the new release.
fn effects(args: &Args, host: &mut dyn Act, system: &System) -> Vec<Effect> {
    let archives = host.supposed("stx/archives");
    let file = |path: &str, text: String| Effect::File { path: path.into(), content: text.into_bytes(), mode: 0o644 };
    let mut effects = vec![
        Effect::Wiped { keep: args.keep.clone() },
        // No credentials: the platform is not configured.
        Effect::Gone(OPENRC.into()),
        file(BUILD_INFO, format!("OS=\"(new)\"\nSW_VERSION=\"{}\"\n", args.to_release)),
        file(
            "/etc/platform/platform.conf",
            format!(
                "nodetype=controller\nsubfunction=controller,worker\nsystem_type={}\nsystem_mode={}\nsw_version={}\n",
                system.kind, system.mode, args.to_release
            ),
        ),
    ];
    effects.extend(archives.map(|a| Effect::Suppose("stx/archives".into(), a)));
    effects.extend(platform::supposed_system(system, std::slice::from_ref(&args.host)));
    effects
}

fn outcome(args: &Args, changed: bool, what: &str) -> Outcome {
    let mut outcome = Outcome::changed(changed).msg(format!("{}: {} {what}", args.host, args.to_release));
    outcome.data = dict! { "release" => args.to_release.as_str() };
    outcome
}
