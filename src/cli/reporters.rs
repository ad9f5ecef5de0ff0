//! Which reporters show a run: `--output`, else by what standard output is.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context, bail};

use super::args::Output;
use super::settings::Settings;
use crate::model::secret::Mask;
use crate::report::Reporter;
use crate::report::json::Json;
use crate::report::junit::{Junit, Wishes};
use crate::report::lines::Options;
use crate::report::log_file::LogFile;
use crate::report::plain::Plain;
use crate::report::result::Form;
use crate::report::style;
use crate::report::terminal::{Screen, Terminal};

/// The reporters of a run, and the screen that questions have to share with the live part, if there is one.
pub struct Chosen {
    pub reporters: Vec<Box<dyn Reporter>>,
    pub screen: Option<Screen>,
}

/// The reporters that `--output` names. One that writes to standard output is among them in any case: the live one at a
/// terminal, plain lines elsewhere.
pub fn choose(output: &Output, settings: &Settings, ansible: bool, mask: &Mask) -> anyhow::Result<Chosen> {
    let mut chosen = Chosen { reporters: Vec::new(), screen: None };
    let mut shows = false;
    for form in &output.output {
        match form.as_str() {
            "plain" => {
                shows = true;
                chosen.reporters.push(Box::new(Plain::standard(options(output, settings, ansible, mask))));
            }
            "terminal" => {
                shows = true;
                chosen.terminal(options(output, settings, ansible, mask));
            }
            "json" => {
                shows = true;
                chosen.reporters.push(Box::new(Json::new(std::io::stdout(), mask.clone())));
            }
            other => match other.strip_prefix("junit=").filter(|f| !f.is_empty()) {
                Some(file) => {
                    let wishes = Wishes::read(|name| std::env::var_os(name));
                    chosen.reporters.push(Box::new(Junit::new(PathBuf::from(file), wishes, mask.clone())));
                }
                None => bail!("--output {other}: it is one of plain, terminal, json, junit=FILE"),
            },
        }
    }
    if !shows {
        let dumb = style::dumb(|name| std::env::var_os(name));
        if std::io::stdout().is_terminal() && std::io::stderr().is_terminal() && !dumb {
            chosen.terminal(options(output, settings, ansible, mask));
        } else {
            chosen.reporters.push(Box::new(Plain::standard(options(output, settings, ansible, mask))));
        }
    }
    if let Some(path) = settings.path("log_path") {
        let log =
            LogFile::open(&path).with_context(|| format!("opening {}, which `log_path` names", path.display()))?;
        let aside = log.again().with_context(|| format!("opening {}", path.display()))?;
        let usual = options(output, settings, ansible, mask);
        let verbosity = settings.log_verbosity().unwrap_or(usual.verbosity);
        let options = Options { color: false, verbosity, ..usual };
        chosen.reporters.push(Box::new(Plain::new(options, log, aside)));
    }
    Ok(chosen)
}

/// The reporters of a story that is told again: as [`choose`], but for a terminal without its live part.
pub fn choose_story(output: &Output, mask: &Mask) -> anyhow::Result<Vec<Box<dyn Reporter>>> {
    let mut plain = output.clone();
    plain.output.retain(|o| o != "terminal");
    if !plain.output.iter().any(|o| o == "json" || o == "plain") {
        plain.output.push("plain".into());
    }
    Ok(choose(&plain, &Settings::default(), false, mask)?.reporters)
}

impl Chosen {
    fn terminal(&mut self, options: Options) {
        let terminal = Terminal::new(options);
        self.screen = Some(terminal.screen());
        self.reporters.push(Box::new(terminal));
    }
}

fn options(output: &Output, settings: &Settings, ansible: bool, mask: &Mask) -> Options {
    let on = |name: &str, default: bool| settings.yes(name).unwrap_or(default);
    let terminal = std::io::stdout().is_terminal();
    let color = match (settings.yes("nocolor"), settings.yes("force_color")) {
        (Some(true), _) => false,
        (_, Some(true)) => true,
        _ => style::wants_color(|name| std::env::var_os(name), terminal),
    };
    let width = crossterm::terminal::size().ok().filter(|_| terminal).map_or(80, |(columns, _)| usize::from(columns));
    Options {
        verbosity: output.verbose,
        color,
        columns: width.max(80) - 1,
        mask: mask.clone(),
        custom_stats: on("show_custom_stats", false),
        ok_hosts: on("display_ok_hosts", true),
        skipped_hosts: on("display_skipped_hosts", true),
        failed_aside: on("display_failed_stderr", false),
        path_on_failure: on("show_task_path_on_failure", false),
        check_markers: on("check_mode_markers", false),
        bare: ansible,
        form: Form {
            pretty: settings.yes("callback_format_pretty"),
            yaml: settings.text("callback_result_format") == Some("yaml"),
        },
        source: |name| std::fs::read_to_string(name).ok(),
    }
}
