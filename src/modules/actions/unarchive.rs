//! `unarchive`: offers an archive of the control node to the module of the same name on the host.

use crate::action::engine_side::{Action, Content, Context};
use crate::action::module::{Failure, Module};
use crate::dict;
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Value};
use crate::modules::unarchive;

pub struct Unarchive;

crate::arguments! {
    pub struct Args {
        /// Whether a vault file is decrypted on its way.
        decrypt []: bool = true,
        /// Copy the archive from the control node; the old form of `remote_src`, its opposite.
        copy []: Option<bool>,
        ..file: unarchive::Args,
    }
    rules [Exclusive(&["copy", "remote_src"]), Exclusive(&["include", "exclude"])]
}

impl Action for Unarchive {
    const NAMES: &'static [&'static str] = <unarchive::Unarchive as Module>::NAMES;
    const DOC: &'static str = <unarchive::Unarchive as Module>::DOC;
    const RETURNS: &'static [(&'static str, &'static str)] = <unarchive::Unarchive as Module>::RETURNS;
    const EXAMPLE: &'static str = <unarchive::Unarchive as Module>::EXAMPLE;
    type Args = Args;

    async fn run(args: Args, _: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        let mut call = ctx.args().clone();
        call.shift_remove("decrypt");
        call.shift_remove("copy");
        let on_the_host = args.copy.map_or(args.file.remote_src, |copy| !copy);
        call.insert("remote_src".into(), on_the_host.into());
        let src = args.file.src.to_string_lossy().into_owned();
        if on_the_host {
            return ctx.call("unarchive", call).await;
        }
        if src.contains("://") {
            let named = crate::http::credentials::without_password(&src);
            return Err(Failure::new(format!("{named}: an address is fetched by the host, with `remote_src: true`")));
        }
        if let Some(creates) = &args.file.creates {
            // Asked first: the archive need not be here then.
            let path = creates.display().to_string();
            let seen = ctx.call("stat", dict! {"path" => path.as_str(), "get_checksum" => false}).await?;
            if seen.is_failed() {
                return Ok(seen);
            }
            if seen.data.get("stat").and_then(|s| s.get("exists")).and_then(Value::as_bool) == Some(true) {
                return Ok(Outcome::skipped(format!("skipped, since {path} exists")));
            }
        }
        let found = ctx.find("files", &src)?;
        let content = match args.decrypt && ctx.is_vault(&found) {
            true => Content::Bytes(ctx.read(&found, true)?.into()),
            false => found.content,
        };
        call.insert("_blob".into(), ctx.offer(content)?.into());
        call.insert("src".into(), found.name.into());
        ctx.call("unarchive", call).await
    }
}
