//! The Kubernetes upgrade of a system with workers, by plain ssh and the platform's commands, in both orders; the API by
//! curl, and by the real kubectl where the machine has one.

mod rig;

use rig::{FLOATING, Lab, skipped};
use serde_json::Value;
use std::path::Path;

const KUBE: &str = "export KUBECONFIG=/etc/kubernetes/admin.conf; kubectl ";

fn an_upgrade(tag: &str, from: &str, to: &str, not_yet: &str, steps: [&str; 3]) {
    let lab = Lab::up(tag, &["standard", "--rate", "3000", "--workers", "2", "--from", from, "--to", to]);
    let versions = lab.system("kube-version-list --nowrap");
    let new = versions.lines().find(|l| l.contains("| available")).and_then(|l| l.split_whitespace().nth(1));
    let new = new.expect("a version to go to").to_string();
    lab.system(&format!("kube-upgrade-start {new}"));
    assert!(lab.refused("load-delete 1").contains("in use by host"));
    lab.system("kube-upgrade-download-images");
    lab.until("kube-upgrade-show", &["downloaded-images"]);
    lab.refused(not_yet);
    for step in steps {
        lab.system(step);
        lab.until("kube-upgrade-show", &["| state", "| upgraded-"]);
    }
    for host in ["controller-1", "controller-0", "worker-0", "worker-1"] {
        if host == "controller-0" {
            lab.synced();
            lab.swact("controller-0", "controller-1");
        }
        lab.lock(host);
        lab.system(&format!("kube-host-upgrade {host} kubelet"));
        let status = if from == "21.05" { "None" } else { "upgraded-kubelet" };
        lab.wait("the kubelet", || {
            let list = lab.system("kube-host-upgrade-list --nowrap");
            let row = list.lines().find(|l| l.contains(host)).unwrap_or("").to_string();
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            cells.get(6..8) == Some(&[new.as_str(), status])
        });
        lab.unlock(host);
    }
    lab.system("kube-upgrade-complete");
    lab.system("kube-upgrade-delete");
    let versions = lab.system("kube-version-list --nowrap");
    assert!(versions.lines().any(|l| l.contains(&new) && l.contains("| active")), "{versions}");
    let nodes = lab.root(FLOATING, "curl -s http://192.168.206.1:6443/api/v1/nodes");
    let nodes: Value = serde_json::from_str(&nodes).expect("JSON");
    let items = nodes["items"].as_array().expect("nodes");
    assert_eq!(items.len(), 4);
    assert!(items.iter().all(|n| n["status"]["nodeInfo"]["kubeletVersion"] == new.as_str()), "{nodes}");
}

#[test]
fn networking_after_the_first_control_plane() {
    if !skipped("networking_after_the_first_control_plane") {
        let steps = [
            "kube-host-upgrade controller-0 control-plane",
            "kube-upgrade-networking",
            "kube-host-upgrade controller-1 control-plane",
        ];
        an_upgrade("ka", "21.05", "21.12", "kube-upgrade-networking", steps);
    }
}

#[test]
fn networking_before_the_first_control_plane() {
    if !skipped("networking_before_the_first_control_plane") {
        let steps = [
            "kube-upgrade-networking",
            "kube-host-upgrade controller-1 control-plane",
            "kube-host-upgrade controller-0 control-plane",
        ];
        an_upgrade("kb", "21.12", "22.12", "kube-host-upgrade controller-0 control-plane", steps);
    }
}

#[test]
fn a_swact_fails_the_step_that_runs() {
    if skipped("a_swact_fails_the_step_that_runs") {
        return;
    }
    let lab = Lab::up("ks", &["standard", "--rate", "3000", "--workers", "1", "--from", "22.12", "--to", "23.09"]);
    assert!(lab.lab(&["fault", "add", "kube-stuck"]).status.success());
    lab.system("kube-upgrade-start v1.24.4");
    lab.system("kube-upgrade-download-images");
    lab.swact("controller-0", "controller-1");
    lab.until("kube-upgrade-show", &["downloading-images-failed"]);
    lab.system("kube-upgrade-download-images");
    lab.until("kube-upgrade-show", &["downloaded-images"]);
}

#[test]
fn cordon_drain_and_uncordon() {
    if skipped("cordon_drain_and_uncordon") {
        return;
    }
    let lab = Lab::up("kd", &["standard", "--rate", "3000", "--workers", "2"]);
    // As kubectl asks, whether there is one or not.
    let patch = "curl -s -X PATCH -H 'Content-Type: application/strategic-merge-patch+json' \
                 -d '{\"spec\":{\"unschedulable\":true}}' http://192.168.206.1:6443/api/v1/nodes/worker-1";
    let node: Value = serde_json::from_str(&lab.root(FLOATING, patch)).expect("JSON");
    assert_eq!(node["spec"]["unschedulable"], true);
    assert_eq!(lab.changes("node-cordoned worker-1"), 1);
    assert!(lab.lab(&["fault", "add", "pdb-blocks"]).status.success());
    let pods = "curl -s 'http://192.168.206.1:6443/api/v1/pods?fieldSelector=spec.nodeName%3Dworker-1'";
    let on_worker = |lab: &Lab| -> Vec<String> {
        let pods: Value = serde_json::from_str(&lab.root(FLOATING, pods)).expect("JSON");
        let items = pods["items"].as_array().cloned().unwrap_or_default();
        let site = items.iter().filter(|p| p["metadata"]["namespace"] == "site-app");
        site.filter_map(|p| p["metadata"]["name"].as_str().map(String::from)).collect()
    };
    let [first, second] = &on_worker(&lab)[..] else { panic!("two pods of the site's own") };
    let evict = |name: &str| {
        format!(
            "curl -s -o /dev/null -w '%{{http_code}}' -X POST -d '{{}}' \
             http://192.168.206.1:6443/api/v1/namespaces/site-app/pods/{name}/eviction"
        )
    };
    assert_eq!(lab.root(FLOATING, &evict(first)), "429");
    assert!(lab.lab(&["fault", "clear", "pdb-blocks"]).status.success());
    assert_eq!(lab.root(FLOATING, &evict(first)), "201");
    assert_eq!(lab.root(FLOATING, &evict(second)), "201");
    assert!(on_worker(&lab).is_empty());

    if !Path::new("/usr/bin/kubectl").exists() {
        eprintln!("no kubectl on this machine: the rest of the test is left out");
        return;
    }
    lab.root(FLOATING, &format!("{KUBE} uncordon worker-1"));
    let nodes = lab.root(FLOATING, &format!("{KUBE} get nodes"));
    assert!(nodes.contains("worker-1") && !nodes.contains("SchedulingDisabled"), "{nodes}");
    lab.root(FLOATING, &format!("{KUBE} drain worker-0 --ignore-daemonsets --timeout=60s"));
    let nodes = lab.root(FLOATING, &format!("{KUBE} get nodes"));
    assert!(nodes.lines().any(|l| l.contains("worker-0") && l.contains("Ready,SchedulingDisabled")), "{nodes}");
    let pods = lab.root(FLOATING, &format!("{KUBE} get pods -n site-app -o wide"));
    assert_eq!(pods.matches("worker-1").count(), 4, "{pods}");
    lab.root(FLOATING, &format!("{KUBE} uncordon worker-0"));
    lab.lock("worker-0");
    let taint = lab.root(FLOATING, &format!("{KUBE} get node worker-0 -o json"));
    let node: Value = serde_json::from_str(&taint).expect("JSON");
    assert_eq!(node["spec"]["taints"][0]["key"], "services");
}
