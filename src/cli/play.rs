//! `play` and `validate`: reads everything, checks everything, lists, or runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};

use super::args::Play;
use super::exit_code::Exit;
use super::settings::Settings;
use super::{operator, runs, secrets, wire};
use crate::engine::hosts::Hosts;
use crate::engine::options::{Gathering, Mismatch, Options};
use crate::engine::out::{Out, now};
use crate::engine::record::Recorder;
use crate::engine::run::Run;
use crate::journal::log::{Guard, Journal, JournalError, Opened};
use crate::journal::place::{StateDir, new_run_id};
use crate::journal::record::{Header, Input, Part};
use crate::journal::recover::Recovered;
use crate::journal::writer::Writer;
use crate::model::event::Event;
use crate::model::inventory::Inventory;
use crate::model::mistake::Mistake;
use crate::model::secret::{Mask, is_secret_name};
use crate::model::value::{Dict, Value};
use crate::parse::files::{BUILT_IN, Files, Layered, Whole};
use crate::parse::vault::Vault;
use crate::plan::compile::Compiler;
use crate::plan::tags::TagSelection;
use crate::plan::words::Modules;
use crate::plan::{Node, Plan, TaskPlan, pattern};
use crate::report;
use crate::vars::template::Templar;
use crate::{dict, parse};

/// Runs `play`, or only what the flags ask for.
pub fn run(mut args: Play, ansible: bool) -> anyhow::Result<Exit> {
    let mask = Mask::default();
    args.settings = Settings::read()?;
    args.settings.warn();
    let settings = std::mem::take(&mut args.settings);
    settings.fill(&mut args);
    (args.settings, args.as_ansible) = (settings, ansible);
    let args = &args;
    let given = secrets::collect(&args.secrets, &mask)?;
    let loaded = match load(args, given, &mask)? {
        Ok(loaded) => loaded,
        Err(exit) => return Ok(exit),
    };
    if args.syntax_check {
        for name in &args.playbooks {
            println!("\nplaybook: {name}");
        }
        return Ok(Exit::Ok);
    }
    if args.lists() {
        list(args, &loaded)?;
        return Ok(Exit::Ok);
    }
    let state = runs::state_dir(&args.state)?;
    let mut id = new_run_id(now());
    // Many runs in one minute: ids are short.
    while state.journal(&id).exists() {
        id = new_run_id(now());
    }
    let record = if args.check {
        Recorder::new(None, Recovered::default(), None)
    } else {
        begin(args, &loaded, &state, &id, &mask)?
    };
    drive(Session { args, loaded, record, id, state, mask, part: 1 })
}

/// What was read and checked.
pub struct Loaded {
    pub compiler: Compiler,
    pub plan: Plan,
    pub inventory: Inventory,
    pub sources: Vec<String>,
    pub playbooks: Vec<(String, PathBuf)>,
    pub connection: Option<crate::model::secret::Secret>,
    pub become_: Option<crate::model::secret::Secret>,
}

