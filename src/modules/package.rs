//! `package`, `apt`, `dnf`, `dnf5` and `yum`: packages by the host's own manager. A check run takes the manager's own word for
//! what is installed; after packages would have changed, the fact `packages/changed` is supposed.

mod manager;
mod services;

use std::time::Duration;

use manager::{Manager, foreign};

use super::command::output_values;
use super::web_args;
use crate::action::command::{Command, Output};
use crate::action::host::{Act, Effect, HostError};
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::{arguments, choices};

choices! {
    /// What shall be of a package; `build-dep`: what it is built with is installed, and `fixed`: what a broken system lacks.
    pub enum State {
        Present = "present",
        Installed = "installed",
        Latest = "latest",
        Absent = "absent",
        Removed = "removed",
        BuildDep = "build-dep",
        Fixed = "fixed",
    }
}

choices! {
    /// How much is brought up to date.
    pub enum Upgrade {
        No = "no",
        Yes = "yes",
        Safe = "safe",
        Full = "full",
        Dist = "dist",
    }
}

arguments! {
    /// Arguments of all managers.
    pub struct Args {
        /// Packages; `name=version` where the manager knows it.
        name ["pkg", "package"]: Vec<String> = Vec::new(),
        /// What shall be of them.
        state []: State = State::Present,
        /// Read the lists of packages anew first.
        update_cache ["update-cache"]: bool = false,
        /// Seconds for which the lists are fresh enough; for `apt`.
        cache_valid_time []: u64 = 0u64,
        /// Take packages that others only recommend, or leave them; for `apt`.
        install_recommends ["install-recommends"]: Option<bool>,
        /// Remove the settings of a removed package too; for `apt`.
        purge []: bool = false,
        /// Remove packages that nothing needs any more.
        autoremove []: bool = false,
        /// Take packages that are not signed by a known key.
        allow_unauthenticated ["allow-unauthenticated"]: bool = false,
        /// Leave signatures unchecked; for `dnf`.
        disable_gpg_check []: bool = false,
        /// A package's file, on the host or at an address, to install; for `apt`.
        deb []: Option<String>,
        /// Bring all packages up to date: `yes` and `safe` without removing any, `full` and `dist` with that; for `apt`.
        upgrade []: Upgrade = Upgrade::No,
        /// The release to take packages from; for `apt`.
        default_release ["default-release"]: Option<String>,
        /// Install nothing new, only bring what is there up to date; for `apt`.
        only_upgrade []: bool = false,
        /// What `dpkg` does about files of settings, between commas; for `apt`.
        dpkg_options []: String = "force-confdef,force-confold",
        /// Take older versions too; for `apt`.
        allow_downgrade ["allow-downgrade", "allow_downgrades", "allow-downgrades"]: bool = false,
        /// Change packages too that are held; for `apt`.
        allow_change_held_packages []: bool = false,
        /// Do nothing that would remove a package; for `apt`.
        fail_on_autoremove []: bool = false,
        /// Remove files of packages that cannot be had any more; for `apt`.
        autoclean []: bool = false,
        /// Remove all files of packages that were fetched; for `apt`.
        clean []: bool = false,
        /// Do what `apt-get` would refuse, with all that this breaks; for `apt`.
        force []: bool = false,
        /// How often reading the lists is tried again; for `apt`.
        update_cache_retries []: u64 = 5u64,
        /// Seconds between these tries, at most: they grow from one; for `apt`.
        update_cache_retry_max_delay []: u64 = 12u64,
        /// Seconds to wait for another program that works on packages; for `apt`.
        lock_timeout []: u64 = 60u64,
        /// What `policy-rc.d` answers meanwhile when packages want to start services: 101 forbids it; for `apt`.
        policy_rc_d []: Option<i64>,
        /// `apt-get` is used in any case; for `apt`.
        force_apt_get []: bool = false,
        /// Without effect: no Python is needed; for `apt`.
        auto_install_module_deps []: bool = true,
        /// Packages to leave as they are; for `dnf`.
        exclude []: Vec<String> = Vec::new(),
        /// Only updates that mend something about security; for `dnf`.
        security []: bool = false,
        /// Only updates that mend a mistake; for `dnf`.
        bugfix []: bool = false,
        /// Leave out packages that cannot be installed; for `dnf`.
        skip_broken []: bool = false,
        /// Remove other packages where that is needed; for `dnf`.
        allowerasing []: bool = false,
        /// Take another version where the best cannot be had; for `dnf`.
        nobest []: bool = false,
        /// Packages that others only recommend; for `dnf`.
        install_weak_deps []: bool = true,
        /// Install nothing new, only bring what is there up to date; for `dnf`.
        update_only []: bool = false,
        /// The folder of the system to work on; for `dnf`.
        installroot []: Option<String>,
        /// Settings of the manager; for `dnf`.
        conf_file []: Option<String>,
        /// Plugins to take; for `dnf`.
        enable_plugin []: Vec<String> = Vec::new(),
        /// Plugins to leave; for `dnf`.
        disable_plugin []: Vec<String> = Vec::new(),
        /// Whose lists of excluded packages do not count: `all`, `main` or a repository's; for `dnf`.
        disable_excludes []: Option<String>,
        /// Only fetch packages; for `dnf`.
        download_only []: bool = false,
        /// Where to; for `dnf`.
        download_dir []: Option<String>,
        /// Use the lists as they are, however old; for `dnf`.
        cacheonly []: bool = false,
        /// Whether servers of repositories must prove who they are; for `dnf`.
        sslverify []: bool = true,
        /// The release to take packages from; for `dnf`.
        releasever []: Option<String>,
        /// Repositories to take too, for `dnf`.
        enablerepo []: Vec<String> = Vec::new(),
        /// Repositories to leave, for `dnf`.
        disablerepo []: Vec<String> = Vec::new(),
        /// Manager to use; found out if `auto`.
        r#use ["use_backend"]: String = "auto",
    }
}

