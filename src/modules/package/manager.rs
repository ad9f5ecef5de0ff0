//! The managers of packages: their command lines, what they know of a package, and which arguments are theirs.

use super::{Args, State, Upgrade};
use crate::action::command::Command;
use crate::action::host::{Act, HostError};
use crate::action::module::Failure;
use crate::modules::paths;

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Manager {
    Apt,
    Dnf,
    Yum,
}

impl Manager {
    pub(super) fn of(word: &str, host: &mut dyn Act) -> Result<Manager, Failure> {
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

    pub(super) fn program(self) -> &'static str {
        match self {
            Manager::Apt => "apt-get",
            Manager::Dnf => "dnf",
            Manager::Yum => "yum",
        }
    }

    /// The manager's command line with what a task without a terminal needs.
    pub(super) fn command(self, args: &Args, words: &[&str]) -> Command {
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
                (args.state == State::Fixed, "--fix-broken"),
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
    pub(super) fn installed(self, host: &mut dyn Act, package: &str) -> Result<bool, HostError> {
        if self == Manager::Apt {
            let (name, version) = package.split_once('=').map_or((package, None), |(n, v)| (n, Some(v)));
            let query = Command::new(["dpkg-query", "-W", "-f", "${db:Status-Abbrev}|${Version}\n", "--", name]);
            let output = host.query(&query)?;
            let wanted = |v: &str| version.is_none_or(|w| paths::matches(w, v));
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
    pub(super) fn outdated(self, args: &Args, host: &mut dyn Act, package: &str) -> Result<bool, HostError> {
        if self == Manager::Apt {
            let output = host.query(&self.command(args, &["-s", "install", "--", package]))?;
            return Ok(output.text().lines().any(|l| l.starts_with("Inst ")));
        }
        // 100 says that there are updates.
        Ok(host.query(&self.command(args, &["check-update", "-q", package]))?.rc == 100)
    }
}

/// An argument that is another manager's.
pub(super) fn foreign(args: &Args, manager: Manager) -> Option<&'static str> {
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
        (args.policy_rc_d.is_some(), "policy_rc_d"),
        (args.state == State::BuildDep, "state: build-dep"),
        (args.state == State::Fixed, "state: fixed"),
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