/// Reads playbooks, inventory and variables, and finds every mistake that needs no host. Mistakes are shown here, and end
/// with the exit to take.
pub fn load(args: &Play, given: secrets::Given, mask: &Mask) -> anyhow::Result<Result<Loaded, Exit>> {
    let layered = Layered(wire::built_in());
    let files: Arc<dyn Files> = if args.as_ansible { Arc::new(Whole(layered)) } else { Arc::new(layered) };
    let mut mistakes: Vec<Mistake> = Vec::new();
    let vault = Arc::new(given.vault);
    let extra = match parse::extra_vars::parse(&args.extra_vars, &*files, &vault) {
        Ok(extra) => extra,
        Err(mistake) => {
            mistakes.push(mistake);
            Dict::new()
        }
    };
    extra.iter().filter(|(name, _)| is_secret_name(&name.to_string())).for_each(|(_, value)| mask.learn_value(value));
    let mut playbooks = Vec::new();
    for name in &args.playbooks {
        match wire::find_playbook(name) {
            Some(path) => {
                if path != Path::new(name) && !args.lists() && !args.syntax_check {
                    eprintln!("playbook: {}", path.display());
                }
                let shown = path.display().to_string();
                // Ansible names every file whole, and has none built in.
                let path = if args.as_ansible && !path.starts_with(BUILT_IN) {
                    std::path::absolute(&path).unwrap_or(path)
                } else {
                    path
                };
                playbooks.push((shown, path));
            }
            None => {
                let names = wire::playbook_names();
                let mistake = Mistake::plain(format!("the playbook `{name}` was not found"))
                    .suggest(name, names.iter().map(String::as_str))
                    .help(format!(
                        "looked for {name}, playbooks/{name}, and among those built in: {}",
                        names.join(", ")
                    ));
                show(&[mistake]);
                return Ok(Err(Exit::Error));
            }
        }
    }
    let sources = inventory_sources(&args.inventory, &args.settings);
    let mut inventory = read_inventory(args, &sources, &*files, &vault, &mut mistakes);
    for (_, path) in &playbooks {
        let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        parse::inventory::load_playbook_vars(&mut inventory, &*files, dir, &vault, &mut mistakes);
    }
    // Called as Ansible the syntax is checked as it does it, which is not to say that the playbook can be run.
    let only_read = args.lists() || (args.syntax_check && args.as_ansible);
    let modules = Modules { only_read, ..wire::names() };
    args.settings.paths("library").into_iter().for_each(|folder| modules.libraries.add_configured(folder));
    let collections_paths = args.settings.paths("collections_path");
    collections_paths.iter().for_each(|folder| modules.libraries.add_collections(folder.clone()));
    let broken = args.settings.yes("allow_broken_conditionals").unwrap_or(false);
    let compiler = Compiler {
        files,
        vault,
        templar: Arc::new(Templar::new(parse::read_yaml).allow_broken_conditions(broken)),
        modules,
        extra: Arc::new(extra),
        tags: TagSelection::new(&args.tags, &args.skip_tags),
        roles_path: args.settings.paths("roles_path"),
        collections_paths,
        as_ansible: args.as_ansible,
    };
    let plan = compiler.playbooks(&playbooks, &mut mistakes);
    if let Some(limit) = args.limit.as_deref().map(read_limit).transpose()? {
        match pattern::matches(&[limit], &inventory) {
            Err(error) => mistakes.push(Mistake::plain(error.to_string())),
            Ok(found) if found.hosts.is_empty() => {
                show(&[Mistake::plain("the specified hosts and/or --limit match no host")]);
                return Ok(Err(Exit::Error));
            }
            Ok(_) => {}
        }
    }
    heed(&args.settings, &mut mistakes);
    if only_read {
        let refused = compiler.modules.libraries.refused();
        mistakes.extend(
            refused.iter().filter_map(|own| own.why_not()).map(|why| Mistake { warning: true, ..Mistake::plain(why) }),
        );
    }
    let (warnings, errors): (Vec<Mistake>, Vec<Mistake>) = mistakes.into_iter().partition(|m| m.warning);
    if !warnings.is_empty() {
        show(&warnings);
    }
    if !errors.is_empty() {
        show(&errors);
        let count = errors.len();
        eprintln!("{count} error{}; nothing was run.", if count == 1 { "" } else { "s" });
        return Ok(Err(Exit::Invalid));
    }
    Ok(Ok(Loaded {
        compiler,
        plan,
        inventory,
        sources,
        playbooks,
        connection: given.connection,
        become_: given.become_,
    }))
}

/// Settings say of some warnings that they are errors, or nothing at all.
fn heed(settings: &Settings, mistakes: &mut Vec<Mistake>) {
    let word = |m: &Mistake| m.setting.and_then(|name| settings.text(name));
    mistakes.retain(|m| word(m) != Some("ignore"));
    mistakes.iter_mut().filter(|m| word(m) == Some("error")).for_each(|m| m.warning = false);
}

