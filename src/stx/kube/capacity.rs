//! `stx_worker_capacity`: how many workers may be out of service at once, by the room that their pods would need elsewhere.

use serde_json::Value as Json;

use crate::action::host::Act;
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::stx::platform;

use super::kubectl::{items, owner, ready, text};

crate::arguments! {
    pub struct Args {
        /// The workers that are to be taken out of service, some at a time.
        hosts []: Vec<String>,
        /// Never more than so many.
        most []: u64 = 10u64,
    }
}

pub struct WorkerCapacity;

impl Module for WorkerCapacity {
    const NAMES: &'static [&'static str] = &["stx_worker_capacity"];
    const DOC: &'static str = "Tells how many workers may be out of service at once.\n\
        What all pods ask for (their number, CPU, memory; those of daemon sets aside, which do not move) must fit on the nodes that are \
        left, whichever of the workers are gone. At least one: whether even that is too many, the platform says when it is locked.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("at_once", "how many at once"), ("limit", "what does not allow more: pods, cpu, memory or most")];
    const EXAMPLE: &'static str =
        "- name: workers at once\n  stx_worker_capacity:\n    hosts: \"{{ kube.workers_left }}\"";
    const ONLY_LOOKS: bool = true;
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let host = host.as_look();
        let nodes = platform::patiently(host, |h| items(h, &["nodes"]))?;
        let pods = platform::patiently(host, |h| items(h, &["pods", "--all-namespaces"]))?;
        let (at_once, limit) = judge(&args, &nodes, &pods);
        let of = args.hosts.len();
        Ok(Outcome::ok()
            .msg(format!("{at_once} of {of} at once ({limit})"))
            .with("at_once", at_once)
            .with("limit", limit))
    }
}

/// What a pod asks for of something that nodes have to give.
type Asks = fn(&Json) -> f64;

/// What is counted.
const RESOURCES: [(&str, Asks); 3] =
    [("pods", |_| 1.0), ("cpu", |pod| requests(pod, "cpu")), ("memory", |pod| requests(pod, "memory"))];

fn judge(args: &Args, nodes: &[Json], pods: &[Json]) -> (u64, &'static str) {
    let nodes: Vec<&Json> = nodes.iter().filter(|n| takes_pods(n)).collect();
    let name = |node: &Json| text(node, "/metadata/name").to_owned();
    let bound = |pod: &Json| matches!(owner(pod).0, "DaemonSet" | "Node");
    let ended = |pod: &Json| matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
    let most = args.most.min(args.hosts.len() as u64).max(1);
    let (mut at_once, mut limit) = (most, "most");
    for (resource, asks) in RESOURCES {
        let mut room: Vec<(f64, bool)> = Vec::new();
        let mut needed = 0.0;
        for node in &nodes {
            let Some(all) = node.pointer(&format!("/status/allocatable/{resource}")) else { continue };
            let here = pods.iter().filter(|p| text(p, "/spec/nodeName") == name(node) && !ended(p));
            let (stay, go): (Vec<&Json>, Vec<&Json>) = here.partition(|p| bound(p));
            let free = quantity(all) - stay.iter().map(|p| asks(p)).sum::<f64>();
            room.push((free, args.hosts.contains(&name(node))));
            needed += go.iter().map(|p| asks(p)).sum::<f64>();
        }
        if room.is_empty() {
            continue;
        }
        // Pods that wait for a place need one as well.
        needed += pods.iter().filter(|p| text(p, "/spec/nodeName").is_empty() && !ended(p)).map(asks).sum::<f64>();
        let mut total: f64 = room.iter().map(|(free, _)| free).sum();
        let mut ours: Vec<f64> = room.iter().filter(|(_, ours)| *ours).map(|(free, _)| *free).collect();
        ours.sort_by(|a, b| b.total_cmp(a));
        let mut fit = 0;
        for gone in ours {
            total -= gone;
            // A little is lost to rounding of quantities.
            if total + 1e-6 < needed {
                break;
            }
            fit += 1;
        }
        if fit.max(1) < at_once {
            (at_once, limit) = (fit.max(1), resource);
        }
    }
    (at_once, limit)
}

