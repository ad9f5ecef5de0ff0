//! `package`, `apt`, `dnf`, `dnf5` and `yum`: packages by the host's own manager. A check run takes the manager's own word for
//! what is installed; after packages would have changed, the fact `packages/changed` is supposed.

use std::time::Duration;

use super::command::output_values;
use super::web_args::WebArgs;
use crate::action::args::Arguments;
use crate::action::command::{Command, Output};
use crate::action::host::{Act, Effect, HostError};
use crate::action::module::{Failure, Module};
use crate::http;
use crate::model::outcome::Outcome;
use crate::model::value::Dict;
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
        /// `apt-get` is used in any case; for `apt`.
        force_apt_get []: bool = false,
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
            let options = args.dpkg_options.split(',').map(str::trim).filter(|o| !o.is_empty());
            argv.extend(options.flat_map(|o| ["-o".to_owned(), format!("Dpkg::Options::=--{o}")]));
            argv.extend(["-o".to_owned(), format!("DPkg::Lock::Timeout={}", args.lock_timeout)]);
            argv.extend(args.default_release.iter().flat_map(|r| ["-t".to_owned(), r.clone()]));
            let flags = [
                (args.allow_unauthenticated, "--allow-unauthenticated"),
                (args.only_upgrade, "--only-upgrade"),
                (args.allow_downgrade, "--allow-downgrades"),
                (args.allow_change_held_packages, "--allow-change-held-packages"),
                (args.fail_on_autoremove, "--no-remove"),
                (args.force, "--force-yes"),
            ];
            argv.extend(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| (*flag).to_owned()));
            match args.install_recommends {
                Some(true) => argv.extend(["-o", "APT::Install-Recommends=yes"].map(String::from)),
                Some(false) => argv.extend(["-o", "APT::Install-Recommends=no"].map(String::from)),
                None => {}
            }
        } else {
            argv.extend((args.disable_gpg_check || args.allow_unauthenticated).then(|| "--nogpgcheck".to_owned()));
            argv.extend(args.enablerepo.iter().map(|r| format!("--enablerepo={r}")));
            argv.extend(args.disablerepo.iter().map(|r| format!("--disablerepo={r}")));
            argv.extend(args.exclude.iter().map(|p| format!("--exclude={p}")));
            let values = [
                ("releasever", &args.releasever),
                ("installroot", &args.installroot),
                ("config", &args.conf_file),
                ("disableexcludes", &args.disable_excludes),
                ("downloaddir", &args.download_dir),
            ];
            argv.extend(values.iter().filter_map(|(name, value)| Some(format!("--{name}={}", value.as_deref()?))));
            argv.extend(args.enable_plugin.iter().map(|p| format!("--enableplugin={p}")));
            argv.extend(args.disable_plugin.iter().map(|p| format!("--disableplugin={p}")));
            let flags = [
                (args.security, "--security"),
                (args.bugfix, "--bugfix"),
                (args.skip_broken, "--skip-broken"),
                (args.allowerasing, "--allowerasing"),
                (args.nobest, "--nobest"),
                (!args.install_weak_deps, "--setopt=install_weak_deps=False"),
                (args.download_only, "--downloadonly"),
                (args.cacheonly, "--cacheonly"),
                (!args.sslverify, "--setopt=sslverify=False"),
            ];
            argv.extend(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| (*flag).to_owned()));
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

