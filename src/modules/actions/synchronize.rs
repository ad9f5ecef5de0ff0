//! `synchronize`: runs this machine's `rsync` between it and the host, through the link that stands already; for hosts that
//! are this machine, and for trees of one host (`delegate_to` it), on the host itself.

use std::process::Stdio;

use crate::action::engine_side::{Action, Context, Way};
use crate::action::module::Failure;
use crate::model::outcome::{Diff, Outcome, Status};
use crate::model::value::{Dict, Value};
use crate::{arguments, choices};

use super::raw::shell_quote;

choices! { pub enum Mode { Push = "push", Pull = "pull" } }

arguments! {
    pub struct Args {
        /// What is copied; a last slash means what is in it.
        src []: String,
        /// Where it goes.
        dest []: String,
        /// `push` copies to the host, `pull` from it.
        mode []: Mode = Mode::Push,
        /// Keep links, permissions, times, owners, groups and devices, and go into directories.
        archive []: bool = true,
        /// Compare contents instead of times and sizes.
        checksum []: bool = false,
        /// Pack what goes over the link.
        compress []: bool = true,
        /// Take nothing that the receiver does not have already.
        existing_only []: bool = false,
        /// Put files in place at the end, all at once.
        delay_updates []: bool = true,
        /// Remove what the sender does not have.
        delete []: bool = false,
        /// Copy directories without what is in them.
        dirs []: bool = false,
        /// Go into directories; as `archive` if not given.
        recursive []: Option<bool>,
        /// Copy links as links; as `archive` if not given.
        links []: Option<bool>,
        /// Copy what links point to instead.
        copy_links []: bool = false,
        /// Keep permissions; as `archive` if not given.
        perms []: Option<bool>,
        /// Keep times; as `archive` if not given.
        times []: Option<bool>,
        /// Keep owners; as `archive` if not given.
        owner []: Option<bool>,
        /// Keep groups; as `archive` if not given.
        group []: Option<bool>,
        /// Keep what was copied of a file if the link breaks.
        partial []: bool = false,
        /// Directories in which unchanged files are linked to.
        link_dest []: Vec<String> = Vec::new(),
        /// The program at the far side.
        rsync_path []: Option<String>,
        /// Seconds without a byte after which rsync gives up; 0 never.
        rsync_timeout []: u64 = 0u64,
        /// More options, a list.
        rsync_opts []: Vec<String> = Vec::new(),
    }
}

pub struct Synchronize;

/// Begins every line that tells of a change.
const MARK: &str = "<<CHANGED>>";

impl Action for Synchronize {
    const NAMES: &'static [&'static str] = &["synchronize", "ansible.posix.synchronize"];
    const DOC: &'static str = "Copies trees between this machine and the host with `rsync`, which both must have.\n\
        It goes through the link that stands, so whatever logs in to the host serves it too.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("cmd", "What was run"),
        ("rc", "Its exit code"),
        ("msg", "What changed, as rsync itemizes it"),
        ("stdout_lines", "The same as a list of lines"),
    ];
    const EXAMPLE: &'static str =
        "- synchronize:\n    src: some/relative/path\n    dest: /some/absolute/path\n    delete: true\n";
    type Args = Args;

    async fn run(args: Args, _: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        let mut argv = options(&args, ctx.check(), ctx.diff());
        let way = ctx.way().await?;
        let mut src = args.src.clone();
        let dest = args.dest.clone();
        if args.mode == Mode::Push && !matches!(way, Way::There) && !src.starts_with(['/', '~']) && !src.contains("::")
        {
            // As `copy` finds it: in the role's files first.
            let slash = if src.ends_with('/') { "/" } else { "" };
            let found = ctx.find("files", src.trim_end_matches('/'))?;
            src = format!("{}{slash}", found.name.trim_end_matches('/'));
        }
        if matches!(way, Way::There) {
            argv.extend([src, dest]);
            return there(argv, ctx).await;
        }
        let (from, to) = match way {
            Way::Here | Way::There => (src, dest),
            Way::Ssh { program, arguments, socket, address } => {
                let mut shell =
                    vec![program, "-S".into(), socket.display().to_string(), "-o".into(), "ControlMaster=no".into()];
                shell.extend(arguments);
                // rsync splits it at blanks, and knows quotes.
                argv.push("--rsh".into());
                argv.push(
                    shell
                        .iter()
                        .map(|w| if w.contains([' ', '\'', '"']) { shell_quote(w) } else { w.clone() })
                        .collect::<Vec<_>>()
                        .join(" "),
                );
                let there = if address.contains(':') { format!("[{address}]") } else { address };
                match args.mode {
                    Mode::Push => (src, format!("{there}:{dest}")),
                    Mode::Pull => (format!("{there}:{src}"), dest),
                }
            }
        };
        if let Some(path) = args.rsync_path.clone().map_or_else(|| become_rsync(ctx), |p| Ok(Some(p)))? {
            argv.extend(["--rsync-path".into(), path]);
        }
        argv.extend([from, to]);
        run(argv, ctx).await
    }
}