const RETURNS: &[(&str, &str)] = &[("stdout", "What the manager printed"), ("rc", "Its exit code")];

macro_rules! manager {
    ($(#[$doc:meta])* $name:ident, $names:expr, $doc_text:literal, $example:literal, $kind:expr) => {
        $(#[$doc])*
        pub struct $name;

        impl Module for $name {
            const NAMES: &'static [&'static str] = $names;
            const DOC: &'static str = $doc_text;
            const RETURNS: &'static [(&'static str, &'static str)] = RETURNS;
            const EXAMPLE: &'static str = $example;
            type Args = Args;

            fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
                let manager = match $kind {
                    Some(manager) => manager,
                    None => Manager::of(&args.r#use, host)?,
                };
                run(&args, manager, host)
            }
        }
    };
}

manager!(
    /// The module `package`.
    Package,
    &["package", "ansible.builtin.package", "ansible.legacy.package"],
    "Installs, updates or removes packages with the host's own manager: apt, dnf or yum.",
    "- package:\n    name: ntpdate\n    state: present\n",
    None
);
manager!(
    /// The module `apt`.
    Apt,
    &["apt", "ansible.builtin.apt", "ansible.legacy.apt"],
    "Installs, updates or removes Debian packages with `apt-get`.",
    "- apt:\n    name: [foo, foo-tools]\n    update_cache: true\n",
    Some(Manager::Apt)
);
manager!(
    /// The modules `dnf`, `dnf5` and `yum`: where dnf 5 is, it is called `dnf`.
    Dnf,
    &[
        "dnf",
        "ansible.builtin.dnf",
        "ansible.legacy.dnf",
        "dnf5",
        "ansible.builtin.dnf5",
        "ansible.legacy.dnf5",
        "yum",
        "ansible.builtin.yum",
        "ansible.legacy.yum",
    ],
    "Installs, updates or removes RPM packages with `dnf`, or `yum` where that is all there is.",
    "- dnf:\n    name: httpd\n    state: latest\n",
    None
);

fn failed(command: &Command, output: &Output) -> Failure {
    let msg = match output.error_text().trim() {
        "" => output.text().trim().to_owned(),
        said => said.to_owned(),
    };
    let msg = format!("'{}' failed: {msg}", command.argv.join(" "));
    Failure::Failed(Box::new(output_values(Outcome::failed(msg), output.rc, output.text(), output.error_text())))
}

/// Whether `apt-get` would do anything.
fn simulated(args: &Args, words: &[&str], host: &mut dyn Act) -> Result<bool, Failure> {
    let command = Manager::Apt.command(args, &[&["-s"], words].concat());
    let output = host.query(&command)?;
    match output.success() {
        true => Ok(output.text().lines().any(|l| ["Inst ", "Remv ", "Conf "].iter().any(|does| l.starts_with(does)))),
        false => Err(failed(&command, &output)),
    }
}

/// The file of a package to install: `None` where that very version is installed.
fn file_to_install(args: &Args, host: &mut dyn Act) -> Result<Option<String>, Failure> {
    let Some(deb) = &args.deb else { return Ok(None) };
    let mut path = deb.clone();
    if deb.contains("://") {
        path = web_args::download(deb, true, host)?.display().to_string();
    }
    let query = Command::new(["dpkg-deb", "-f", &path, "Package", "Version"]);
    let output = host.query(&query)?;
    if !output.success() {
        return Err(failed(&query, &output));
    }
    let text = output.text();
    let field = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)).map(str::trim).unwrap_or_default();
    let there = Manager::Apt.installed(host, &format!("{}={}", field("Package:"), field("Version:")))?;
    Ok((!there).then_some(path))
}