/// Whether ordinary pods are put on a node.
fn takes_pods(node: &Json) -> bool {
    let taints = node.pointer("/spec/taints").and_then(Json::as_array);
    let keeps_off = |taint: &Json| matches!(text(taint, "/effect"), "NoSchedule" | "NoExecute");
    ready(node) && !taints.into_iter().flatten().any(keeps_off)
}

fn requests(pod: &Json, resource: &str) -> f64 {
    let containers = pod.pointer("/spec/containers").and_then(Json::as_array);
    let asked = containers.into_iter().flatten().filter_map(|c| c.pointer(&format!("/resources/requests/{resource}")));
    asked.map(quantity).sum()
}

/// A Kubernetes quantity: `110`, `250m`, `1.5`, `512Mi`, `1e9`.
fn quantity(value: &Json) -> f64 {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let (number, factor) = match text.find(|c: char| c.is_ascii_alphabetic() && c != 'e') {
        Some(at) => (&text[..at], &text[at..]),
        None => (text.as_str(), ""),
    };
    let factor = match factor {
        "m" => 1e-3,
        "k" | "K" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => 1.0,
    };
    number.parse::<f64>().unwrap_or(0.0) * factor
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(name: &str, allocatable: Json) -> Json {
        json!({"metadata": {"name": name}, "status": {"allocatable": allocatable, "conditions": [{"type": "Ready", "status": "True"}]}})
    }

    fn pod(node: &str, owner: &str, cpu: &str) -> Json {
        json!({
            "metadata": {"name": "p", "ownerReferences": [{"kind": owner, "name": "x"}]}, "status": {"phase": "Running"},
            "spec": {"nodeName": node, "containers": [{"resources": {"requests": {"cpu": cpu}}}]},
        })
    }

    fn at_once(most: u64, nodes: &[Json], pods: &[Json]) -> (u64, &'static str) {
        let hosts = nodes.iter().map(|n| text(n, "/metadata/name").to_owned()).collect();
        judge(&Args { hosts, most }, nodes, pods)
    }

    #[test]
    fn as_many_as_leave_room_for_all() {
        let nodes: Vec<Json> = (0..4).map(|n| node(&format!("w{n}"), json!({"pods": "5", "cpu": "2"}))).collect();
        let mut pods = Vec::new();
        for n in 0..4 {
            // One of five stays with its node: four places, two of them taken.
            pods.extend([pod(&format!("w{n}"), "DaemonSet", "0"), pod(&format!("w{n}"), "ReplicaSet", "100m")]);
            pods.push(pod(&format!("w{n}"), "ReplicaSet", "100m"));
        }
        assert_eq!(at_once(10, &nodes, &pods), (2, "pods"));
        assert_eq!(at_once(1, &nodes, &pods), (1, "most"));
        // What nodes do not tell does not count.
        let silent: Vec<Json> = (0..4).map(|n| node(&format!("w{n}"), json!({"pods": "5"}))).collect();
        assert_eq!(at_once(10, &silent, &pods), (2, "pods"));
        // The same pods want more CPU: of 8, 6.4 are asked for.
        let hungry: Vec<Json> = pods.iter().map(|p| pod(text(p, "/spec/nodeName"), owner(p).0, "800m")).collect();
        assert_eq!(at_once(10, &nodes, &hungry), (1, "cpu"));
    }

    #[test]
    fn quantities() {
        for (text, number) in [("110", 110.0), ("250m", 0.25), ("1.5", 1.5), ("2Ki", 2048.0), ("1e3", 1000.0)] {
            assert_eq!(quantity(&json!(text)), number, "{text}");
        }
        assert_eq!(quantity(&json!(4)), 4.0);
    }
}
