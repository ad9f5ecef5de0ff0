//! `package_facts`: the packages that are installed, by the host's own package managers.

use crate::action::command::Command;
use crate::action::host::{Act, HostError};
use crate::action::module::{Failure, Module};
use crate::dict;
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Key, Value};
use crate::{arguments, choices};

choices! {
    /// Which package managers are asked.
    pub enum Manager {
        Auto = "auto",
        Apt = "apt",
        Rpm = "rpm",
        Dnf = "dnf",
        Dnf5 = "dnf5",
        Yum = "yum",
        Zypper = "zypper",
        Apk = "apk",
        OpenBsd = "openbsd_pkg",
        Pacman = "pacman",
        Pkg = "pkg",
        Pkg5 = "pkg5",
        PkgInfo = "pkg_info",
        Pkgng = "pkgng",
        Portage = "portage",
    }
}

choices! { pub enum Strategy { First = "first", All = "all" } }

arguments! {
    pub struct Args {
        /// Package managers to ask, in this order; `auto` finds what is there. Those of dpkg and rpm are known; others are
        /// taken as not being there.
        manager []: Vec<Manager> = vec![Manager::Auto],
        /// Take the first that is there, or all.
        strategy []: Strategy = Strategy::First,
    }
}

/// The module `package_facts`.
pub struct PackageFacts;

impl Module for PackageFacts {
    const NAMES: &'static [&'static str] =
        &["package_facts", "ansible.builtin.package_facts", "ansible.legacy.package_facts"];
    const DOC: &'static str = "Lists the packages that are installed as facts, by dpkg or rpm. Changes nothing.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[(
        "ansible_facts",
        "`packages`: lists by the package's name, of `name`, `version`, `arch`, `source` and more",
    )];
    const EXAMPLE: &'static str = "- package_facts:\n- debug:\n    var: ansible_facts.packages['openssl'][0].version\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let mut packages: Option<Dict> = None;
        let mut warnings = Vec::new();
        for wanted in &args.manager {
            let list = match wanted {
                Manager::Auto => {
                    let rpm = rpm(host)?;
                    match rpm {
                        Some(list) => Some(list),
                        None => apt(host)?,
                    }
                }
                Manager::Apt => apt(host)?,
                Manager::Rpm | Manager::Dnf | Manager::Dnf5 | Manager::Yum | Manager::Zypper => rpm(host)?,
                Manager::Apk
                | Manager::OpenBsd
                | Manager::Pacman
                | Manager::Pkg
                | Manager::Pkg5
                | Manager::PkgInfo
                | Manager::Pkgng
                | Manager::Portage => None,
            };
            match list {
                Some(list) => {
                    for (name, versions) in list {
                        packages.get_or_insert_default().insert(name, versions);
                    }
                    if args.strategy == Strategy::First {
                        break;
                    }
                }
                None if *wanted != Manager::Auto => {
                    warnings.push(format!("Could not find the package manager `{}` on the host", wanted.word()));
                }
                None => {}
            }
        }
        let Some(packages) = packages else {
            return Err(Failure::new(
                "Could not detect a supported package manager from the following list: ['apt', 'rpm'], or its query failed",
            ));
        };
        Ok(Outcome { facts: dict! {"packages" => packages}, warnings, ..Outcome::ok() })
    }
}

/// Rows of a query, their fields parted by a byte that no field holds; none if the host has no such program, or no package.
fn rows(host: &mut dyn Act, argv: &[&str]) -> Result<Option<Vec<Vec<String>>>, HostError> {
    let output = match host.query(&Command::new(argv.iter().copied()).env("LC_ALL", "C")) {
        Err(HostError::NoProgram(_)) => return Ok(None),
        other => other?,
    };
    let text = output.text();
    let rows: Vec<Vec<String>> = text
        .lines()
        .map(|l| l.split('\x1f').map(str::to_owned).collect())
        .filter(|r: &Vec<String>| r.len() > 1)
        .collect();
    Ok((output.success() && !rows.is_empty()).then_some(rows))
}

fn add(packages: &mut Dict, name: &str, entry: Dict) {
    let mut versions = match packages.get(name) {
        Some(Value::List(list)) => list.to_vec(),
        _ => Vec::new(),
    };
    versions.push(Value::dict(entry));
    packages.insert(Key::from(name), Value::list(versions));
}

fn apt(host: &mut dyn Act) -> Result<Option<Dict>, HostError> {
    let format = "${Package}\x1f${Version}\x1f${Architecture}\x1f${Section}\x1f${Origin}\x1f${db:Status-Abbrev}\n";
    let Some(rows) = rows(host, &["dpkg-query", "-W", "-f", format])? else { return Ok(None) };
    let mut packages = Dict::new();
    for row in &rows {
        let [name, version, arch, section, origin, status] = row.as_slice() else { continue };
        if status.starts_with("ii") || status.starts_with("hi") {
            let entry = dict! {
                "name" => name.as_str(), "version" => version.as_str(), "arch" => arch.as_str(),
                "category" => section.as_str(), "origin" => origin.as_str(), "source" => "apt",
            };
            add(&mut packages, name, entry);
        }
    }
    Ok(Some(packages))
}

fn rpm(host: &mut dyn Act) -> Result<Option<Dict>, HostError> {
    let format = "%{NAME}\x1f%{VERSION}\x1f%{RELEASE}\x1f%{EPOCH}\x1f%{ARCH}\n";
    let Some(rows) = rows(host, &["rpm", "-qa", "--qf", format])? else { return Ok(None) };
    let known = |field: &str| Some(field).filter(|f| *f != "(none)").map(str::to_owned);
    let mut packages = Dict::new();
    for row in &rows {
        let [name, version, release, epoch, arch] = row.as_slice() else { continue };
        let entry = dict! {
            "name" => name.as_str(), "version" => version.as_str(), "release" => release.as_str(),
            "epoch" => known(epoch).and_then(|e| e.parse::<i64>().ok()), "arch" => known(arch), "source" => "rpm",
        };
        add(&mut packages, name, entry);
    }
    Ok(Some(packages))
}
