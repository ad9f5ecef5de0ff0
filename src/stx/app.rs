//! Applications as the platform lists them, and the packages of newer versions that lie on the host. `stx_apps` tells,
//! `stx_app_update` brings one to a version.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::action::host::{Act, Effect, HostError, Look};
use crate::action::module::{Failure, Module, Recovery};
use crate::action::wait::{Sight, Wait, WaitError};
use crate::dict;
use crate::model::outcome::Outcome;
use crate::model::value::Value;

use super::advice::Advice;
use super::platform::{self, No, unreadable};
use super::tables::{List, Unreadable};

/// Where a release keeps the packages of its applications.
const PACKAGES: &str = "/usr/local/share/applications/helm";

#[derive(Clone, Debug, PartialEq)]
struct App {
    name: String,
    version: String,
    status: String,
    progress: String,
}

fn apps(host: &mut dyn Look) -> Result<Vec<App>, No> {
    let words = ["application-list", "--nowrap"];
    let list = List::parse(&platform::ask(host, &words)?).map_err(unreadable(&words))?;
    let mut apps = Vec::new();
    for row in list.rows() {
        let read = || -> Result<App, Unreadable> {
            Ok(App {
                name: row.need("application")?,
                version: row.need("version")?,
                status: row.need("status")?,
                progress: row.get("progress").unwrap_or_default(),
            })
        };
        let mut app = read().map_err(unreadable(&words))?;
        if let Some(supposed) = host.supposed(&format!("stx/app/{}", app.name)) {
            app.version = supposed.to_string();
            app.status = "applied".into();
        }
        apps.push(app);
    }
    Ok(apps)
}

/// A version as numbers: `1.0-44` before `1.0-50`, `22.12-9` before `22.12-10`.
fn number(version: &str) -> Vec<u64> {
    version.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0)).collect()
}

crate::arguments! {
    pub struct ListArgs {
        /// Where packages of newer versions lie on the host: `<application>-<version>.tgz`.
        packages_dir []: PathBuf = PACKAGES,
        /// Only these applications; by default all.
        only []: Vec<String> = Vec::new(),
    }
}

pub struct Apps;

impl Module for Apps {
    const NAMES: &'static [&'static str] = &["stx_apps"];
    const DOC: &'static str =
        "Tells which applications are installed, and for which of them the host has a newer version.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("apps", "name, version and status of each"),
        ("updates", "name, from, version and package of each that is applied and has a newer version"),
        ("passed_over", "those with a newer version that are not applied, and so cannot be updated"),
    ];
    const EXAMPLE: &'static str = "- name: what can be updated\n  stx_apps:\n  register: apps";
    const ONLY_LOOKS: bool = true;
    type Args = ListArgs;

    fn run(args: ListArgs, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let host = host.as_look();
        let apps = platform::patiently(host, apps)?;
        if let Some(unknown) = args.only.iter().find(|name| !apps.iter().any(|a| a.name == **name)) {
            let names: Vec<&str> = apps.iter().map(|a| a.name.as_str()).collect();
            return Err(Failure::new(format!(
                "there is no application {unknown} here; there are {}",
                names.join(", ")
            )));
        }
        let files = match host.list(&args.packages_dir) {
            Ok(files) => files,
            Err(HostError::NotFound(_)) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let (mut updates, mut passed) = (Vec::new(), Vec::new());
        for app in apps.iter().filter(|a| args.only.is_empty() || args.only.contains(&a.name)) {
            let Some((version, file)) = newest(app, &files) else { continue };
            let package = args.packages_dir.join(file).display().to_string();
            if app.status != "applied" && app.status != "updating" && app.status != "recovering" {
                passed.push(format!("{} is {}", app.name, app.status));
                continue;
            }
            updates.push(Value::dict(dict! {
                "name" => app.name.as_str(), "from" => app.version.as_str(), "version" => version, "package" => package,
            }));
        }
        let msg = if updates.is_empty() {
            format!("no newer versions in {}", args.packages_dir.display())
        } else {
            format!("{} of {} have a newer version", updates.len(), apps.len())
        };
        Ok(Outcome::ok()
            .msg(msg)
            .with(
                "apps",
                apps.iter()
                    .map(|a| {
                        Value::dict(dict! {
                            "name" => a.name.as_str(), "version" => a.version.as_str(), "status" => a.status.as_str(),
                        })
                    })
                    .collect::<Value>(),
            )
            .with("updates", updates.into_iter().collect::<Value>())
            .with("passed_over", passed.iter().map(String::as_str).collect::<Value>()))
    }
}