fn show(mistakes: &[Mistake]) {
    eprint!("{}", report::mistake::render(mistakes, super::operator::colored_errors()));
}

/// Reads the inventory. As `ansible-playbook`, sources that cannot be read are warned about, as there, unless the settings say
/// otherwise; what is left may be nothing but the implicit localhost.
fn read_inventory(
    args: &Play,
    sources: &[String],
    files: &dyn Files,
    vault: &Vault,
    mistakes: &mut Vec<Mistake>,
) -> Inventory {
    use crate::parse::inventory::{GroupNames, load_with};
    let settings = &args.settings;
    let names = match settings.text("force_valid_group_names") {
        Some("ignore") => GroupNames::Ignore,
        Some("always" | "true" | "True") => GroupNames::Always,
        Some("silently") => GroupNames::Silently,
        _ => GroupNames::Never,
    };
    let before = mistakes.len();
    let inventory = load_with(sources, names, files, vault, mistakes);
    let strict = |name: &str| settings.yes(name).unwrap_or(false);
    let bad = mistakes[before..].iter().any(|m| !m.warning);
    let nothing = inventory.hosts.is_empty();
    if args.as_ansible && bad && !strict("any_unparsed_is_failed") && !(nothing && strict("unparsed_is_failed")) {
        mistakes[before..].iter_mut().for_each(|m| m.warning = true);
        if nothing {
            let told = Mistake::plain("No inventory was parsed, only implicit localhost is available");
            mistakes.push(Mistake { warning: true, ..told });
        }
    }
    inventory
}

/// The sources of the inventory: `-i`, the setting, or `./inventory` where there is one.
pub fn inventory_sources(given: &[String], settings: &Settings) -> Vec<String> {
    if !given.is_empty() {
        return given.to_vec();
    }
    let set = settings.inventory();
    if !set.is_empty() {
        return set;
    }
    if Path::new("inventory").exists() { vec!["inventory".into()] } else { Vec::new() }
}

/// `--limit @FILE` has a pattern a line.
fn read_limit(limit: &str) -> anyhow::Result<String> {
    let Some(file) = limit.strip_prefix('@') else { return Ok(limit.to_owned()) };
    if Path::new(file).is_dir() {
        bail!("--limit {limit}: what stands after the @ must be a file, {file} is a folder");
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("reading --limit {limit}"))?;
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    Ok(lines.join(","))
}

/// A run about to go, for the first time or again.
pub struct Session<'a> {
    pub args: &'a Play,
    pub loaded: Loaded,
    pub record: Recorder,
    pub id: String,
    pub state: StateDir,
    pub mask: Mask,
    pub part: u32,
}

