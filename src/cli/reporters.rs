//! Which reporters show a run: `--output`, else by what standard output is.

use std::io::IsTerminal;

use anyhow::bail;

use super::args::Output;
use crate::model::secret::Mask;
use crate::report::Reporter;
use crate::report::lines::Options;
use crate::report::plain::Plain;

/// The reporters that `--output` names; without it one for people.
pub fn choose(output: &Output, mask: &Mask) -> anyhow::Result<Vec<Box<dyn Reporter>>> {
    let mut reporters: Vec<Box<dyn Reporter>> = Vec::new();
    for form in &output.output {
        match form.as_str() {
            "plain" => reporters.push(Box::new(Plain::standard(options(output, mask)))),
            other => bail!("--output {other}: plain, terminal, json and junit=FILE are known"),
        }
    }
    if reporters.is_empty() {
        reporters.push(Box::new(Plain::standard(options(output, mask))));
    }
    Ok(reporters)
}

fn options(output: &Output, mask: &Mask) -> Options {
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    let terminal = std::io::stdout().is_terminal();
    let color = !set("NO_COLOR") && (set("CLICOLOR_FORCE") || set("ANSIBLE_FORCE_COLOR") || terminal);
    let width = crossterm::terminal::size().ok().filter(|_| terminal).map_or(80, |(columns, _)| usize::from(columns));
    Options {
        verbosity: output.verbose,
        color,
        columns: (width.max(80)) - 1,
        mask: mask.clone(),
        custom_stats: std::env::var("ANSIBLE_SHOW_CUSTOM_STATS")
            .is_ok_and(|v| ["1", "true", "yes"].contains(&v.to_lowercase().as_str())),
        source: |name| std::fs::read_to_string(name).ok(),
    }
}
