//! `uri`: offers files of the control node that are to be sent, and has the host ask.

use crate::action::engine_side::{Action, Context};
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Value};
use crate::modules::uri;

pub struct Uri;

impl Action for Uri {
    const NAMES: &'static [&'static str] = <uri::Uri as Module>::NAMES;
    const DOC: &'static str = <uri::Uri as Module>::DOC;
    const RETURNS: &'static [(&'static str, &'static str)] = <uri::Uri as Module>::RETURNS;
    const EXAMPLE: &'static str = <uri::Uri as Module>::EXAMPLE;
    type Args = uri::Args;

    async fn run(args: uri::Args, _: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        let mut call = ctx.args().clone();
        if !args.remote_src {
            if let Some(src) = &args.src {
                let found = ctx.find("files", &src.to_string_lossy())?;
                call.insert("_blob".into(), ctx.offer(found.content)?.into());
            }
            if let (uri::Format::Multipart, Some(Value::Dict(fields))) = (args.body_format, &args.body) {
                let mut blobs = Dict::new();
                for field in fields.values() {
                    if let (Some(file), None) = (field.get("filename"), field.get("content")) {
                        let found = ctx.find("files", &file.to_string())?;
                        blobs.insert(file.to_string().into(), ctx.offer(found.content)?.into());
                    }
                }
                call.insert("_blobs".into(), Value::dict(blobs));
            }
        }
        ctx.call("uri", call).await
    }
}
