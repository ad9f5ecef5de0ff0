//! `apt_repository`: lines of apt's lists of sources.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file_args::Mode;
use super::file_content::{read_existing, text_diff};
use super::paths;
use crate::action::command::Command;
use crate::action::host::{Act, FileKind, HostError};
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::model::value::Value;
use crate::{arguments, choices};

choices! { pub enum State { Present = "present", Absent = "absent" } }

arguments! {
    pub struct Args {
        /// The line: `deb [signed-by=/path] https://server/debian bookworm main`. A `ppa:` is not supported: its line is.
        repo []: String = "",
        /// Whether it shall be there.
        state []: State = State::Present,
        /// Permissions of the file, `0644` if it is new.
        mode []: Option<Mode>,
        /// Have apt read its sources again after a change.
        update_cache ["update-cache"]: bool = true,
        /// How often to try that again.
        update_cache_retries []: u64 = 5u64,
        /// Most seconds between two tries.
        update_cache_retry_max_delay []: u64 = 12u64,
        /// Name of the file in `/etc/apt/sources.list.d`, without `.list`; by the line if not given.
        filename []: Option<String>,
        /// Without effect: no Python is needed.
        install_python_apt []: bool = true,
    }
}

/// The module `apt_repository`.
pub struct AptRepository;

const DIR: &str = "/etc/apt/sources.list.d";

impl Module for AptRepository {
    const NAMES: &'static [&'static str] =
        &["apt_repository", "ansible.builtin.apt_repository", "ansible.legacy.apt_repository"];
    const DOC: &'static str = "Adds lines to apt's lists of sources, and takes them out.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("repo", "The line"),
        ("state", "Whether it is there"),
        ("sources_added", "Files that are new"),
        ("sources_removed", "Files that are gone"),
    ];
    const EXAMPLE: &'static str = "- apt_repository:\n    repo: deb [signed-by=/usr/share/keyrings/example.asc] https://example.com/debian bookworm main\n    filename: example\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let repo = args.repo.trim();
        if repo.is_empty() {
            return Err(Failure::new("Please set argument 'repo' to a non-empty value"));
        }
        if repo.starts_with("ppa:") {
            return Err(Failure::new(format!(
                "`{repo}`: a PPA is not looked up; give its line, `deb https://ppa.launchpadcontent.net/OWNER/NAME/ubuntu RELEASE main`, and its key"
            )));
        }
        let Some(wanted) = Source::parse(repo) else {
            return Err(Failure::new(format!("Invalid repository string: {repo}")));
        };
        let files = lists(host)?;
        let before: Vec<(PathBuf, Option<String>)> = files;
        let mut after = before.clone();
        let is = |line: &str| Source::parse(line.trim_start_matches(['#', ' '])).is_some_and(|s| s == wanted);
        match args.state {
            State::Present => add(&args, repo, &mut after, &is),
            State::Absent => {
                for (_, text) in &mut after {
                    let Some(old) =
                        text.as_deref().filter(|t| t.lines().any(|l| is(l) && !l.trim_start().starts_with('#')))
                    else {
                        continue;
                    };
                    let left: String = old.lines().filter(|l| !is(l)).map(|l| format!("{l}\n")).collect();
                    *text = Some(left).filter(|t| !t.trim().is_empty());
                }
            }
        }
        let changes: Vec<(&PathBuf, Option<&String>, Option<&String>)> = after
            .iter()
            .map(|(path, text)| {
                (path, before.iter().find(|(p, _)| p == path).and_then(|(_, t)| t.as_ref()), text.as_ref())
            })
            .filter(|(_, old, new)| old != new)
            .collect();
        let names = |gone: bool| {
            let hit = changes.iter().filter(|(_, old, new)| if gone { new.is_none() } else { old.is_none() });
            hit.map(|(path, ..)| path.display().to_string()).collect::<Value>()
        };
        let mut outcome = Outcome::changed(!changes.is_empty())
            .with("repo", args.repo.as_str())
            .with("state", args.state.word())
            .with("sources_added", names(false))
            .with("sources_removed", names(true));
        for (path, old, new) in &changes {
            let name = |there: bool| if there { path.display().to_string() } else { "/dev/null".into() };
            let text = |t: &Option<&String>| t.map(|t| t.as_bytes().to_vec()).unwrap_or_default();
            outcome = outcome.diff(text_diff(&name(old.is_some()), &name(new.is_some()), &text(old), &text(new)));
        }
        for (path, old, new) in &changes {
            put(&args, host, path, old.is_none(), *new)?;
        }
        if outcome.changed
            && args.update_cache
            && let Err(failure) = update(&args, host)
        {
            // A source that cannot be read must not be left behind.
            for (path, old, _) in &changes {
                put(&args, host, path, false, *old)?;
            }
            return Err(failure);
        }
        Ok(outcome)
    }
}

/// A line of a list: its kind, options, address, suite and components.
#[derive(PartialEq)]
struct Source(Vec<String>);

impl Source {
    fn parse(line: &str) -> Option<Source> {
        let line = line.split(" #").next().unwrap_or_default().trim();
        let (kind, rest) = line.split_once(char::is_whitespace)?;
        if !matches!(kind, "deb" | "deb-src") {
            return None;
        }
        let mut words = vec![kind.to_owned()];
        let mut rest = rest.trim();
        if let Some(options) = rest.strip_prefix('[') {
            let (options, after) = options.split_once(']')?;
            words.push(format!("[{}]", options.split_whitespace().collect::<Vec<_>>().join(" ")));
            rest = after.trim();
        }
        let own: Vec<&str> = rest.split_whitespace().collect();
        // An address, and a suite; components may be missing for an exact path alone.
        if own.len() < 2 || !own[0].contains(':') {
            return None;
        }
        words.extend(own.into_iter().map(str::to_owned));
        Some(Source(words))
    }
}

