//! `stx-lab crash`: a playbook is run once clean, then again and again with one fault each, each time on a fresh lab, and
//! resumed. What it came to must be what the clean run came to, with nothing done twice and nothing lost.
//!
//! The runner is a black box here: its command line, its exit codes, its JSON lines, and environment variables that stop,
//! kill, cut or slow it at a chosen moment, or set its clock.

mod bed;
mod end;
mod fault;
mod suite;
mod trial;

use anyhow::{Context, Result, bail};
use bed::Bed;
use clap::Parser;
use end::End;
use fault::{Fault, Kind};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;
use trial::Trial;

/// What is asked for.
#[derive(Debug, Clone, Parser)]
pub struct Args {
    /// Playbooks to break; without one, the suite that comes with the lab
    pub playbooks: Vec<PathBuf>,
    /// The lab that they are run against
    #[arg(long, default_value = "plain")]
    pub topology: String,
    /// Product seconds in a real second
    #[arg(long, default_value_t = 3000.0)]
    pub rate: f64,
    /// A kill at every record and a cut at every call, where a sample would take some of them
    #[arg(long)]
    pub full: bool,
    /// How many moments of each other kind (3, or 8 of the full form); more than there are takes all
    #[arg(long)]
    pub sample: Option<usize>,
    /// Only these kinds
    #[arg(long, value_enum, value_delimiter = ',')]
    pub faults: Vec<Kind>,
    /// Trials at once
    #[arg(long, default_value_t = 2)]
    pub jobs: usize,
    /// stx-upgrade; otherwise the one beside this program, or in PATH
    #[arg(long)]
    pub program: Option<PathBuf>,
    /// Where the logs of trials that failed are kept
    #[arg(long, default_value = "crash-logs")]
    pub logs: PathBuf,
    /// Arguments for `stx-upgrade play`
    #[arg(last = true)]
    pub play: Vec<String>,
}

/// What one fault came to.
struct Verdict {
    kind: Kind,
    place: String,
    differences: Vec<String>,
    twice: usize,
    lost: usize,
    resumed_in: Duration,
}

/// Runs it all; the exit code says whether everything converged.
pub fn main(args: &Args) -> Result<i32> {
    let program = program(args)?;
    // The trials' folders are mounts; nobody else shall see them.
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).context("cannot have mounts of our own")?;
    let flags = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
    nix::mount::mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).context("cannot keep mounts private")?;
    let unpacked = suite::Unpacked::new(args.playbooks.is_empty())?;
    let playbooks = if args.playbooks.is_empty() { unpacked.playbooks() } else { args.playbooks.clone() };
    let mut verdicts = Vec::new();
    println!(
        "{:<28} {:<18} {:>6} {:>9} {:>5} {:>4}  slowest resume",
        "playbook", "fault", "faults", "converged", "twice", "lost"
    );
    for playbook in &playbooks {
        let of_this = one(args, &program, playbook)?;
        rows(playbook, &of_this);
        verdicts.extend(of_this);
    }
    let converged = verdicts.iter().filter(|v| v.differences.is_empty()).count();
    let (twice, lost): (usize, usize) = (verdicts.iter().map(|v| v.twice).sum(), verdicts.iter().map(|v| v.lost).sum());
    println!("{} faults, {converged} converged, {twice} twice, {lost} lost", verdicts.len());
    Ok(i32::from(converged != verdicts.len() || twice + lost > 0 || verdicts.is_empty()))
}

fn program(args: &Args) -> Result<PathBuf> {
    if let Some(given) = &args.program {
        return given.canonicalize().with_context(|| format!("{} is not there", given.display()));
    }
    let beside = std::env::current_exe()?.with_file_name("stx-upgrade");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(beside)
        .chain(std::env::split_paths(&path).map(|dir| dir.join("stx-upgrade")))
        .find(|program| program.is_file())
        .context("there is no stx-upgrade beside this program or in PATH; name it with --program")
}

/// One playbook: clean, then with every fault.
fn one(args: &Args, program: &Path, playbook: &Path) -> Result<Vec<Verdict>> {
    let playbook = playbook.canonicalize().unwrap_or_else(|_| playbook.to_owned());
    let clean_bed = Bed::up(args, program, &playbook, "clean")?;
    let clean = Trial::clean(&clean_bed).run();
    if clean.end.code.is_none_or(|code| ![0, 2].contains(&code)) {
        let kept = clean_bed.keep(&args.logs)?;
        bail!("{} does not run clean ({}); see {}", playbook.display(), clean.end.exit(), kept.display());
    }
    let agents = clean_bed.agents();
    drop(clean_bed);
    let faults = fault::plan(args, &clean.size);
    let queue = Mutex::new(faults.into_iter());
    let verdicts = Mutex::new(Vec::new());
    let failed: Mutex<Option<anyhow::Error>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for job in 0..args.jobs.max(1) {
            let (queue, verdicts, failed, playbook) = (&queue, &verdicts, &failed, &playbook);
            let (clean, agents) = (&clean.end, &agents);
            scope.spawn(move || {
                loop {
                    let Some(fault) = locked(queue).next() else { return };
                    let bed = Bed::up(args, program, playbook, &job.to_string());
                    let judged = bed.and_then(|bed| bed.place(agents).and_then(|()| judged(args, &bed, fault, clean)));
                    match judged {
                        Ok(verdict) => locked(verdicts).push(verdict),
                        Err(why) => {
                            locked(failed).get_or_insert(why);
                            return;
                        }
                    }
                }
            });
        }
    });
    match failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        Some(why) => Err(why),
        None => Ok(verdicts.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// One trial, held against the clean run.
fn judged(args: &Args, bed: &Bed, fault: Fault, clean: &End) -> Result<Verdict> {
    let came_to = Trial::broken(bed, &fault, clean).run();
    let mut differences = clean.differences(&came_to.end);
    let (mut twice, mut lost) = clean.twice_and_lost(&came_to.end);
    // A full disk is a failure like any other: where the playbook's own rescue took it, what came of it is the playbook's word.
    let rescued = !came_to.end.failures.is_subset(&clean.failures);
    if fault.kind == Kind::HostDiskFull && came_to.end.code == clean.code && rescued {
        differences.clear();
        (twice, lost) = (0, 0);
    }
    if !differences.is_empty() || twice + lost > 0 {
        let kept = bed.keep(&args.logs)?;
        eprintln!("{} {}: {}; see {}", bed.title(), fault, differences.join("; "), kept.display());
    }
    Ok(Verdict { kind: fault.kind, place: fault.to_string(), differences, twice, lost, resumed_in: came_to.resumed_in })
}

fn rows(playbook: &Path, verdicts: &[Verdict]) {
    let name = playbook.file_name().unwrap_or_default().to_string_lossy();
    let mut kinds: BTreeMap<Kind, Vec<&Verdict>> = BTreeMap::new();
    for verdict in verdicts {
        kinds.entry(verdict.kind).or_default().push(verdict);
    }
    for (kind, of_it) in kinds {
        let converged = of_it.iter().filter(|v| v.differences.is_empty()).count();
        let slowest = of_it.iter().max_by_key(|v| v.resumed_in);
        let (twice, lost): (usize, usize) = (of_it.iter().map(|v| v.twice).sum(), of_it.iter().map(|v| v.lost).sum());
        println!(
            "{name:<28} {:<18} {:>6} {converged:>9} {twice:>5} {lost:>4}  {}",
            kind.name(),
            of_it.len(),
            slowest.map_or(String::new(), |v| format!("{:.1} s ({})", v.resumed_in.as_secs_f64(), v.place)),
        );
    }
}
