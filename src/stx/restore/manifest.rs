//! `stx_manifest`: a Puppet manifest of the platform applied, and judged by its log.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::action::command::Command;
use crate::action::host::{Act, Effect, HostError, Look};
use crate::action::module::{Failure, Module, Recovery};
use crate::dict;
use crate::model::outcome::Outcome;
use crate::model::value::Value;

use super::super::advice::Advice;
use super::super::platform::{self, OPENRC};
use super::{is_done, note};

crate::arguments! {
    pub struct Args {
        /// The directory of the migrated hieradata.
        hieradata []: PathBuf,
        /// The host it is applied on.
        host []: String,
        /// Its personality.
        personality []: String = "controller",
        /// The manifest.
        manifest []: String = "ansible_bootstrap",
        /// The old release, for what later steps of a check run see.
        from_release []: String,
        /// The new release.
        to_release []: String,
        /// The program.
        program []: PathBuf = "/usr/local/bin/puppet-manifest-apply.sh",
        /// Seconds that it may take.
        timeout []: u64 = 3600u64,
    }
}

pub struct Manifest;

impl Module for Manifest {
    const NAMES: &'static [&'static str] = &["stx_manifest"];
    const DOC: &'static str = "Applies a Puppet manifest of the platform from hieradata.\n\
        The program's exit code hides Puppet's own: any `Error:` or `Warning:` line in the log is a failure. A manifest that was applied with \
        the same hieradata is not applied again.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("log", "the log's path")];
    const EXAMPLE: &'static str = "- name: bootstrap\n  stx_manifest:\n    hieradata: /opt/platform/puppet/21.12/hieradata\n    \
        host: controller-0\n    from_release: '21.05'\n    to_release: '21.12'";
    type Args = Args;

    fn recovery(_: &Args) -> Recovery {
        Recovery::Observe
    }

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let identity = format!("{} {}", args.manifest, digest(&args, host.as_look())?);
        if is_done(host.as_look(), "manifest", &identity)? && host.stat(Path::new(OPENRC), true)?.is_some() {
            return Ok(Outcome::ok().msg(format!("{} was applied from this hieradata", args.manifest)));
        }
        let before = newest_log(host.as_look())?;
        let words = [
            &args.program.display().to_string(),
            &args.hieradata.display().to_string(),
            &args.host,
            &args.personality,
            &args.manifest,
        ];
        let command = Command::new(words).timeout(Duration::from_secs(args.timeout));
        let output = host.run_expecting(&command, &effects(&args))?;
        let log = newest_log(host.as_look())?.filter(|log| Some(log) != before.as_ref());
        let errors = if output.supposed { Vec::new() } else { errors(host.as_look(), log.as_deref())? };
        let shown = log.map(|l| l.display().to_string()).unwrap_or_default();
        if !output.success() || !errors.is_empty() {
            let said = if errors.is_empty() {
                [output.error_text(), output.text()].concat().trim().to_owned()
            } else {
                errors.join("; ")
            };
            return Err(Advice::failed(format!("the manifest {} failed: {said}", args.manifest))
                .cause(if shown.is_empty() { String::new() } else { format!("see {shown}") })
                .state("the host is being restored; nothing of the archive is lost")
                .safe("the host is out of service until it is restored")
                .next("correct the rules of the hiera migration or the host, then `stx-upgrade resume`")
                .into());
        }
        note(host, "manifest", &identity, false)?;
        Ok(Outcome::changed(true).msg(format!("{} applied", args.manifest)).with("log", shown))
    }
}

/// What a check run sees afterwards: a platform that answers, as the migrated database makes it.
fn effects(args: &Args) -> Vec<Effect> {
    let upgrade = platform::Upgrade {
        uuid: String::new(),
        state: super::super::state::UpgradeState::UpgradingControllers,
        from: args.from_release.clone(),
        to: args.to_release.clone(),
    };
    let loads = dict! { args.from_release.as_str() => "active", args.to_release.as_str() => "imported" };
    vec![
        Effect::File { path: OPENRC.into(), content: Vec::new(), mode: 0o640 },
        upgrade.supposed(&upgrade.state),
        platform::supposed_host(&args.host, "locked", "disabled", "online"),
        Effect::Suppose("stx/loads".into(), Value::dict(loads)),
        Effect::Suppose("stx/restore".into(), "completed".into()),
        Effect::Suppose("stx/release".into(), args.from_release.as_str().into()),
    ]
}

/// Of the hieradata: what the manifest was applied from.
fn digest(args: &Args, host: &mut dyn Look) -> Result<String, HostError> {
    let mut digest = Sha256::new();
    for name in ["static.yaml", "secure_static.yaml"] {
        digest.update(host.read(&args.hieradata.join(name))?);
    }
    Ok(hex::encode(digest.finalize()))
}

/// The newest `puppet.log`: its directories are named by the time.
fn newest_log(host: &mut dyn Look) -> Result<Option<PathBuf>, HostError> {
    let dir = Path::new("/var/log/puppet");
    let names = match host.list(dir) {
        Ok(names) => names,
        Err(HostError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let newest = names.into_iter().filter(|n| n.starts_with(|c: char| c.is_ascii_digit())).max();
    Ok(newest.map(|n| dir.join(n).join("puppet.log")))
}

fn errors(host: &mut dyn Look, log: Option<&Path>) -> Result<Vec<String>, HostError> {
    let Some(log) = log else { return Ok(Vec::new()) };
    if host.stat(log, true)?.is_none() {
        return Ok(Vec::new());
    }
    let text = String::from_utf8_lossy(&host.read(log)?).into_owned();
    let bad = text.lines().filter(|l| l.contains("Error:") || l.contains("Warning:"));
    Ok(bad.map(|l| l.trim().to_owned()).take(20).collect())
}