/// Every list with its text.
fn lists(host: &mut dyn Act) -> Result<Vec<(PathBuf, Option<String>)>, Failure> {
    let mut paths = vec![PathBuf::from("/etc/apt/sources.list")];
    if host.stat(DIR.as_ref(), true)?.is_some_and(|s| s.kind == FileKind::Directory) {
        paths.extend(
            host.list(DIR.as_ref())?.into_iter().filter(|n| n.ends_with(".list")).map(|n| Path::new(DIR).join(n)),
        );
    }
    let mut found = Vec::new();
    for path in paths {
        let text = read_existing(host.as_look(), &path)?.map(|b| String::from_utf8_lossy(&b).into_owned());
        found.push((path, text));
    }
    Ok(found)
}

fn add(args: &Args, repo: &str, lists: &mut Vec<(PathBuf, Option<String>)>, is: &dyn Fn(&str) -> bool) {
    let mut found = false;
    for (_, text) in lists.iter_mut() {
        let Some(old) = text else { continue };
        if !old.lines().any(is) {
            continue;
        }
        found = true;
        // One that is commented out is taken into use again.
        let live = |l: &str| if is(l) && l.trim_start().starts_with('#') { repo.to_owned() } else { l.to_owned() };
        *text = Some(old.lines().map(|l| format!("{}\n", live(l))).collect());
    }
    if found {
        return;
    }
    let file = Path::new(DIR).join(file_name(args, repo));
    match lists.iter_mut().find(|(path, _)| *path == file) {
        Some((_, Some(text))) => {
            let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            text.push_str(&format!("{end}{repo}\n"));
        }
        Some((_, text)) => *text = Some(format!("{repo}\n")),
        None => lists.push((file, Some(format!("{repo}\n")))),
    }
}

/// A file's name made of the address.
fn file_name(args: &Args, repo: &str) -> String {
    if let Some(name) = &args.filename {
        return format!("{}.list", name.trim_end_matches(".list"));
    }
    let mut plain = repo.to_owned();
    if let (Some(from), Some(to)) = (plain.find('['), plain.find(']')) {
        plain.replace_range(from..=to, "");
    }
    let address = plain.split_whitespace().find(|w| !matches!(*w, "deb" | "deb-src")).unwrap_or_default().to_owned();
    let address = address.split_once("://").map_or(address.as_str(), |(_, rest)| rest);
    let address = address.split_once('@').map_or(address, |(_, rest)| rest);
    let words: Vec<&str> = address.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    format!("{}.list", words.join("_"))
}

fn put(args: &Args, host: &mut dyn Act, path: &Path, fresh: bool, text: Option<&String>) -> Result<(), Failure> {
    let Some(text) = text else {
        if host.stat(path, false)?.is_some() {
            host.remove(path)?;
        }
        return Ok(());
    };
    if let Some(dir) = path.parent()
        && host.stat(dir, true)?.is_none()
    {
        host.make_dir(dir, Some(0o755))?;
    }
    let real = paths::real_path(host.as_look(), path)?;
    host.write(&real, &mut text.as_bytes(), fresh.then_some(0o644))?;
    if let Some(mode) = &args.mode {
        let now = host.stat(&real, true)?.map_or(0o644, |s| s.mode);
        host.set_mode(&real, mode.over(now, false))?;
    }
    Ok(())
}

fn update(args: &Args, host: &mut dyn Act) -> Result<(), Failure> {
    let mut pause = 1;
    let mut said = String::new();
    for attempt in 0..=args.update_cache_retries {
        if attempt > 0 {
            match host.sleep(Duration::from_secs(pause.min(args.update_cache_retry_max_delay))) {
                Ok(()) | Err(HostError::NotKnowable(_)) => {}
                Err(e) => return Err(e.into()),
            }
            pause *= 2;
        }
        let output = host.run_expecting(&Command::new(["apt-get", "update"]).env("LC_ALL", "C"), &[])?;
        // apt only warns of what it cannot read.
        let lost = output.error_text().lines().any(|l| l.starts_with("W: Failed to fetch") || l.starts_with("E:"));
        if output.success() && !lost {
            return Ok(());
        }
        said = output.error_text().trim().to_owned();
    }
    Err(Failure::new(format!("Failed to update apt cache: {said}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::args::Arguments;
    use crate::dict;

    #[test]
    fn names_of_files() {
        let name = |repo: &str| file_name(&Args::from_dict(&dict! {"repo" => repo}).unwrap(), repo);
        assert_eq!(
            name("deb http://apt.postgresql.org/pub/repos/apt/ x-pgdg main"),
            "apt_postgresql_org_pub_repos_apt.list"
        );
        assert_eq!(name("deb [arch=amd64 signed-by=/k] https://me:pw@dl.host.com/a stable main"), "dl_host_com_a.list");
    }

    #[test]
    fn lines_are_compared_by_their_words() {
        let same = |a: &str, b: &str| Source::parse(a) == Source::parse(b) && Source::parse(a).is_some();
        assert!(same("deb  [ a=b ] http://x y z # why", "deb [a=b] http://x y  z"));
        assert!(!same("deb http://x y z", "deb-src http://x y z"));
        assert!(Source::parse("rpm http://x y").is_none() && Source::parse("deb nowhere main").is_none());
    }
}
