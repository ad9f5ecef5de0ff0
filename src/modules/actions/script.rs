//! `script`: finds a script on the control node and hands it to the module of the same name on the host.

use crate::action::engine_side::{Action, Content, Context};
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::model::value::Dict;
use crate::modules::script;

pub struct Script;

crate::arguments! {
    pub struct Args {
        /// Whether a vault file is decrypted on its way.
        decrypt []: bool = true,
        ..script: script::Args,
    }
}

impl Action for Script {
    const NAMES: &'static [&'static str] = <script::Script as Module>::NAMES;
    const DOC: &'static str = <script::Script as Module>::DOC;
    const RETURNS: &'static [(&'static str, &'static str)] = <script::Script as Module>::RETURNS;
    const EXAMPLE: &'static str = <script::Script as Module>::EXAMPLE;
    const FREE_FORM: Option<&'static str> = <script::Script as Module>::FREE_FORM;
    type Args = Args;

    async fn run(args: Args, _: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        let mut call = ctx.args().clone();
        call.shift_remove("decrypt");
        let line = args.script.cmd.unwrap_or_default();
        let (name, rest) = first_word(&line);
        if name.is_empty() {
            return Err(Failure::new(
                "one of the following is required: free text or the parameter `cmd`, with the name of a script of this machine",
            ));
        }
        let found = ctx.find("files", &name)?;
        let content = match args.decrypt && ctx.is_vault(&found) {
            true => Content::Bytes(ctx.read(&found, true)?.into()),
            false => found.content,
        };
        call.insert("_blob".into(), ctx.offer(content)?.into());
        call.insert("_name".into(), name.rsplit('/').next().unwrap_or_default().into());
        call.insert("_arguments".into(), rest.into());
        ctx.call("script", call).await
    }
}

/// The first word of a line as a shell reads it, with `~` of this machine's user put in, and the text after it.
fn first_word(line: &str) -> (String, &str) {
    let line = line.trim_start();
    let (mut word, mut quote, mut end) = (String::new(), None, line.len());
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        match (c, quote) {
            (c, Some(q)) if c == q => quote = None,
            ('\'' | '"', None) => quote = Some(c),
            ('\\', None | Some('"')) => word.extend(chars.next().map(|(_, c)| c)),
            (c, None) if c.is_whitespace() => {
                end = at;
                break;
            }
            (c, _) => word.push(c),
        }
    }
    if let Some(rest) = word.strip_prefix("~/")
        && let Some(home) = std::env::var("HOME").ok().filter(|h| !h.is_empty())
    {
        word = format!("{}/{rest}", home.trim_end_matches('/'));
    }
    (word, line[end..].trim())
}

#[cfg(test)]
mod tests {
    use super::first_word;

    #[test]
    fn the_script_and_its_arguments() {
        assert_eq!(first_word(" x.sh  a 'b c' "), ("x.sh".into(), "a 'b c'"));
        assert_eq!(first_word("\"with space.sh\" -v"), ("with space.sh".into(), "-v"));
        assert_eq!(first_word(r"with\ space.sh"), ("with space.sh".into(), ""));
        assert_eq!(first_word(""), (String::new(), ""));
    }
}
