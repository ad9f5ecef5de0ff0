//! Plays of one situation each, run by `ansible-playbook` once and by this program every time: the same banners, results, recap,
//! registered values and exit code. A play is a file or a folder of `tests/differential/plays`; what Ansible answered lies
//! beside it as `NAME.answer`; some plays are made by chance (`differential/random.rs`).
//!
//! `make differential` records the answers anew, with the ansible-core that `tools/oracle` installs. A play's first line may hold
//! more words for the command line: `# args: --tags x`.

#[path = "differential/random.rs"]
mod random;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// One play, and what stands beside it.
struct Play {
    name: String,
    /// The folder that it is copied from; none for a single file.
    folder: Option<PathBuf>,
    file: PathBuf,
    /// The files of one that is made by chance.
    made: Vec<(String, String)>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential")
}

fn plays() -> Vec<Play> {
    let mut plays: Vec<Play> = Vec::new();
    for entry in fs::read_dir(root().join("plays")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            plays.push(Play { name, file: path.join("site.yml"), folder: Some(path), made: Vec::new() });
        } else if path.extension().is_some_and(|e| e == "yml") {
            plays.push(Play { name, file: path, folder: None, made: Vec::new() });
        }
    }
    for (name, made) in random::plays() {
        plays.push(Play { name: name.to_owned(), folder: None, file: PathBuf::new(), made });
    }
    plays.sort_by(|a, b| a.name.cmp(&b.name));
    plays
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { fs::copy(&path, &target).map(|_| ()).unwrap() }
    }
}

/// Runs a play in a folder of its own, with three hosts that are all this machine.
fn run(program: &Path, play: &Play) -> String {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().join("play");
    match &play.folder {
        Some(folder) => copy(folder, &here),
        None if play.made.is_empty() => {
            fs::create_dir(&here).unwrap();
            fs::copy(&play.file, here.join("site.yml")).unwrap();
        }
        None => {
            for (name, text) in &play.made {
                let file = here.join(name);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, text).unwrap();
            }
        }
    }
    if !here.join("hosts").exists() {
        fs::copy(root().join("hosts"), here.join("hosts")).unwrap();
    }
    let text = fs::read_to_string(here.join("site.yml")).unwrap();
    let more = text.lines().next().and_then(|l| l.strip_prefix("# args: ")).unwrap_or_default().to_owned();
    let output = Command::new(program)
        .args(["site.yml", "-i", "hosts"])
        .args(more.split_whitespace())
        .current_dir(&here)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", dir.path())
        .env("LC_ALL", "C.UTF-8")
        .env("XDG_STATE_HOME", dir.path().join("state"))
        .env("XDG_CACHE_HOME", dir.path().join("cache"))
        .env("ANSIBLE_NOCOLOR", "1")
        .env("ANSIBLE_PYTHON_INTERPRETER", "/usr/bin/python3")
        .env("ANSIBLE_LOCALHOST_WARNING", "0")
        .env("ANSIBLE_DEPRECATION_WARNINGS", "0")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    told(&output, &here)
}

