//! `template`: a file rendered here and put in place there.

use crate::action::engine_side::{Action, Context};
use crate::action::module::Failure;
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Value};
use crate::modules::copy;
use crate::modules::file_args::Mode;
use crate::vars::template_vars;

pub struct Template;

crate::arguments! {
    // Options of rendering go on as they were given.
    #[allow(dead_code)]
    pub struct Args {
        /// What begins a variable.
        variable_start_string []: Option<String>,
        /// What ends a variable.
        variable_end_string []: Option<String>,
        /// What begins a statement.
        block_start_string []: Option<String>,
        /// What ends a statement.
        block_end_string []: Option<String>,
        /// What begins a comment.
        comment_start_string []: Option<String>,
        /// What ends a comment.
        comment_end_string []: Option<String>,
        /// Whether the line end behind a statement is dropped.
        trim_blocks []: bool = true,
        /// Whether blanks before a statement at the start of a line are dropped.
        lstrip_blocks []: bool = false,
        /// Line ends to write: `\n`, `\r\n` or `\r`.
        newline_sequence []: Option<String>,
        /// The text's encoding; UTF-8 only.
        output_encoding []: Option<String>,
        ..file: copy::Args,
    }
}

/// Parameters of rendering; the rest is `copy`'s.
const OWN: &[&str] = &[
    "variable_start_string",
    "variable_end_string",
    "block_start_string",
    "block_end_string",
    "comment_start_string",
    "comment_end_string",
    "trim_blocks",
    "lstrip_blocks",
    "newline_sequence",
    "output_encoding",
];

impl Action for Template {
    const NAMES: &'static [&'static str] = &["template", "ansible.builtin.template", "ansible.legacy.template"];
    const DOC: &'static str = "Renders a Jinja template of the control node and puts it in place on the host.";
    const RETURNS: &'static [(&'static str, &'static str)] = <copy::Copy as crate::action::module::Module>::RETURNS;
    const EXAMPLE: &'static str = "- template:\n    src: ntp.conf.j2\n    dest: /etc/ntp.conf\n    mode: '0644'\n";
    type Args = Args;

    async fn run(args: Args, _: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        if args.output_encoding.as_deref().is_some_and(|e| !matches!(e.to_lowercase().as_str(), "utf-8" | "utf8")) {
            return Err(Failure::new("output_encoding: only utf-8 is supported"));
        }
        let Some(src) = &args.file.src else { return Err(Failure::new("template needs the parameter `src`")) };
        let found = ctx.find("templates", &src.to_string_lossy())?;
        let text = String::from_utf8(ctx.read(&found, true)?)
            .map_err(|_| Failure::new(format!("{} is not UTF-8 text", found.name)))?;
        let given = ctx.args().clone();
        let (own, mut call): (Dict, Dict) =
            given.into_iter().partition(|(k, _)| OWN.iter().any(|o| k.as_str() == Some(o)));
        let full = super::copy::full(&found);
        let dest = args.file.dest.display().to_string();
        let vars = template_vars::of(full.as_ref(), Some(&dest));
        let rendered = ctx.render_text(&found.name, &text, &own, &vars)?;
        let base = src.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        call.insert("_original_basename".into(), base.into());
        call.insert("src".into(), full.as_str().into());
        match args.file.file.mode {
            Some(Mode::Preserve) => {
                call.insert("_source_mode".into(), super::copy::mode_of(full.as_ref())?.into());
            }
            Some(_) => {}
            None => {
                call.shift_remove("mode");
            }
        }
        super::copy::send(&mut call, rendered.into_bytes(), ctx)?;
        let outcome = ctx.call("copy", call).await?;
        Ok(outcome.with("src", Value::str(full)))
    }
}
