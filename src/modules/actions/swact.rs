//! `stx_swact`: the services moved to the other controller, and the floating address followed there.

use std::time::{Duration, Instant};

use crate::action::engine_side::{Action, Context};
use crate::action::module::Failure;
use crate::dict;
use crate::model::event;
use crate::model::outcome::{Outcome, Status};
use crate::model::value::{Dict, Value};

pub struct StxSwact;

crate::arguments! {
    pub struct Args {
        /// The controller that is to be active.
        active []: String,
        /// Seconds until the platform must answer on it.
        timeout []: u64 = 900u64,
    }
}

impl Action for StxSwact {
    const NAMES: &'static [&'static str] = &["stx_swact"];
    const DOC: &'static str = "Makes a controller the active one (`system host-swact`) and follows the floating address to it.\n\
        The address answers with the other controller's host key then. Both controllers' keys are read before, over the management \
        network and a link that is trusted, and only those are taken. At the end the platform must say, on the new link, that this \
        controller is active.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("active", "the active controller"), ("elapsed", "seconds it took")];
    const EXAMPLE: &'static str = "- name: controller-1 takes over\n  stx_swact:\n    active: controller-1";
    type Args = Args;

    async fn run(args: Args, _: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        let start = Instant::now();
        let swact = |asked: i64| dict! {"active" => args.active.as_str(), "timeout" => args.timeout, "_asked" => asked};
        if ctx.check() {
            return ctx.call("stx_host_swact", swact(0)).await;
        }
        let keys = trust_both(ctx).await?;
        if keys.status != Status::Ok {
            return Ok(keys);
        }
        let mut changed = false;
        let mut asked = 0;
        let outcome = loop {
            let mut outcome = ctx.call("stx_host_swact", swact(asked)).await?;
            changed |= outcome.changed;
            // Not whether it counts as changed: what is run again after a crash always does.
            let left = outcome.data.shift_remove("_left").is_some_and(|left| left == Value::Bool(true));
            let before = asked;
            asked = outcome.data.shift_remove("_asked").and_then(|a| a.as_int()).unwrap_or(asked + 1);
            if outcome.status != Status::Ok || !(left || asked > before) {
                break outcome;
            }
            // It ended where it began: on the controller that gave up the services, or with the link. What counts is what is found
            // on the address from now on: services that could not start on the other controller come back.
            if let Some(nobody) = answered_anew(&args, start, ctx).await? {
                return Ok(nobody);
            }
        };
        if outcome.status != Status::Ok {
            return Ok(outcome);
        }
        Ok(Outcome { changed, ..outcome }.with("elapsed", start.elapsed().as_secs()))
    }
}

/// Connects to the floating address anew; what to say if nobody answers there in time.
async fn answered_anew(args: &Args, start: Instant, ctx: &mut dyn Context) -> Result<Option<Outcome>, Failure> {
    loop {
        let Err(failure) = ctx.reconnect(false).await else { return Ok(None) };
        let elapsed = start.elapsed();
        if elapsed > Duration::from_secs(args.timeout) {
            return Ok(Some(Outcome::failed(format!("nobody answers at the floating address: {failure}"))));
        }
        ctx.heartbeat(event::Wait {
            reason: format!("{} at the floating address", args.active),
            elapsed: elapsed.as_millis() as u64,
            usual: Some(60_000),
            budget: args.timeout * 1000,
            seen: failure.to_string(),
        });
        ctx.sleep(Duration::from_secs(1)).await?;
    }
}

/// Reads the keys of both controllers on the link that is trusted, and trusts them at the floating address for this run.
async fn trust_both(ctx: &mut dyn Context) -> Result<Outcome, Failure> {
    let keys = ctx.call("stx_controller_keys", Dict::new()).await?;
    // A check run keeps nothing, and needs nothing to be kept: it moves no address.
    if keys.status == Status::Ok && !ctx.check() {
        let list = keys.data.get("keys").and_then(Value::as_list).unwrap_or_default();
        ctx.trust_keys(&list.iter().map(Value::to_string).collect::<Vec<_>>())?;
    }
    Ok(keys)
}

/// Knows both controllers before anything happens to one.
pub struct StxFollow;

crate::arguments! {
    pub struct FollowArgs {}
}

impl Action for StxFollow {
    const NAMES: &'static [&'static str] = &["stx_follow"];
    const DOC: &'static str = "Trusts the host keys of both controllers at the floating address, for this run.\n\
        When the active controller fails, the other one answers there, with its own key: a run that knows it goes on, and sees what \
        became of the system. The keys are read over the management network, on a link that is trusted.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("keys", "type and key of each, without a host's name")];
    const EXAMPLE: &'static str = "- name: either controller may answer\n  stx_follow:";
    const MAY_CHANGE: bool = false;
    const ONLY_LOOKS: bool = true;
    type Args = FollowArgs;

    async fn run(_: FollowArgs, _: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        let keys = trust_both(ctx).await?;
        if keys.status != Status::Ok {
            // No reason to stop: the other controller may be on its way up, and nothing depends on it yet.
            let mut outcome = Outcome::ok().msg("a failover would not be followed");
            outcome.warnings.push(format!("a failover would not be followed: {}", keys.msg));
            return Ok(outcome);
        }
        if !ctx.check() {
            // A link is attached again by the keys that it was made with.
            ctx.reconnect(false).await?;
        }
        Ok(keys)
    }
}
