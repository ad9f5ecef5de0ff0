//! `package`, `apt`, `dnf`, `dnf5` and `yum`: packages by the host's own manager. A check run takes the manager's own word for
//! what is installed; after packages would have changed, the fact `packages/changed` is supposed.

use super::command::output_values;
use crate::action::command::{Command, Output};
use crate::action::host::{Act, Effect, HostError};
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::{arguments, choices};

choices! {
    /// What shall be of a package.
    pub enum State {
        Present = "present",
        Installed = "installed",
        Latest = "latest",
        Absent = "absent",
        Removed = "removed",
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
        /// Repositories to take too, for `dnf`.
        enablerepo []: Vec<String> = Vec::new(),
        /// Repositories to leave, for `dnf`.
        disablerepo []: Vec<String> = Vec::new(),
        /// Manager to use; found out if `auto`.
        r#use []: String = "auto",
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

#[derive(Clone, Copy, PartialEq)]
enum Manager {
    Apt,
    Dnf,
    Yum,
}

impl Manager {
    fn of(word: &str, host: &mut dyn Act) -> Result<Manager, Failure> {
        match word.rsplit('.').next().unwrap_or_default() {
            "auto" => {}
            "apt" => return Ok(Manager::Apt),
            "dnf" | "dnf4" | "dnf5" => return Ok(Manager::Dnf),
            "yum" => return Ok(Manager::Yum),
            // Ansible's words: scripts look for them.
            _ => {
                let said = "Could not find a matching action for the";
                return Err(Failure::new(format!("{said} \"{word}\" package manager: apt, dnf and yum are known")));
            }
        }
        for (path, manager) in
            [("/usr/bin/dnf", Manager::Dnf), ("/usr/bin/yum", Manager::Yum), ("/usr/bin/apt-get", Manager::Apt)]
        {
            if host.stat(path.as_ref(), true)?.is_some() {
                return Ok(manager);
            }
        }
        Err(Failure::new("Could not detect which package manager to use: the host has neither apt-get, dnf nor yum"))
    }

    fn program(self) -> &'static str {
        match self {
            Manager::Apt => "apt-get",
            Manager::Dnf => "dnf",
            Manager::Yum => "yum",
        }
    }

    /// The manager's command line with what a task without a terminal needs.
    fn command(self, args: &Args, words: &[&str]) -> Command {
        let mut argv = vec![self.program().to_owned(), "-y".into()];
        if self == Manager::Apt {
            argv.extend(
                ["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"].map(String::from),
            );
            if args.allow_unauthenticated {
                argv.push("--allow-unauthenticated".into());
            }
            match args.install_recommends {
                Some(true) => argv.extend(["-o", "APT::Install-Recommends=yes"].map(String::from)),
                Some(false) => argv.extend(["-o", "APT::Install-Recommends=no"].map(String::from)),
                None => {}
            }
        } else {
            argv.extend((args.disable_gpg_check || args.allow_unauthenticated).then(|| "--nogpgcheck".to_owned()));
            argv.extend(args.enablerepo.iter().map(|r| format!("--enablerepo={r}")));
            argv.extend(args.disablerepo.iter().map(|r| format!("--disablerepo={r}")));
        }
        argv.extend(words.iter().map(|w| (*w).to_owned()));
        Command::new(argv).env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C.UTF-8")
    }

    /// Whether a package (with its version, if one is named) is installed.
    fn installed(self, host: &mut dyn Act, package: &str) -> Result<bool, HostError> {
        if self == Manager::Apt {
            let (name, version) = package.split_once('=').map_or((package, None), |(n, v)| (n, Some(v)));
            let query = Command::new(["dpkg-query", "-W", "-f", "${db:Status-Abbrev}|${Version}\n", "--", name]);
            let output = host.query(&query)?;
            let wanted = |v: &str| version.is_none_or(|w| super::paths::matches(w, v));
            return Ok(output.success()
                && output
                    .text()
                    .lines()
                    .filter_map(|l| l.split_once('|'))
                    .any(|(s, v)| s.starts_with("ii") && wanted(v)));
        }
        let output = host.query(&Command::new(["rpm", "-q", "--whatprovides", "--", package]))?;
        Ok(output.success())
    }

    /// Whether a newer version can be had.
    fn outdated(self, args: &Args, host: &mut dyn Act, package: &str) -> Result<bool, HostError> {
        if self == Manager::Apt {
            let output = host.query(&self.command(args, &["-s", "install", "--", package]))?;
            return Ok(output.text().lines().any(|l| l.starts_with("Inst ")));
        }
        // 100 says that there are updates.
        Ok(host.query(&self.command(args, &["check-update", "-q", package]))?.rc == 100)
    }
}

fn failed(command: &Command, output: &Output) -> Failure {
    let msg = match output.error_text().trim() {
        "" => output.text().trim().to_owned(),
        said => said.to_owned(),
    };
    let msg = format!("'{}' failed: {msg}", command.argv.join(" "));
    Failure::Failed(Box::new(output_values(Outcome::failed(msg), output.rc, output.text(), output.error_text())))
}

fn run(args: &Args, manager: Manager, host: &mut dyn Act) -> Result<Outcome, Failure> {
    let supposed = [Effect::Suppose("packages/changed".into(), true.into())];
    let absent = matches!(args.state, State::Absent | State::Removed);
    let mut outcome = Outcome::ok();
    if args.update_cache && !fresh(args, manager, host)? {
        let words: &[&str] = if manager == Manager::Apt { &["update"] } else { &["makecache"] };
        let command = manager.command(args, words);
        let output = host.run_expecting(&command, &[])?;
        if !output.success() {
            return Err(failed(&command, &output));
        }
        outcome = outcome.with("cache_updated", true);
        // Reading lists anew is a change only where nothing else was asked for.
        outcome.changed = args.name.is_empty();
    }
    let mut names = Vec::new();
    for name in &args.name {
        let name = name.trim();
        if name.starts_with('-') || name.is_empty() {
            return Err(Failure::new(format!("`{name}` is no name of a package")));
        }
        let installed = manager.installed(host, name)?;
        let needed = match (absent, args.state) {
            (true, _) => installed,
            (false, State::Latest) => !installed || manager.outdated(args, host, name)?,
            (false, _) => !installed,
        };
        names.extend(needed.then_some(name));
    }
    let verb = match (manager, absent) {
        (Manager::Apt, true) if args.purge => "purge",
        (_, true) => "remove",
        (_, false) => "install",
    };
    let mut calls = Vec::new();
    if !names.is_empty() {
        let mut words = vec![verb];
        words.push("--");
        words.extend(&names);
        // dnf takes no `--`.
        if manager != Manager::Apt {
            words.remove(1);
        }
        calls.push(manager.command(args, &words));
    }
    if args.autoremove {
        calls.push(manager.command(args, &["autoremove"]));
    }
    for command in calls {
        let output = host.run_expecting(&command, &supposed)?;
        if !output.success() {
            return Err(failed(&command, &output));
        }
        let text = output.text();
        let idle = text.contains("0 upgraded, 0 newly installed, 0 to remove") || text.contains("Nothing to do");
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