/// The far side's program under `become`: without a password, as rsync has no place to ask for one.
fn become_rsync(ctx: &dyn Context) -> Result<Option<String>, Failure> {
    let Some(to) = ctx.becoming()? else { return Ok(None) };
    if to.method != "sudo" {
        let why = format!("`become_method: {}` cannot be used with synchronize; `sudo` can", to.method);
        return Err(Failure::new(why));
    }
    Ok(Some(format!("sudo -n -u {} rsync", shell_quote(&to.user))))
}

/// On the host, between two of its own trees.
async fn there(argv: Vec<String>, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
    let argv: Value = argv.iter().map(String::as_str).collect();
    let mut outcome = ctx.call("command", crate::dict! {"argv" => argv}).await?;
    if outcome.status == Status::Ok {
        let text = outcome.data.get("stdout").map(Value::to_string).unwrap_or_default();
        outcome.changed = text.contains(MARK);
        let plain = text.replace(MARK, "");
        let lines: Value = plain.lines().collect();
        outcome = outcome.with("stdout_lines", lines).with("stdout", plain.as_str()).msg(plain);
    }
    Ok(outcome)
}

fn options(args: &Args, check: bool, diff: bool) -> Vec<String> {
    let mut argv: Vec<String> = vec!["rsync".into()];
    let mut add = |on: bool, option: &str| argv.extend(on.then(|| option.to_owned()));
    add(args.delay_updates, "--delay-updates");
    add(true, "-F");
    add(args.compress, "--compress");
    add(args.rsync_timeout > 0, &format!("--timeout={}", args.rsync_timeout));
    add(check, "--dry-run");
    add(diff, "--verbose");
    add(args.delete, "--delete-after");
    add(args.existing_only, "--existing");
    add(args.checksum, "--checksum");
    add(args.copy_links, "--copy-links");
    add(args.archive, "--archive");
    add(args.dirs, "--dirs");
    add(args.partial, "--partial");
    for (given, option) in [
        (args.recursive, "recursive"),
        (args.links, "links"),
        (args.perms, "perms"),
        (args.times, "times"),
        (args.owner, "owner"),
        (args.group, "group"),
    ] {
        match (given, args.archive) {
            (Some(false), true) => add(true, &format!("--no-{option}")),
            (Some(true), false) => add(true, &format!("--{option}")),
            _ => {}
        }
    }
    argv.extend(args.link_dest.iter().map(|d| format!("--link-dest={d}")));
    argv.extend(args.rsync_opts.iter().cloned());
    argv.extend(["--out-format".into(), format!("{MARK}%i %n%L")]);
    argv
}

async fn run(argv: Vec<String>, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
    let shown = argv
        .iter()
        .map(|w| if w.contains([' ', '<', '\'']) { shell_quote(w) } else { w.clone() })
        .collect::<Vec<_>>()
        .join(" ");
    let mut command = tokio::process::Command::new(&argv[0]);
    command
        .args(&argv[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let child = command.spawn().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            Failure::new("this machine has no `rsync`, with which synchronize works; install it")
        }
        _ => Failure::new(format!("starting rsync: {e}")),
    })?;
    let output = child.wait_with_output().await.map_err(|e| Failure::new(format!("rsync: {e}")))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rc = output.status.code().unwrap_or(-1);
    if rc != 0 {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let failed = Outcome { status: Status::Failed, ..Outcome::default() };
        return Ok(failed.msg(said.trim_end()).with("cmd", shown).with("rc", rc));
    }
    let changed = text.contains(MARK);
    let plain = text.replace(MARK, "");
    let mut outcome = Outcome::changed(changed)
        .msg(plain.trim_end())
        .with("cmd", shown)
        .with("rc", rc)
        .with("stdout_lines", plain.lines().filter(|l| !l.is_empty()).collect::<Value>());
    if ctx.diff() && changed {
        outcome = outcome.diff(Diff::Prepared(plain));
    }
    Ok(outcome)
}
