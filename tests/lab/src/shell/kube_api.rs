//! The Kubernetes API, as far as `kubectl` needs it to look at nodes and pods, and to cordon, uncordon, taint and drain.

use crate::system::pods::CAPACITY;
use crate::system::{Host, Pod, System, clock, stamp};
use serde_json::{Value, json};

/// A request, without its body.
pub struct Request<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub query: &'a str,
    /// The client wants a table to print.
    pub table: bool,
}

/// Status and body of the answer.
pub fn answer(system: &mut System, request: &Request<'_>, body: &str) -> (u16, String) {
    let parts: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    let (status, value) = match (request.method, parts.as_slice()) {
        (_, ["readyz" | "livez" | "healthz", ..]) => return (200, "ok".into()),
        ("GET", ["version"]) => (200, version(system)),
        ("GET", discovery @ (["api"] | ["apis"] | ["api", "v1"] | ["apis", _, "v1"])) => discover(discovery),
        (method, ["api", "v1", "nodes", rest @ ..]) => nodes(system, request, method, rest, body),
        ("GET", ["api", "v1", "namespaces"]) => {
            let names = ["cert-manager", "default", "kube-system", "site-app"];
            let items: Vec<Value> =
                names.iter().map(|n| json!({ "metadata": { "name": n }, "status": { "phase": "Active" } })).collect();
            (200, list("Namespace", "v1", &items))
        }
        ("GET", ["api", "v1", "pods"]) => listed(request, "Pod", pods(system), POD_COLUMNS, pod_cells),
        (method, ["api", "v1", "namespaces", namespace, "pods", rest @ ..]) => {
            namespaced(system, request, method, namespace, rest)
        }
        ("GET", ["apis", "apps", "v1", .., "daemonsets", name]) if DAEMONS.contains(name) => (
            200,
            json!({ "kind": "DaemonSet", "apiVersion": "apps/v1", "metadata": { "name": name, "namespace": "kube-system" } }),
        ),
        ("GET", ["apis", "policy", "v1", ..]) => (200, list("PodDisruptionBudget", "policy/v1", &budgets())),
        _ => missing(request.path),
    };
    (status, value.to_string())
}

fn missing(what: &str) -> (u16, Value) {
    failure(404, "NotFound", &format!("{what:?} not found"))
}

fn failure(status: u16, reason: &str, message: &str) -> (u16, Value) {
    let value = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "code": status,
    });
    (status, value)
}

fn list(kind: &str, version: &str, items: &[Value]) -> Value {
    json!({
        "kind": format!("{kind}List"), "apiVersion": version, "metadata": { "resourceVersion": "1" }, "items": items,
    })
}

fn version(system: &System) -> Value {
    let lowest = system.hosts.iter().filter_map(|h| h.kube.control_plane.clone()).min().unwrap_or_default();
    let mut numbers = lowest.trim_start_matches('v').split('.');
    json!({
        "major": numbers.next(), "minor": numbers.next(), "gitVersion": lowest, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "2021-01-01T00:00:00Z", "goVersion": "go1.15", "compiler": "gc", "platform": "linux/amd64",
    })
}

fn discover(path: &[&str]) -> (u16, Value) {
    let group = |name: &str| {
        let version = json!({ "groupVersion": format!("{name}/v1"), "version": "v1" });
        json!({ "name": name, "versions": [version.clone()], "preferredVersion": version })
    };
    let resource = |name: &str, singular: &str, kind: &str, namespaced: bool, verbs: &[&str], short: &[&str]| {
        json!({
            "name": name, "singularName": singular, "namespaced": namespaced, "kind": kind, "verbs": verbs, "shortNames": short,
        })
    };
    let read = ["get", "list"];
    let resources = match path {
        ["api"] => {
            return (
                200,
                json!({
                    "kind": "APIVersions", "versions": ["v1"],
                    "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": "192.168.206.1:6443" }],
                }),
            );
        }
        ["apis"] => {
            return (
                200,
                json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [group("apps"), group("policy")] }),
            );
        }
        ["api", "v1"] => {
            let mut eviction = resource("pods/eviction", "", "Eviction", true, &["create"], &[]);
            eviction["group"] = json!("policy");
            eviction["version"] = json!("v1");
            vec![
                resource("namespaces", "namespace", "Namespace", false, &read, &["ns"]),
                resource("nodes", "node", "Node", false, &["get", "list", "patch"], &["no"]),
                resource("pods", "pod", "Pod", true, &["get", "list", "delete"], &["po"]),
                eviction,
            ]
        }
        ["apis", "apps", _] => vec![resource("daemonsets", "daemonset", "DaemonSet", true, &["get"], &["ds"])],
        ["apis", "policy", _] => {
            vec![resource("poddisruptionbudgets", "poddisruptionbudget", "PodDisruptionBudget", true, &read, &["pdb"])]
        }
        _ => return missing(&path.join("/")),
    };
    let version = if path[0] == "api" { "v1".to_string() } else { format!("{}/v1", path[1]) };
    (200, json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources }))
}