fn run(args: &Args, manager: Manager, host: &mut dyn Act) -> Result<Outcome, Failure> {
    if let Some(name) = foreign(args, manager) {
        return Err(Failure::new(format!("`{name}` means nothing to {}, which this host has", manager.program())));
    }
    let supposed = [Effect::Suppose("packages/changed".into(), true.into())];
    let absent = matches!(args.state, State::Absent | State::Removed);
    let mut outcome = Outcome::ok();
    if args.update_cache && !fresh(args, manager, host)? {
        let words: &[&str] = if manager == Manager::Apt { &["update"] } else { &["makecache"] };
        let command = manager.command(args, words);
        let mut output = host.run_expecting(&command, &[])?;
        for attempt in 0..if manager == Manager::Apt { args.update_cache_retries } else { 0 } {
            if output.success() {
                break;
            }
            // Servers of packages are down for moments.
            host.sleep(Duration::from_secs((1 << attempt.min(20)).min(args.update_cache_retry_max_delay)))?;
            output = host.run_expecting(&command, &[])?;
        }
        if !output.success() {
            return Err(failed(&command, &output));
        }
        outcome = outcome.with("cache_updated", true);
        // Reading lists anew is a change only where nothing else was asked for.
        outcome.changed = args.name.is_empty() && args.upgrade == Upgrade::No && args.deb.is_none();
    }
    let mut names = Vec::new();
    for name in &args.name {
        let name = name.trim();
        if name.starts_with('-') || name.is_empty() {
            return Err(Failure::new(format!("`{name}` is no name of a package")));
        }
        if args.state == State::BuildDep {
            // What it is built with is known to apt alone.
            names.push(name);
            continue;
        }
        let installed = manager.installed(host, name)?;
        let needed = match (absent, args.state) {
            (true, _) => installed,
            (false, _) if args.update_only => installed && manager.outdated(args, host, name)?,
            (false, State::Latest) => !installed || manager.outdated(args, host, name)?,
            (false, _) => !installed,
        };
        names.extend(needed.then_some(name));
    }
    let verb = match (manager, absent) {
        (Manager::Apt, true) if args.purge => "purge",
        (_, true) => "remove",
        (_, false) if args.state == State::BuildDep => "build-dep",
        (_, false) => "install",
    };
    let mut calls = Vec::new();
    let building = args.state == State::BuildDep && !names.is_empty();
    let idle = building && !simulated(args, &[&["build-dep", "--"], names.as_slice()].concat(), host)?
        || args.state == State::Fixed && args.name.is_empty() && !simulated(args, &["install"], host)?;
    if !idle && (!names.is_empty() || args.state == State::Fixed && args.name.is_empty()) {
        let mut words = vec![verb];
        words.push("--");
        words.extend(&names);
        // dnf takes no `--`.
        if manager != Manager::Apt {
            words.remove(1);
        }
        calls.push(manager.command(args, &words));
    }
    let words: &[&str] = match args.upgrade {
        Upgrade::No => &[],
        Upgrade::Yes | Upgrade::Safe => &["upgrade", "--with-new-pkgs"],
        Upgrade::Full | Upgrade::Dist => &["dist-upgrade"],
    };
    if !words.is_empty() && simulated(args, words, host)? {
        calls.push(manager.command(args, words));
    }
    let file = file_to_install(args, host)?;
    calls.extend(file.iter().map(|file| manager.command(args, &["install", "--", file])));
    if args.autoremove && (manager != Manager::Apt || simulated(args, &["autoremove"], host)?) {
        calls.push(manager.command(args, &["autoremove"]));
    }
    if args.autoclean {
        calls.push(manager.command(args, &["autoclean"]));
    }
    if args.clean {
        calls.push(manager.command(args, &["clean"]));
    }
    let before = match (args.policy_rc_d, calls.is_empty()) {
        (Some(answer), false) => Some(services::answer(answer, host)?),
        _ => None,
    };
    let done = calls.iter().map(|command| (command, host.run_expecting(command, &supposed)));
    let mut outputs = Vec::new();
    for (command, output) in done {
        let failed = output.as_ref().map_or(true, |o| !o.success());
        outputs.push((command, output));
        if failed {
            break;
        }
    }
    if let Some(before) = before {
        services::restore(before, host)?;
    }
    for (command, output) in outputs {
        let output = output?;
        if !output.success() {
            return Err(failed(command, &output));
        }
        let text = output.text();
        let word = command.argv.last().map(String::as_str);
        let idle = match word {
            Some("autoclean") => !text.lines().any(|l| l.starts_with("Del ")),
            _ if text.contains("not fully installed") => false,
            _ => text.contains("0 upgraded, 0 newly installed, 0 to remove") || text.contains("Nothing to do"),
        };
        outcome.changed |= !idle;
        outcome = output_values(outcome, output.rc, text, output.error_text());
    }
    Ok(outcome)
}

/// Whether apt's lists are young enough.
fn fresh(args: &Args, manager: Manager, host: &mut dyn Act) -> Result<bool, HostError> {
    if manager != Manager::Apt || args.cache_valid_time == 0 {
        return Ok(false);
    }
    let mut newest: f64 = 0.0;
    for path in ["/var/lib/apt/periodic/update-success-stamp", "/var/lib/apt/lists"] {
        if let Some(stat) = host.stat(path.as_ref(), true)? {
            newest = newest.max(stat.modified);
        }
    }
    let now = jiff::Timestamp::now().as_duration().as_secs_f64();
    Ok(now - newest < args.cache_valid_time as f64)
}