/// An argument that is another manager's.
fn foreign(args: &Args, manager: Manager) -> Option<&'static str> {
    let apt = [
        (args.deb.is_some(), "deb"),
        (args.upgrade != Upgrade::No, "upgrade"),
        (args.default_release.is_some(), "default_release"),
        (args.only_upgrade, "only_upgrade"),
        (args.dpkg_options != "force-confdef,force-confold", "dpkg_options"),
        (args.allow_change_held_packages, "allow_change_held_packages"),
        (args.fail_on_autoremove, "fail_on_autoremove"),
        (args.autoclean, "autoclean"),
        (args.clean, "clean"),
        (args.force, "force"),
        (args.force_apt_get, "force_apt_get"),
        (args.allow_downgrade, "allow_downgrade"),
        (args.cache_valid_time != 0, "cache_valid_time"),
        (args.update_cache_retries != 5, "update_cache_retries"),
        (args.update_cache_retry_max_delay != 12, "update_cache_retry_max_delay"),
        (args.lock_timeout != 60, "lock_timeout"),
        (args.purge, "purge"),
        (args.install_recommends.is_some(), "install_recommends"),
    ];
    let dnf = [
        (!args.exclude.is_empty(), "exclude"),
        (args.security, "security"),
        (args.bugfix, "bugfix"),
        (args.skip_broken, "skip_broken"),
        (args.allowerasing, "allowerasing"),
        (args.nobest, "nobest"),
        (!args.install_weak_deps, "install_weak_deps"),
        (args.releasever.is_some(), "releasever"),
        (args.update_only, "update_only"),
        (args.installroot.is_some(), "installroot"),
        (args.conf_file.is_some(), "conf_file"),
        (!args.enable_plugin.is_empty(), "enable_plugin"),
        (!args.disable_plugin.is_empty(), "disable_plugin"),
        (args.disable_excludes.is_some(), "disable_excludes"),
        (args.download_only, "download_only"),
        (args.download_dir.is_some(), "download_dir"),
        (args.cacheonly, "cacheonly"),
        (!args.sslverify, "sslverify"),
        (!args.enablerepo.is_empty(), "enablerepo"),
        (!args.disablerepo.is_empty(), "disablerepo"),
        (args.disable_gpg_check, "disable_gpg_check"),
    ];
    let others: &[(bool, &'static str)] = if manager == Manager::Apt { &dnf } else { &apt };
    others.iter().find(|(set, _)| *set).map(|(_, name)| *name)
}

/// Whether `apt-get` would do anything.
fn simulated(args: &Args, words: &[&str], host: &mut dyn Act) -> Result<bool, Failure> {
    let command = Manager::Apt.command(args, &[&["-s"], words].concat());
    let output = host.query(&command)?;
    match output.success() {
        true => Ok(output.text().lines().any(|l| l.starts_with("Inst ") || l.starts_with("Remv "))),
        false => Err(failed(&command, &output)),
    }
}

/// The file of a package to install: `None` where that very version is installed.
fn file_to_install(args: &Args, host: &mut dyn Act) -> Result<Option<String>, Failure> {
    let Some(deb) = &args.deb else { return Ok(None) };
    let mut path = deb.clone();
    if deb.contains("://") {
        let web = WebArgs::from_dict(&Dict::new()).map_err(|_| Failure::new("deb"))?;
        let request = web.request(deb, 30, host)?;
        let mut answer = match http::send(&request) {
            Ok(answer) if answer.status == 200 => answer,
            Ok(answer) => return Err(Failure::new(format!("{deb}: HTTP {}: {}", answer.status, answer.reason))),
            Err(e) => return Err(Failure::new(format!("{deb}: {e}"))),
        };
        // The agent's own folder, where a check run may write too.
        let file = host.scratch()?.join(format!("{}.deb", super::file_content::random_name(8)));
        let failed = |e: std::io::Error| Failure::new(format!("fetching {deb}: {e}"));
        std::io::copy(&mut answer.body, &mut std::fs::File::create_new(&file).map_err(failed)?).map_err(failed)?;
        path = file.display().to_string();
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
    for command in calls {
        let output = host.run_expecting(&command, &supposed)?;
        if !output.success() {
            return Err(failed(&command, &output));
        }
        let text = output.text();
        let word = command.argv.last().map(String::as_str);
        let idle = match word {
            Some("autoclean") => !text.lines().any(|l| l.starts_with("Del ")),
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