/// The newest version among the packages, if it is newer than what runs.
fn newest<'f>(app: &App, files: &'f [String]) -> Option<(&'f str, &'f str)> {
    let packages = files.iter().filter_map(|file| {
        let version = file.strip_suffix(".tgz")?.strip_prefix(app.name.as_str())?.strip_prefix('-')?;
        // `cert-manager-webhook-1.0.tgz` is another application's.
        version.starts_with(|c: char| c.is_ascii_digit()).then_some((version, file.as_str()))
    });
    packages.filter(|(v, _)| number(v) > number(&app.version)).max_by_key(|(v, _)| number(v))
}

crate::arguments! {
    pub struct UpdateArgs {
        /// The application.
        name []: String,
        /// The version to bring it to.
        version []: String,
        /// Its package on the host.
        package []: PathBuf,
        /// Keep what the site changed (`helm-override-update`): without it the platform forgets that.
        keep_overrides []: bool = true,
        /// Seconds that the update may take.
        timeout []: u64 = 3600u64,
    }
}

pub struct AppUpdate;

impl Module for AppUpdate {
    const NAMES: &'static [&'static str] = &["stx_app_update"];
    const DOC: &'static str = "Updates an application and waits until it is applied in the new version.\n\
        An update that fails is taken back by the platform: that the old version runs again is said as a failure, since it is not what \
        was asked for. The site's own values are kept. Refused while a platform upgrade runs.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("version", "that is applied now"), ("status", "the platform's word")];
    const EXAMPLE: &'static str = "- name: update cert-manager\n  stx_app_update:\n    name: cert-manager\n    version: 1.0-40\n    \
         package: /usr/local/share/applications/helm/cert-manager-1.0-40.tgz";
    type Args = UpdateArgs;

    fn recovery(_: &UpdateArgs) -> Recovery {
        Recovery::Observe
    }

    fn run(args: UpdateArgs, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let now = platform::patiently(host.as_look(), |h| app(h, &args.name))?;
        let mut changed = false;
        match now.status.as_str() {
            "applied" if now.version == args.version => return Ok(outcome(&now, false)),
            "updating" | "recovering" => {}
            "applied" => {
                act(&args, host)?;
                changed = true;
            }
            status => {
                return Err(Advice::failed(format!("{} is {status}, and must be applied to be updated", args.name))
                    .state(now.progress.clone())
                    .safe("yes: nothing was changed")
                    .next(format!(
                        "`system application-show {}`; apply it or remove it, then `stx-upgrade resume`",
                        args.name
                    ))
                    .into());
            }
        }
        let now = wait(&args, &now, host.as_look())?;
        Ok(outcome(&now, changed))
    }
}

fn app(host: &mut dyn Look, name: &str) -> Result<App, No> {
    let found = apps(host)?.into_iter().find(|a| a.name == name);
    found.ok_or_else(|| No::Refused(format!("application not found: {name}")))
}

