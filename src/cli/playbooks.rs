//! `playbooks`: what is built into the binary, and how to get it out.

use anyhow::{Context, bail};

use super::args::Playbooks;
use super::exit_code::Exit;
use super::wire;

pub fn run(args: &Playbooks) -> anyhow::Result<Exit> {
    let Some(dir) = &args.extract else {
        for (name, bytes) in wire::BUILT_IN {
            if let Some(name) = name.strip_prefix("playbooks/") {
                println!("{name:<24} {}", about(bytes));
            }
        }
        return Ok(Exit::Ok);
    };
    if dir.exists() && dir.read_dir().is_ok_and(|mut d| d.next().is_some()) {
        bail!("{} is not empty; give a new folder, so that nothing of yours is overwritten", dir.display());
    }
    for (name, bytes) in wire::BUILT_IN {
        let path = dir.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        }
        std::fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
    }
    println!(
        "{} files are in {}; run them with `stx-upgrade play {}/playbooks/upgrade.yml`",
        wire::BUILT_IN.len(),
        dir.display(),
        dir.display()
    );
    Ok(Exit::Ok)
}

/// The comment with which a playbook opens.
fn about(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().find(|l| l.starts_with('#')).unwrap_or_default();
    line.trim_start_matches(['#', ' ']).to_owned()
}