/// Drives a run to its end.
pub fn drive(session: Session<'_>) -> anyhow::Result<Exit> {
    let Session { args, loaded, record, id, state, mask, part } = session;
    let ansible = args.as_ansible;
    let options = options(args, &loaded, state.journal(&id))?;
    let chosen = super::reporters::choose(&args.output, &args.settings, ansible, &mask)?;
    let out = Out::new(chosen.reporters, mask);
    let known_hosts = state.runs_dir().with_file_name("known_hosts");
    // Modules on this machine work where the playbook lies, as with Ansible; a playbook of the built-in set lies nowhere.
    let here = args.playbooks.first().and_then(|p| std::fs::canonicalize(p).ok()?.parent().map(Path::to_owned));
    let hosts = Hosts::new(&id, known_hosts).starting_in(here);
    let playbooks: Vec<String> = args.playbooks.clone();
    let earlier = (record.earlier().finished.len() as u32, record.earlier().in_doubt.len() as u32);
    let flushed: Vec<String> = loaded.inventory.hosts.keys().filter(|_| args.flush_cache).cloned().collect();
    let run = Run::new(
        id.clone(),
        options,
        loaded.compiler,
        loaded.inventory,
        record,
        out,
        hosts,
        operator::asker(chosen.screen),
    );
    // Those that no play meets are forgotten too.
    flushed.iter().for_each(|host| drop(run.vars.of(host)));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    let ended = runtime.block_on(async {
        if part == 1
            && let Err(halt) = run.record.decide("extra_vars", Value::dict((*run.compiler.extra).clone()), true).await
        {
            return crate::engine::run::Ended::broken(halt);
        }
        let steps = loaded.plan.plays.iter().map(|play| crate::plan::steps(&play.nodes)).sum();
        run.out.expect(steps);
        let (run_id, steps) = (id.clone(), Some(steps));
        let started =
            Event::RunStarted { run: run_id, playbooks, check: args.check, diff: args.diff, part, steps };
        let event = run.out.tell(started);
        run.record.event(event);
        if part > 1 {
            let event = run.out.tell(Event::Resumed { done: earlier.0, in_doubt: earlier.1, to_go: None });
            run.record.event(event);
        }
        let listening = {
            let run = run.clone();
            tokio::spawn(async move {
                let told = run.clone();
                run.stop
                    .listen(move |level, what| {
                        let why = match level {
                            1 => format!("{what}: stopping after the steps under way; again stops now. Nothing is lost either way"),
                            _ => format!("{what}: stopping now"),
                        };
                        let event = told.out.tell(Event::Stopping { why });
                        told.record.event(event);
                    })
                    .await;
            })
        };
        let ended = run.drive(&loaded.plan).await;
        listening.abort();
        ended
    });
    if let Some(crate::engine::run::Halt::Mistakes(mistakes)) = &ended.halt {
        show(mistakes);
    } else if let Some(halt) = &ended.halt {
        eprintln!("{halt}");
    }
    if ended.nothing_matched && ended.halt.is_none() && !ansible {
        eprintln!("error: no play matched any host; nothing was run");
    }
    // A task that ignores its cancellation must not keep the program.
    runtime.shutdown_background();
    let exit = Exit::of(&ended, args.detailed_exitcode);
    Ok(if ansible && exit == Exit::Error && ended.nothing_matched { Exit::Ok } else { exit })
}

fn options(args: &Play, loaded: &Loaded, journal: PathBuf) -> anyhow::Result<Options> {
    let set = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let settings = &args.settings;
    let yes = |name: &str, default: bool| settings.yes(name).unwrap_or(default);
    let split = |args: &Option<String>| {
        args.iter().flat_map(|a| crate::modules::shell_words::split(a).unwrap_or_default()).collect::<Vec<_>>()
    };
    let mut ssh_args = split(&args.ssh_common_args);
    ssh_args.extend(split(&args.ssh_extra_args));
    if args.step && operator::asker(None).is_none() {
        bail!("--step asks before each task, and there is no terminal");
    }
    Ok(Options {
        check: args.check,
        diff: args.diff,
        forks: args.forks.unwrap_or(50).max(1),
        verbosity: args.output.verbose,
        heard: args.output.verbose.max(settings.log_verbosity().unwrap_or(0)),
        deprecations: yes("deprecation_warnings", true),
        strategy: settings.text("strategy").unwrap_or("linear").to_owned(),
        limit: args.limit.as_deref().map(read_limit).transpose()?,
        become_: args.become_,
        become_user: args.become_user.clone().unwrap_or_else(|| "root".into()),
        become_method: args.become_method.clone().unwrap_or_else(|| "sudo".into()),
        become_password: loaded.become_.clone(),
        remote_user: args.user.clone(),
        connection_password: loaded.connection.clone(),
        private_key: args.private_key.clone(),
        connection: args.connection.clone(),
        ssh_args,
        host_key_checking: yes("host_key_checking", true),
        timeout: args.timeout.unwrap_or(10),
        task_timeout: args.task_timeout.unwrap_or(0),
        link_timeout: set("STX_UPGRADE_LINK_TIMEOUT").and_then(|v| v.parse().ok()).unwrap_or(300),
        force_handlers: args.force_handlers,
        gathering: Gathering::of(settings.text("gathering")),
        fact_cache: settings.fact_cache(args.flush_cache)?,
        start_at: args.start_at_task.clone(),
        step: args.step,
        yes: args.gates.yes,
        accept_edits: args.accept_edits,
        in_doubt: args.in_doubt.clone(),
        operator: operator::name(),
        journal: std::path::absolute(journal).context("the working directory")?,
        inventory_sources: loaded.sources.clone(),
        config_file: settings.file.as_ref().map(|f| f.display().to_string()),
        as_ansible: args.as_ansible,
        any_errors_fatal: yes("any_errors_fatal", false),
        inject_facts: yes("inject_facts_as_vars", true),
        no_log: yes("no_log", false),
        missing_handlers: !yes("error_on_missing_handler", true),
        broken_conditions: yes("allow_broken_conditionals", false),
        mismatch: Mismatch::of(settings.text("host_pattern_mismatch")),
    })
}