fn act(args: &UpdateArgs, host: &mut dyn Act) -> Result<(), Failure> {
    if let Some(upgrade) = platform::patiently(host.as_look(), platform::upgrade)? {
        return Err(Advice::failed("an application is not updated while a platform upgrade runs")
            .state(format!("upgrade {} -> {}: {}", upgrade.from, upgrade.to, upgrade.state))
            .safe("yes: nothing was changed")
            .next("finish the upgrade (`stx-upgrade play upgrade.yml`), then run again")
            .into());
    }
    let package = args.package.display().to_string();
    if host.stat(Path::new(&package), true)?.is_none() {
        return Err(Failure::new(format!("the package {package} does not exist on the host")));
    }
    let mut words = vec!["application-update"];
    if args.keep_overrides {
        words.extend(["--reuse-user-overrides", "true"]);
    }
    words.push(&package);
    let effect = Effect::Suppose(format!("stx/app/{}", args.name), args.version.as_str().into());
    match platform::tell(host, &words, None, &[effect]) {
        // Whether it came through is seen in what follows.
        Ok(_) | Err(No::Away(_)) => Ok(()),
        Err(No::Refused(why)) => {
            let next = if why.contains("requires Kubernetes") || why.contains("k8s") {
                "upgrade Kubernetes first: `stx-upgrade play kube-upgrade.yml`"
            } else {
                "put that right, then `stx-upgrade resume`"
            };
            Err(Advice::failed(why).safe("yes: the old version runs").next(next).into())
        }
        Err(other) => Err(other.into()),
    }
}

/// Looks at an accepted update that changed nothing, until it counts as lost.
const IDLE: u32 = 10;

fn wait(args: &UpdateArgs, before: &App, host: &mut dyn Look) -> Result<App, Failure> {
    let mut idle = 0;
    let wait = Wait::new(format!("{} {} applied", args.name, args.version), Duration::from_secs(args.timeout));
    let seen = wait.usual(Duration::from_secs(300)).until(host, |host| {
        platform::sight(app(host, &args.name), |now| {
            let said = format!("{} {}: {}", now.status, now.version, now.progress);
            match now.status.as_str() {
                "applied" if now.version == args.version => Sight::Done(now),
                "applied" if now.progress != before.progress || before.status != "applied" => Sight::Never(format!(
                    "the update failed, and the platform went back to {}: {}",
                    now.version, now.progress
                )),
                "applied" if idle < IDLE => {
                    idle += 1;
                    Sight::NotYet(said)
                }
                "applied" => Sight::Never("the platform took the command, and nothing came of it".into()),
                status if status.ends_with("-failed") => Sight::Never(said),
                _ => Sight::NotYet(said),
            }
        })
    });
    match seen {
        Ok(now) => Ok(now),
        Err(error @ WaitError::Host(_)) => Err(Advice::after(error, |a| a)),
        Err(error) => {
            let now = app(host, &args.name).ok();
            let recovered = now.as_ref().is_some_and(|a| a.status == "applied");
            Err(Advice::after(error, |a| {
                let a = a.cause("/var/log/sysinv.log and the pods of the application say why");
                let a = a.state(now.map(|a| format!("{} {} is {}", a.name, a.version, a.status)).unwrap_or_default());
                if recovered {
                    a.safe("yes: the old version runs again")
                        .next("put the cause right, then `stx-upgrade resume`: it updates again")
                } else {
                    a.safe(format!("no: look at the application now (`system application-show {}`)", args.name)).next(format!(
                        "`system application-abort {0}` takes an update back that lasts; `system application-apply {0}` one that \
                         failed; then `stx-upgrade resume`",
                        args.name
                    ))
                }
            }))
        }
    }
}

fn outcome(now: &App, changed: bool) -> Outcome {
    Outcome::changed(changed)
        .msg(format!("{} {} is {}", now.name, now.version, now.status))
        .with("version", now.version.as_str())
        .with("status", now.status.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_package_of_an_application() {
        let app = App {
            name: "cert-manager".into(),
            version: "1.0-9".into(),
            status: String::new(),
            progress: String::new(),
        };
        let files =
            ["cert-manager-1.0-10.tgz", "cert-manager-1.0-8.tgz", "cert-manager-webhook-2.0.tgz", "other-9.tgz"];
        let files: Vec<String> = files.iter().map(|f| (*f).to_owned()).collect();
        assert_eq!(newest(&app, &files), Some(("1.0-10", "cert-manager-1.0-10.tgz")));
        assert_eq!(newest(&App { version: "1.0-10".into(), ..app }, &files), None);
    }
}