/// What both must tell alike: banners, the word of each result with its host and item, what `debug` shows, the recap, the exit
/// code. How a failure is worded is each one's own.
fn told(output: &Output, here: &Path) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout).replace(&here.display().to_string(), "HERE");
    let mut banners: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut lines = stdout.lines();
    while let Some(line) = lines.next() {
        let line = line.trim_end();
        if let Some(banner) = line.strip_suffix('*').map(|l| l.trim_end_matches('*').trim_end()) {
            // When that is said differs, and means nothing to those who read logs.
            if banner != "NO MORE HOSTS LEFT" {
                banners.push((banner.to_owned(), Vec::new()));
            }
            continue;
        }
        let Some((_, told)) = banners.last_mut() else { continue };
        // Hosts come in the order in which they are done: that of their names stands here.
        let host = line.split_once('[').and_then(|(_, rest)| rest.split_once([']', ' '])).map_or("", |(host, _)| host);
        let host = if line == "...ignoring" { told.last().map(|(h, _)| h.clone()) } else { Some(host.to_owned()) };
        let mut out = String::new();
        let word = line.split(':').next().unwrap_or_default();
        match word {
            "ok" | "changed" if line.ends_with("=> {") => {
                // The whole of what `debug` shows.
                out += &format!("{line}\n");
                for line in lines.by_ref() {
                    out += &format!("{line}\n");
                    if line == "}" {
                        break;
                    }
                }
            }
            "ok" | "changed" if line.ends_with(" =>") => {
                // The same as YAML.
                out += &format!("{line}\n");
                while let Some(line) = lines.clone().next().filter(|l| l.starts_with("    ")) {
                    lines.next();
                    out += &format!("{line}\n");
                }
            }
            "ok" | "changed" | "skipping" | "included" | "fatal" | "failed" | "unreachable" => {
                let end = line.find(" => {").unwrap_or(line.trim_end_matches(" =>").len());
                out += &format!("{}\n", &line[..end]);
            }
            "...ignoring" => out += "...ignoring\n",
            _ if line.starts_with("--- before") => {
                // A difference, to the blank line behind it. Ansible renders templates into a file of its own, and leaves
                // relative names as they are.
                let rest = lines.by_ref().take_while(|l| !l.is_empty());
                for line in std::iter::once(line).chain(rest) {
                    let short = line.replace("HERE/", "").replace(" ./", " ");
                    let template = short.starts_with("+++ after: ") && short.ends_with(".j2");
                    out += &format!("{}\n", if template { "+++ after: a template" } else { &short });
                }
            }
            _ if line.starts_with("META: ") || line.contains(" plays in ") => out += &format!("{line}\n"),
            _ if line.contains(": ok=") => {
                out += &format!("{}\n", line.split_whitespace().collect::<Vec<_>>().join(" "))
            }
            _ => {}
        }
        if !out.is_empty() {
            told.push((host.unwrap_or_default(), out));
        }
    }
    let mut out = String::new();
    for (banner, mut told) in banners {
        told.sort_by(|a, b| a.0.cmp(&b.0));
        out += &format!("\n{banner}\n");
        told.iter().for_each(|(_, text)| out += text);
    }
    format!("{}\nexit code {}\n", out.trim_start(), output.status.code().unwrap_or(-1))
}

/// The program under the name by which it is Ansible's.
fn ours(dir: &Path) -> PathBuf {
    let link = dir.join("ansible-playbook");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_stx-upgrade"), &link).unwrap();
    link
}

#[test]
fn plays_go_as_with_ansible() {
    let dir = tempfile::tempdir().unwrap();
    let program = ours(dir.path());
    let mut wrong = Vec::new();
    for play in plays() {
        let file = root().join("plays").join(format!("{}.answer", play.name));
        let Ok(answer) = fs::read_to_string(&file) else {
            wrong.push(format!("{}: no answer is recorded; `make differential` does it", play.name));
            continue;
        };
        let said = run(&program, &play);
        if said != answer {
            let diff = similar::TextDiff::from_lines(&answer, &said);
            let diff = diff.unified_diff().header("ansible-playbook", "stx-upgrade").to_string();
            wrong.push(format!("{}:\n{diff}", play.name));
        }
    }
    assert!(wrong.is_empty(), "{} plays go another way:\n{}", wrong.len(), wrong.join("\n"));
}

/// `ANSIBLE_PLAYBOOK` names the one to ask.
#[test]
#[ignore = "records what ansible-playbook answers: make differential"]
fn record() {
    let program = PathBuf::from(std::env::var_os("ANSIBLE_PLAYBOOK").unwrap_or_else(|| "ansible-playbook".into()));
    let only = std::env::var("PLAY").ok();
    for play in plays().iter().filter(|p| only.as_ref().is_none_or(|o| *o == p.name)) {
        let file = root().join("plays").join(format!("{}.answer", play.name));
        fs::write(&file, run(&program, play)).unwrap();
    }
}
