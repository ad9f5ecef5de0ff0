//! `include_vars`: variables from files, when their turn comes.

use std::path::{Path, PathBuf};

use fancy_regex::Regex;

use crate::action::engine_side::{Action, Content, Context, Found};
use crate::action::module::Failure;
use crate::model::outcome::{Consequence, Outcome};
use crate::model::value::{Dict, Key, Value, merged};

pub struct IncludeVars;

crate::choices! {
    /// What becomes of mappings that are there already.
    pub enum Hashes { Replace = "replace", Merge = "merge" }
}

crate::arguments! {
    pub struct Args {
        /// A file of variables: YAML or JSON.
        file ["_raw_params"]: Option<String>,
        /// A folder; its files are read in the order of their names, later ones winning.
        dir []: Option<String>,
        /// A variable that takes them all as a mapping, instead of each by its name.
        name []: Option<String>,
        /// How many folders deep to go; 0 for all.
        depth []: i64 = 0,
        /// Only files whose names match this regular expression.
        files_matching []: Option<String>,
        /// Names of files to pass over, as regular expressions.
        ignore_files []: Option<Vec<String>>,
        /// Endings of files to read.
        extensions []: Vec<String> = vec!["yaml".to_owned(), "yml".to_owned(), "json".to_owned()],
        /// Whether files of other endings are passed over instead of failed on.
        ignore_unknown_extensions []: bool = false,
        /// What becomes of mappings that are there already: replaced, or merged with what is read.
        hash_behaviour []: Hashes = Hashes::Replace,
    }
}

/// What says nothing for one file.
const DIR_ONLY: [&str; 6] =
    ["dir", "depth", "files_matching", "ignore_files", "extensions", "ignore_unknown_extensions"];

impl Action for IncludeVars {
    const NAMES: &'static [&'static str] = &["include_vars", "ansible.builtin.include_vars"];
    const DOC: &'static str = "Reads variables from a file or a folder of the control node.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("ansible_included_var_files", "files that were read"), ("ansible_facts", "the variables")];
    const EXAMPLE: &'static str = "- include_vars: \"{{ release }}.yml\"";
    const FREE_FORM: Option<&'static str> = Some("file");
    const MAY_CHANGE: bool = false;
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    async fn run(args: Args, _: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        if args.file.is_some() && DIR_ONLY.iter().any(|name| ctx.args().contains_key(*name)) {
            return Err(Failure::new("You are mixing file only and dir only arguments, these are incompatible"));
        }
        let (files, mut vars) = match read(&args, ctx) {
            // Ansible tells it under another name than other actions do; plays look there.
            Err(Failure::Failed(outcome)) => {
                let message = outcome.msg.clone();
                let outcome =
                    outcome.with("message", message).with("ansible_included_var_files", Value::list(Vec::new()));
                return Err(Failure::Failed(Box::new(outcome)));
            }
            read => read?,
        };
        let hidden = files.iter().any(|f| ctx.is_vault(f));
        if let Some(name) = &args.name {
            vars = Dict::from_iter([(Key::from(name.as_str()), Value::dict(vars))]);
        }
        if args.hash_behaviour == Hashes::Merge {
            for (key, value) in &mut vars {
                if let (Some(Value::Dict(before)), Value::Dict(read)) = (ctx.var(&key.to_string())?, &*value) {
                    *value = Value::dict(merged(&before, read));
                }
            }
        }
        let names: Value = files.iter().map(|f| f.name.as_str()).collect();
        let mut outcome = Outcome::ok().with("ansible_included_var_files", names);
        outcome.facts = vars.clone();
        if hidden {
            outcome.data.insert("_ansible_no_log".into(), true.into());
        }
        ctx.consequence(Consequence::IncludeVars { vars });
        Ok(outcome)
    }
}

/// The files that are asked for, and the variables in them.
fn read(args: &Args, ctx: &dyn Context) -> Result<(Vec<Found>, Dict), Failure> {
    let files = match (&args.file, &args.dir) {
        // A folded text ends with a newline.
        (Some(file), _) => vec![ctx.find("vars", file.trim_end_matches('\n'))?],
        (None, Some(dir)) => folder(args, &ctx.find("vars", dir)?)?,
        (None, None) => {
            return Err(Failure::new("Could not find file on the Ansible Controller: `file` or `dir` must name one"));
        }
    };
    let mut vars = Dict::new();
    for file in &files {
        vars.extend(ctx.vars_file(file)?);
    }
    Ok((files, vars))
}

/// The files of a folder that are wanted, sorted by name, folder by folder.
fn folder(args: &Args, dir: &Found) -> Result<Vec<Found>, Failure> {
    let Content::File(top) = &dir.content else {
        return Err(Failure::new(format!("{} is not a folder on disk", dir.name)));
    };
    let pattern =
        |text: &str| Regex::new(text).map_err(|e| Failure::new(format!("`{text}` is not a regular expression: {e}")));
    let matching = args.files_matching.as_deref().map(pattern).transpose()?;
    let ignored =
        args.ignore_files.iter().flatten().map(|t| pattern(&format!("{t}$"))).collect::<Result<Vec<_>, _>>()?;
    let mut found = Vec::new();
    walk(top, 1, args.depth, &mut found).map_err(|e| Failure::new(format!("reading {}: {e}", dir.name)))?;
    let mut files = Vec::new();
    for path in found {
        let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let is = |r: &Regex| r.is_match(&name).unwrap_or(false);
        if matching.as_ref().is_some_and(|m| !is(m)) || ignored.iter().any(is) {
            continue;
        }
        let ending = path.extension().map_or_else(String::new, |e| e.to_string_lossy().into_owned());
        if !args.extensions.iter().any(|e| e.trim_start_matches('.') == ending) {
            if args.ignore_unknown_extensions || matching.is_some() {
                continue;
            }
            return Err(Failure::new(format!(
                "{} does not have a valid extension: {}",
                path.display(),
                args.extensions.join(", ")
            )));
        }
        files.push(Found { name: path.display().to_string(), content: Content::File(path) });
    }
    Ok(files)
}

fn walk(dir: &Path, depth: i64, most: i64, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(dir)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    entries.sort();
    for path in &entries {
        if path.is_file() {
            found.push(path.clone());
        }
    }
    for path in entries.into_iter().filter(|p| p.is_dir() && (most == 0 || depth < most)) {
        walk(&path, depth + 1, most, found)?;
    }
    Ok(())
}
