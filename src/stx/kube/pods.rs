//! `stx_pods`: whether nodes and pods are well, by a baseline: only what was well before counts.

use std::time::Duration;

use crate::action::host::{Act, Look};
use crate::action::module::{Failure, Module};
use crate::action::wait::{Sight, Wait, WaitError};
use crate::model::outcome::Outcome;
use crate::model::value::Value;
use crate::stx::advice::Advice;
use crate::stx::platform::{self, No};

use super::kubectl::{items, owner, ready, text};

crate::choices! {
    pub enum State { Baseline = "baseline", Well = "well" }
}

crate::arguments! {
    pub struct Args {
        /// `baseline` reads what is not well; `well` waits until nothing else is.
        state []: State = State::Well,
        /// The `unwell` that the baseline returned.
        baseline []: Vec<String> = Vec::new(),
        /// Seconds that pods may take to get ready.
        timeout []: u64 = 900u64,
    }
}

pub struct Pods;

impl Module for Pods {
    const NAMES: &'static [&'static str] = &["stx_pods"];
    const DOC: &'static str = "Waits until every node is ready and every pod runs and is ready, but for what was unwell before.\n\
        A pod is known by what made it, since its own name changes when it is replaced.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("unwell", "nodes and owners of pods that are not well now")];
    const EXAMPLE: &'static str = "- name: the pods are well\n  stx_pods:\n    baseline: \"{{ pods_before.unwell }}\"";
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let host = host.as_look();
        if args.state == State::Baseline {
            let unwell = platform::patiently(host, unwell)?;
            let msg =
                if unwell.is_empty() { "all are well".to_owned() } else { format!("not well: {}", unwell.join(", ")) };
            return Ok(Outcome::ok().msg(msg).with("unwell", unwell.iter().map(String::as_str).collect::<Value>()));
        }
        let wait = Wait::new("nodes and pods to be ready", Duration::from_secs(args.timeout));
        let seen = wait.usual(Duration::from_secs(60)).until(host, |host| {
            platform::sight(unwell(host), |unwell| {
                let new: Vec<&str> = unwell.iter().filter(|u| !args.baseline.contains(u)).map(String::as_str).collect();
                if new.is_empty() { Sight::Done(unwell) } else { Sight::NotYet(new.join(", ")) }
            })
        });
        let known = seen.map_err(|error| match error {
            error @ WaitError::Host(_) => Advice::after(error, |a| a),
            error => Advice::after(error, |a| {
                a.safe("what serves goes on serving; nothing more is taken out of service")
                    .next("`kubectl get nodes` and `kubectl get pods -A -o wide` (KUBECONFIG=/etc/kubernetes/admin.conf); put that \
                           right, then `stx-upgrade resume`")
            }),
        })?;
        let msg = match known.len() {
            0 => "nodes and pods are ready".to_owned(),
            _ => format!("nodes and pods are ready, but for what was not before: {}", known.join(", ")),
        };
        Ok(Outcome::ok().msg(msg).with("unwell", known.iter().map(String::as_str).collect::<Value>()))
    }
}

/// What is not well: `node worker-0`, `site-app/ReplicaSet frontend-6d8f9c7b5`.
fn unwell(host: &mut dyn Look) -> Result<Vec<String>, No> {
    let nodes = items(host, &["nodes"])?;
    let mut unwell: Vec<String> =
        nodes.iter().filter(|n| !ready(n)).map(|n| format!("node {}", text(n, "/metadata/name"))).collect();
    for pod in items(host, &["pods", "--all-namespaces"])? {
        let well = match text(&pod, "/status/phase") {
            "Succeeded" => true,
            "Running" => ready(&pod),
            _ => false,
        };
        if !well {
            let (kind, name) = owner(&pod);
            unwell.push(format!("{}/{kind} {name}", text(&pod, "/metadata/namespace")));
        }
    }
    unwell.sort();
    unwell.dedup();
    Ok(unwell)
}
