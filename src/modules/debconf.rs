//! `debconf`: answers to the questions that Debian's packages ask when they are set up, given beforehand.

use super::file_args::BeforeAfter;
use crate::action::command::{Command, Output};
use crate::action::host::{Act, Effect};
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::model::secret::{Mask, Secret};
use crate::model::value::{Dict, Value};
use crate::{arguments, choices};

choices! {
    pub enum Kind {
        Boolean = "boolean",
        Error = "error",
        MultiSelect = "multiselect",
        Note = "note",
        Password = "password",
        Seen = "seen",
        Select = "select",
        Text = "text",
        String = "string",
        Title = "title",
    }
}

arguments! {
    pub struct Args {
        /// The package.
        name ["pkg"]: String,
        /// The question; without one, all answers of the package are told.
        question ["selection", "setting"]: Option<String>,
        /// Kind of the answer.
        vtype []: Option<Kind>,
        /// The answer; several in a list for `multiselect`.
        value ["answer"]: Option<Value>,
        /// Let the package ask all the same.
        unseen []: bool = false,
    }
    rules [Together(&["question", "vtype", "value"])]
}

/// The module `debconf`.
pub struct Debconf;

impl Module for Debconf {
    const NAMES: &'static [&'static str] = &["debconf", "ansible.builtin.debconf", "ansible.legacy.debconf"];
    const DOC: &'static str =
        "Answers the questions that a package's setup asks. An answer of the kind `password` is not shown.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("current", "Questions with their answers now"), ("previous", "The question with its answer before")];
    const EXAMPLE: &'static str = "- debconf:\n    name: locales\n    question: locales/default_environment_locale\n    value: C.UTF-8\n    vtype: select\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let before = answers(host, &args.name)?;
        let (Some(question), Some(vtype), Some(value)) = (&args.question, args.vtype, &args.value) else {
            return Ok(Outcome::ok().with("msg", "").with("current", Value::dict(before)));
        };
        let there = before.get(question.as_str()).map(Value::to_string);
        let (text, same) = match value {
            Value::List(items) => {
                if vtype != Kind::MultiSelect {
                    return Err(Failure::new(format!(
                        "`value` may be a list for `multiselect` only, not for `{}`",
                        vtype.word()
                    )));
                }
                if let Some(odd) = items.iter().find(|i| !matches!(i, Value::Str(_))) {
                    return Err(Failure::new(format!(
                        "Invalid value provided for 'multiselect': each must be a text, and `{odd}` is {}",
                        odd.kind()
                    )));
                }
                let mut items: Vec<String> = items.iter().map(Value::to_string).collect();
                // The order is debconf's own: it is no difference.
                let sorted = there.as_deref().map(|old| {
                    items.sort();
                    let mut old: Vec<&str> = old.split(',').map(str::trim).collect();
                    old.sort_unstable();
                    old.iter().eq(items.iter())
                });
                (items.join(", "), sorted.unwrap_or(false))
            }
            Value::Dict(_) => return Err(Failure::new("`value` must be a text or a list, not a mapping")),
            one => {
                let text = one.to_string();
                match (vtype, &there) {
                    (Kind::Boolean, _) => {
                        let text = text.to_lowercase();
                        let same = there.as_ref().is_some_and(|old| old.to_lowercase() == text);
                        (text, same)
                    }
                    (Kind::Password, Some(_)) => {
                        let same = password(host, &args.name, question)?.is_some_and(|old| old == text);
                        (text, same)
                    }
                    (_, old) => {
                        let same = old.as_ref() == Some(&text);
                        (text, same)
                    }
                }
            }
        };
        if same {
            return Ok(Outcome::ok().with("msg", "").with("current", Value::dict(before)));
        }
        let line = format!("{} {question} {} {text}\n", args.name, vtype.word());
        let words = ["debconf-set-selections"].into_iter().chain(args.unseen.then_some("-u"));
        let then = Effect::Suppose(fact(&args.name, question), text.as_str().into());
        let output = good(host.run_expecting(&debconf(words).stdin(line), &[then])?)?;
        let one = |answer: &str| Value::dict(crate::dict! {question.as_str() => answer});
        let mut change = BeforeAfter::default();
        change.note(question, there.as_deref().unwrap_or_default(), text.as_str());
        // Of a question that is new, all that was there before is told.
        let previous = there.as_deref().map(one).unwrap_or_else(|| {
            let mut all = before;
            all.insert(question.as_str().into(), "".into());
            Value::dict(all)
        });
        let outcome = Outcome::changed(true)
            .with("msg", output.text())
            .with("current", one(&text))
            .with("previous", previous)
            .diff(change.whole(""));
        let mask = Mask::default();
        if vtype == Kind::Password {
            mask.learn(&Secret::new(text));
        }
        Ok(outcome.masked(&mask))
    }
}

fn debconf<'a>(words: impl IntoIterator<Item = &'a str>) -> Command {
    Command::new(words).env("LC_ALL", "C.UTF-8").env("DEBIAN_FRONTEND", "noninteractive")
}

fn good(output: Output) -> Result<Output, Failure> {
    if output.success() { Ok(output) } else { Err(Failure::new(output.error_text().trim())) }
}

fn fact(package: &str, question: &str) -> String {
    format!("debconf/{package}/{question}")
}

/// The package's questions with their answers.
fn answers(host: &mut dyn Act, package: &str) -> Result<Dict, Failure> {
    let output = good(host.query(&debconf(["debconf-show", package]))?)?;
    let mut found = Dict::new();
    for (question, answer) in output.text().lines().filter_map(|l| l.split_once(':')) {
        let question = question.trim_matches(|c: char| c == '*' || c.is_whitespace());
        let answer = host.supposed(&fact(package, question)).unwrap_or_else(|| answer.trim().into());
        found.insert(question.into(), answer);
    }
    Ok(found)
}

/// The answer that `debconf-show` does not tell.
fn password(host: &mut dyn Act, package: &str, question: &str) -> Result<Option<String>, Failure> {
    if let Some(supposed) = host.supposed(&fact(package, question)) {
        return Ok(Some(supposed.to_string()));
    }
    let output = host.query(&debconf(["debconf-get-selections"]))?;
    if !output.success() {
        let said = output.error_text();
        return Err(Failure::new(format!("Failed to get the value '{question}' from '{package}': {said}")));
    }
    let text = output.text();
    let mut lines = text.lines().map(|l| l.split('\t').collect::<Vec<_>>());
    let line = lines
        .find(|f| f.first().is_some_and(|p| p.starts_with(package)) && f[1..].starts_with(&[question, "password"]));
    Ok(line.map(|f| f.get(3).copied().unwrap_or_default().to_owned()))
}