fn budgets() -> Vec<Value> {
    ["frontend", "backend"]
        .iter()
        .map(|app| {
            json!({
                "metadata": { "name": app, "namespace": "site-app" },
                "spec": { "maxUnavailable": 1, "selector": { "matchLabels": { "app": app } } },
            })
        })
        .collect()
}

const NODE_COLUMNS: &[&str] = &["Name", "Status", "Roles", "Age", "Version"];
const POD_COLUMNS: &[&str] = &["Name", "Ready", "Status", "Restarts", "Age", "IP", "Node"];

/// A list as the client wants it: objects or a table.
fn listed(
    request: &Request<'_>,
    kind: &str,
    items: Vec<Value>,
    columns: &[&str],
    cells: fn(&Value) -> Vec<String>,
) -> (u16, Value) {
    let query = request.query.replace("%3D", "=").replace("%2C", ",").replace("%2F", "/");
    let wanted = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)).unwrap_or("").to_string();
    let (labels, fields) = (wanted("labelSelector="), wanted("fieldSelector="));
    let matches = |item: &Value| {
        labels.split(',').filter(|s| !s.is_empty()).all(|selector| match selector.split_once('=') {
            Some((key, value)) => item["metadata"]["labels"][key] == json!(value.trim_start_matches('=')),
            None => !item["metadata"]["labels"][selector].is_null(),
        }) && fields.split(',').filter(|s| !s.is_empty()).all(|selector| {
            selector.split_once('=').is_none_or(|(key, value)| {
                let at = key.split('.').fold(item, |at, part| &at[part]);
                at.as_str().unwrap_or("") == value.trim_start_matches('=')
            })
        })
    };
    let items: Vec<Value> = items.into_iter().filter(|item| matches(item)).collect();
    (200, if request.table { table(&items, columns, cells) } else { list(kind, "v1", &items) })
}

fn table(items: &[Value], columns: &[&str], cells: fn(&Value) -> Vec<String>) -> Value {
    let columns: Vec<Value> = columns
        .iter()
        .map(|name| {
            let wide = matches!(*name, "IP" | "Node");
            json!({
                "name": name, "type": "string", "format": if *name == "Name" { "name" } else { "" }, "description": "",
                "priority": i32::from(wide),
            })
        })
        .collect();
    let rows: Vec<Value> = items
        .iter()
        .map(|item| {
            json!({
                "cells": cells(item),
                "object": { "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": item["metadata"] },
            })
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": { "resourceVersion": "1" },
        "columnDefinitions": columns, "rows": rows,
    })
}

fn one(request: &Request<'_>, item: Value, columns: &[&str], cells: fn(&Value) -> Vec<String>) -> (u16, Value) {
    (200, if request.table { table(&[item], columns, cells) } else { item })
}

fn nodes(system: &mut System, request: &Request<'_>, method: &str, rest: &[&str], body: &str) -> (u16, Value) {
    let [name] = rest else {
        let items =
            (0..system.hosts.len()).filter(|at| system.hosts[*at].is_node()).map(|at| node(system, at)).collect();
        return listed(request, "Node", items, NODE_COLUMNS, node_cells);
    };
    let Some(at) = system.hosts.iter().position(|h| h.hostname == *name && h.is_node()) else {
        return failure(404, "NotFound", &format!("nodes {name:?} not found"));
    };
    if method == "PATCH" {
        let Ok(patch) = serde_json::from_str::<Value>(body) else {
            return failure(400, "BadRequest", "the patch is not JSON");
        };
        let Some(spec) = patch["spec"].as_object() else {
            return failure(422, "Invalid", "this lab changes only a node's spec");
        };
        if let Some(unschedulable) = spec.get("unschedulable") {
            system.cordon(at, unschedulable == &json!(true));
        }
        if let Some(taints) = spec.get("taints") {
            let own = own_taints(system, at);
            let given = taints.as_array().cloned().unwrap_or_default();
            system.taint(at, given.into_iter().filter(|t| !own.contains(t)).collect());
        }
    } else if method != "GET" {
        return failure(405, "MethodNotAllowed", "this lab's nodes come and go with its hosts");
    }
    one(request, node(system, at), NODE_COLUMNS, node_cells)
}