/// Creates the journal of a new run.
fn begin(args: &Play, loaded: &Loaded, state: &StateDir, id: &str, mask: &Mask) -> anyhow::Result<Recorder> {
    let path = args.journal.clone().unwrap_or_else(|| state.journal(id));
    let header = Header {
        format: crate::journal::record::FORMAT,
        run: id.to_owned(),
        playbooks: loaded.playbooks.iter().map(|(name, path)| input(&*loaded.compiler.files, name, path)).collect(),
        inventory: loaded.sources.iter().map(|s| input(&*loaded.compiler.files, s, Path::new(s))).collect(),
        options: recorded_options(args, mask),
        part: part(1, mask),
    };
    let guard = Guard { mask: mask.clone(), key: state.key() };
    let (journal, warnings) = Journal::create(&path, header, guard)?;
    warnings.iter().for_each(|w| eprintln!("warning: {w}"));
    if args.journal.is_some() {
        state.remember(id, &path).with_context(|| format!("remembering the journal {}", path.display()))?;
    }
    let writer = Writer::start(journal).context("starting the journal")?;
    Ok(Recorder::new(Some(writer), Recovered::default(), None))
}

/// Opens the journal of a run to go on with it.
pub fn reopen(path: &Path, state: &StateDir, mask: &Mask) -> Result<(Recorder, u32), JournalError> {
    let guard = Guard { mask: mask.clone(), key: state.key() };
    let Opened { journal, recovered, answers, torn, warnings } = Journal::open(path, part(0, mask), guard)?;
    warnings.iter().for_each(|w| eprintln!("warning: {w}"));
    if let Some(torn) = torn {
        eprintln!("warning: {torn}");
    }
    let part = recovered.parts.len() as u32 + 1;
    let writer = Writer::start(journal).map_err(|source| JournalError::Io { path: path.to_owned(), source })?;
    Ok((Recorder::new(Some(writer), recovered, Some(answers)), part))
}

fn input(files: &dyn Files, name: &str, path: &Path) -> Input {
    use sha2::{Digest, Sha256};
    let bytes = if files.is_file(path) { files.read(path).unwrap_or_default() } else { Vec::new() };
    Input {
        name: name.to_owned(),
        path: std::path::absolute(path).ok().filter(|p| p.exists()).map(|p| p.display().to_string()),
        sha256: hex::encode(Sha256::digest(bytes)),
    }
}