/// Taints that follow from the host's state.
fn own_taints(system: &System, at: usize) -> Vec<Value> {
    let host = &system.hosts[at];
    let mut taints = Vec::new();
    if host.personality == "controller" && !host.runs_workloads() {
        taints.push(json!({ "key": "node-role.kubernetes.io/master", "effect": "NoSchedule" }));
    }
    if host.administrative == "locked" && host.runs_workloads() {
        taints.push(json!({ "key": "services", "value": "disabled", "effect": "NoExecute" }));
    }
    if !system.node_ready(at) {
        taints.push(json!({ "key": "node.kubernetes.io/unreachable", "effect": "NoExecute" }));
    }
    if host.kube.cordoned {
        taints.push(json!({ "key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule" }));
    }
    taints
}

fn node(system: &System, at: usize) -> Value {
    let host = &system.hosts[at];
    let mut labels = json!({ "kubernetes.io/hostname": host.hostname, "kubernetes.io/os": "linux" });
    if host.personality == "controller" {
        labels["node-role.kubernetes.io/master"] = json!("");
    }
    let mut spec = json!({ "podCIDR": format!("172.16.{}.0/24", host.id) });
    // Places for the site's own pods, besides those of the platform, which every node runs.
    let statics = if host.kube.control_plane.is_some() { STATIC_PODS.len() } else { 0 };
    let room = CAPACITY + DAEMONS.len() + statics;
    let taints: Vec<Value> = own_taints(system, at).into_iter().chain(host.kube.taints.clone()).collect();
    if !taints.is_empty() {
        spec["taints"] = json!(taints);
    }
    if host.kube.cordoned {
        spec["unschedulable"] = json!(true);
    }
    json!({
        "kind": "Node", "apiVersion": "v1",
        "metadata": {
            "name": host.hostname, "uid": host.uuid, "labels": labels, "creationTimestamp": seconds(&host.created_at),
            "resourceVersion": "1",
        },
        "spec": spec,
        "status": {
            "conditions": [{
                "type": "Ready", "status": if system.node_ready(at) { "True" } else { "Unknown" }, "reason": "KubeletReady",
            }],
            "addresses": [
                { "type": "InternalIP", "address": format!("192.168.206.{}", host.id + 1) },
                { "type": "Hostname", "address": host.hostname },
            ],
            "capacity": { "pods": room.to_string() }, "allocatable": { "pods": room.to_string() },
            "nodeInfo": {
                "kubeletVersion": host.kube.kubelet, "kubeProxyVersion": host.kube.kubelet, "osImage": "Debian GNU/Linux",
                "kernelVersion": "5.10.0-6-amd64", "containerRuntimeVersion": "containerd://1.4.12",
                "operatingSystem": "linux", "architecture": "amd64",
            },
        },
    })
}

fn node_cells(node: &Value) -> Vec<String> {
    let ready = node["status"]["conditions"][0]["status"] == "True";
    let mut status = if ready { "Ready" } else { "NotReady" }.to_string();
    if node["spec"]["unschedulable"] == json!(true) {
        status.push_str(",SchedulingDisabled");
    }
    let master = !node["metadata"]["labels"]["node-role.kubernetes.io/master"].is_null();
    let text = |value: &Value| value.as_str().unwrap_or("").to_string();
    vec![
        text(&node["metadata"]["name"]),
        status,
        if master { "master" } else { "<none>" }.into(),
        age(&node["metadata"]["creationTimestamp"]),
        text(&node["status"]["nodeInfo"]["kubeletVersion"]),
    ]
}

/// The API's stamps have whole seconds and a `Z`.
fn seconds(stamp: &str) -> String {
    format!("{}Z", stamp.split('.').next().unwrap_or(stamp))
}

/// Age as the API prints it.
fn age(created: &Value) -> String {
    let seconds = created.as_str().and_then(stamp::unix).map_or(0.0, |at| clock::real_now() - at).max(0.0) as u64;
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

const STATIC_PODS: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];
const DAEMONS: &[&str] = &["calico-node", "kube-multus-ds-amd64", "kube-proxy"];