/// This process as a part of a run.
pub fn part(number: u32, mask: &Mask) -> Part {
    Part {
        number,
        at: now(),
        user: operator::user(),
        host: operator::machine(),
        pid: std::process::id(),
        cwd: std::env::current_dir().map_or_else(|_| String::new(), |d| d.display().to_string()),
        argv: std::env::args().map(|a| mask.text(&a)).collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// The options that a resume takes up again. Values of extra variables are kept sealed beside them.
fn recorded_options(args: &Play, mask: &Mask) -> Dict {
    let list = |l: &[String]| l.iter().map(|t| Value::str(mask.text(t))).collect::<Value>();
    dict! {
        "playbooks" => list(&args.playbooks),
        "inventory" => list(&args.inventory),
        "limit" => args.limit.as_deref(),
        "tags" => list(&args.tags),
        "skip_tags" => list(&args.skip_tags),
        "forks" => args.forks.map(|f| f as i64),
        "user" => args.user.as_deref(),
        "private_key" => args.private_key.as_ref().map(|p| p.display().to_string()),
        "connection" => args.connection.as_deref(),
        "become" => args.become_,
        "become_user" => args.become_user.as_deref(),
        "become_method" => args.become_method.as_deref(),
        "diff" => args.diff,
        "force_handlers" => args.force_handlers,
        "timeout" => args.timeout.map(|t| t as i64),
        "task_timeout" => args.task_timeout.map(|t| t as i64),
        "ssh_common_args" => args.ssh_common_args.as_deref(),
        "ssh_extra_args" => args.ssh_extra_args.as_deref(),
    }
}

/// `--list-hosts`, `--list-tasks`, `--list-tags`, as ansible-playbook prints them.
fn list(args: &Play, loaded: &Loaded) -> anyhow::Result<()> {
    for (name, _) in &loaded.playbooks {
        println!("\nplaybook: {name}");
        for (i, play) in loaded.plan.plays.iter().filter(|p| p.root == *name).enumerate() {
            let patterns = loaded.compiler.heading(play, &play.play.hosts);
            let hosts = patterns.join(",");
            let name = play.play.common.name.as_ref().map(|name| loaded.compiler.heading(play, name).join(","));
            let title = name.as_ref().unwrap_or(&hosts);
            let tags = |t: &[String]| {
                let mut t = t.to_vec();
                t.sort();
                t.join(", ")
            };
            println!("\n  play #{} ({hosts}): {title}\tTAGS: [{}]", i + 1, tags(&play.tags));
            if args.list_hosts {
                let matching = |p: &[String]| pattern::matches(p, &loaded.inventory);
                let mut found = matching(&patterns).map_err(anyhow::Error::from)?.hosts;
                if let Some(limit) = args.limit.as_deref().map(read_limit).transpose()? {
                    let within = matching(&[limit]).map_err(anyhow::Error::from)?.hosts;
                    found.retain(|h| within.contains(h));
                }
                println!("    pattern: ['{}']\n    hosts ({}):", patterns.join("', '"), found.len());
                found.iter().for_each(|h| println!("      {h}"));
            }
            if args.list_tags {
                let mut all: Vec<String> = play.tags.clone();
                listed(&play.nodes, &mut |t| all.extend(t.tags.iter().cloned()));
                all.sort();
                all.dedup();
                println!("      TASK TAGS: [{}]", all.join(", "));
            }
            if args.list_tasks {
                println!("    tasks:");
                list_tasks(&play.nodes, &tags);
            }
        }
    }
    Ok(())
}

fn list_tasks(nodes: &[Node], tags: &dyn Fn(&[String]) -> String) {
    listed(nodes, &mut |task| {
        let name = task.written_name().map_or_else(|| task.action(), |n| n.value.to_string());
        // One without a name of its own is listed by its action alone.
        let plain = task.written_name().is_none() || matches!(task.kind, crate::plan::Kind::IncludeRole);
        let role = task.role.as_ref().filter(|_| !plain);
        let name = role.map_or_else(|| name.clone(), |r| format!("{} : {name}", r.name));
        println!("      {name}\tTAGS: [{}]", tags(&task.tags));
    });
}

/// The tasks that ansible-playbook lists: those of blocks, not of their `rescue` and `always`.
fn listed(nodes: &[Node], f: &mut dyn FnMut(&TaskPlan)) {
    for node in nodes {
        match node {
            Node::Task(task) => f(task),
            Node::Block(block) => listed(&block.block, f),
            Node::Flush | Node::RoleEnd(_) => {}
        }
    }
}