/// Every pod: the platform's by its hosts, and the site's.
fn pods(system: &System) -> Vec<Value> {
    let mut all = Vec::new();
    for (at, host) in system.hosts.iter().enumerate().filter(|(_, h)| h.is_node()) {
        let ready = system.node_ready(at);
        if let Some(version) = &host.kube.control_plane {
            for part in STATIC_PODS {
                let name = format!("{part}-{}", host.hostname);
                let well = ready && system.unhealthy.get("pods") != Some(&name);
                let mut pod = platform_pod(host, &name, "Node", &host.hostname, well);
                pod["metadata"]["labels"] = json!({ "component": part, "tier": "control-plane" });
                pod["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": host.uuid });
                pod["spec"]["containers"] = json!([{ "name": part, "image": format!("k8s.gcr.io/{part}:{version}") }]);
                all.push(pod);
            }
        }
        for daemon in DAEMONS {
            let name = format!("{daemon}-{}", &host.uuid[..5]);
            let mut pod = platform_pod(host, &name, "DaemonSet", daemon, ready);
            pod["metadata"]["labels"] = json!({ "k8s-app": daemon });
            all.push(pod);
        }
    }
    all.extend(system.pods.iter().map(|pod| site_pod(system, pod)));
    all
}

fn platform_pod(host: &Host, name: &str, owner: &str, owner_name: &str, ready: bool) -> Value {
    pod_object(
        &json!({
            "name": name, "namespace": "kube-system", "uid": format!("{name}-{}", host.uuid),
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": owner, "name": owner_name, "uid": host.uuid, "controller": true }],
        }),
        &host.created_at,
        Some(&host.hostname),
        "Running",
        ready,
    )
}

fn site_pod(system: &System, pod: &Pod) -> Value {
    let metadata = json!({
        "name": pod.name, "namespace": pod.namespace, "uid": pod.uid, "labels": { "app": pod.app },
        "ownerReferences": [{
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{}-6d8f9c7b5", pod.app), "uid": pod.app,
            "controller": true,
        }],
    });
    let phase = if pod.node.is_some() { "Running" } else { "Pending" };
    pod_object(&metadata, &pod.created_at, pod.node.as_deref(), phase, system.pod_ready(pod))
}

fn pod_object(metadata: &Value, created: &str, node: Option<&str>, phase: &str, ready: bool) -> Value {
    let mut metadata = metadata.clone();
    metadata["resourceVersion"] = json!("1");
    metadata["creationTimestamp"] = json!(seconds(created));
    let mut spec = json!({ "containers": [{ "name": "main", "image": "registry.local:9001/site/main:1" }] });
    if let Some(node) = node {
        spec["nodeName"] = json!(node);
    }
    let word = if ready { "True" } else { "False" };
    json!({
        "kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec,
        "status": {
            "phase": phase, "conditions": [{ "type": "Ready", "status": word }],
            "containerStatuses": [{ "name": "main", "ready": ready, "restartCount": 0 }],
        },
    })
}

fn pod_cells(pod: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("<none>").to_string();
    let ready = pod["status"]["conditions"][0]["status"] == "True";
    vec![
        text(&pod["metadata"]["name"]),
        if ready { "1/1" } else { "0/1" }.into(),
        text(&pod["status"]["phase"]),
        "0".into(),
        age(&pod["metadata"]["creationTimestamp"]),
        "<none>".into(),
        text(&pod["spec"]["nodeName"]),
    ]
}

fn namespaced(
    system: &mut System,
    request: &Request<'_>,
    method: &str,
    namespace: &str,
    rest: &[&str],
) -> (u16, Value) {
    let here: Vec<Value> = pods(system).into_iter().filter(|p| p["metadata"]["namespace"] == namespace).collect();
    let [name, action @ ..] = rest else {
        return listed(request, "Pod", here, POD_COLUMNS, pod_cells);
    };
    let Some(pod) = here.into_iter().find(|p| p["metadata"]["name"] == *name) else {
        return failure(404, "NotFound", &format!("pods {name:?} not found"));
    };
    match (method, action) {
        ("GET", []) => one(request, pod, POD_COLUMNS, pod_cells),
        ("POST", ["eviction"]) => match system.evict_pod(name) {
            Ok(()) => (201, json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" })),
            Err(why) => failure(429, "TooManyRequests", &why),
        },
        ("DELETE", []) => {
            system.replace(name, "");
            (200, pod)
        }
        _ => failure(405, "MethodNotAllowed", "this lab's pods can be read, evicted and deleted"),
    }
}
