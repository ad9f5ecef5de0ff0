//! The Kubernetes upgrade, applications and patches against the lab: in both orders, to the end and again, with faults, killed.
//!
//! Needs root for the lab's namespaces; where that is missing a test says so and does nothing.

#[path = "stx/lab.rs"]
mod lab;

use std::process::Output;

use lab::{Lab, text};

/// Short waits: a second of the lab is most of an hour.
const SHORT: &[&str] = &["-e", "drbd_stable=1", "-e", "alarm_hold=30"];

/// What any Kubernetes upgrade does once, whatever happens to the runner.
const ONCE: &[&str] = &[
    "kube-upgrade-started",
    "kube-downloading-images",
    "kube-upgrading-networking",
    "kube-upgrading-first-master",
    "kube-control-plane controller-0",
    "kube-kubelet controller-0",
    "kube-upgrade-complete",
    "kube-upgrade-deleted",
];

fn play(lab: &Lab, playbook: &str, more: &[&str]) -> Output {
    lab.upgrade(&[&["play", playbook, "-i", "inventory/lab"], SHORT, more].concat()).output().unwrap()
}

fn well(out: &Output) {
    assert!(out.status.success(), "{}", text(out));
}

/// It ended with failed hosts, and said all of this.
fn told(out: &Output, says: &[&str]) {
    let all = text(out);
    assert_eq!(out.status.code(), Some(2), "{all}");
    for part in says {
        assert!(all.contains(part), "nothing of `{part}` in:\n{all}");
    }
}

fn fault(lab: &Lab, words: &str) {
    let out = lab.lab(&[&["fault", "add"][..], &words.split(' ').collect::<Vec<_>>()].concat());
    assert!(out.status.success(), "{words}: {}", text(&out));
}

fn clear(lab: &Lab) {
    assert!(lab.lab(&["fault", "clear", "all"]).status.success());
}

/// A command on the active controller, as root, with the platform's credentials.
fn host(lab: &Lab, line: &str) -> String {
    let line = format!("source /etc/platform/openrc && {line}");
    let out = lab.lab(&["exec", "controller-0", "bash", "-c", &line]);
    assert!(out.status.success(), "{line}: {}", text(&out));
    text(&out)
}

fn count(lab: &Lab, change: &str) -> usize {
    lab.changes().iter().find(|(name, _)| name == change).map_or(0, |(_, count)| *count)
}

/// Every host runs the version, and none is left locked.
fn at(lab: &Lab, version: &str) {
    let list = host(lab, "system kube-host-upgrade-list --nowrap && system host-list --nowrap");
    for line in list.lines().filter(|l| l.contains("controller-") || l.contains("worker-")) {
        assert!(line.contains(version) || line.contains("unlocked"), "{list}");
    }
    assert!(host(lab, "system kube-upgrade-show").contains("A kubernetes upgrade is not in progress"));
}

/// Networking after the first control plane: the older releases' order.
#[test]
fn simplex_in_the_older_order() {
    let Some(lab) = Lab::up_as("simplex_in_the_older_order", &["simplex"]) else { return };
    let check = play(&lab, "kube-upgrade.yml", &["--check"]);
    well(&check);
    assert!(text(&check).contains("tasks decided (100 %)"), "{}", text(&check));
    assert!(lab.changes().is_empty(), "{:?}", lab.changes());

    well(&play(&lab, "kube-upgrade.yml", &[]));
    at(&lab, "v1.19.13");
    lab.assert_once(ONCE);
    let order: Vec<String> = lab.changes().into_iter().map(|(name, _)| name).collect();
    let place = |change: &str| order.iter().position(|c| c == change).unwrap();
    assert!(place("kube-upgraded-first-master") < place("kube-upgrading-networking"), "{order:?}");
    assert_eq!(count(&lab, "host-locking controller-0"), 0);
    let again = play(&lab, "kube-upgrade.yml", &[]);
    well(&again);
    assert!(text(&again).contains("changed=0 "), "{}", text(&again));
}

/// Networking before the control planes, two controllers, workers in batches as large as there is room for their pods.
#[test]
fn standard_in_the_newer_order() {
    let words = ["standard", "--workers", "4", "--from", "21.12", "--to", "22.12"];
    let Some(lab) = Lab::up_as("standard_in_the_newer_order", &words) else { return };
    well(&play(&lab, "kube-upgrade.yml", &[]));
    at(&lab, "v1.21.3");
    lab.assert_once(ONCE);
    lab.assert_once(&["kube-control-plane controller-1", "kube-kubelet controller-1", "kube-kubelet worker-3"]);

    // Two of four workers hold what all four had; never are more out of service, and never fewer than there is room for.
    let log = String::from_utf8(lab.lab(&["log", "--json"]).stdout).unwrap();
    let (mut out, mut most) = (Vec::new(), 0);
    for line in log.lines().filter(|l| l.contains("\"kind\":\"change\"")) {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        for change in entry["changes"].as_array().into_iter().flatten().filter_map(|c| c.as_str()) {
            match change.split_once(' ') {
                Some(("host-locking", host)) if host.starts_with("worker-") => out.push(host.to_owned()),
                Some(("host-enabled", host)) => out.retain(|h| h != host),
                _ => {}
            }
        }
        most = most.max(out.len());
    }
    assert_eq!((most, out.len()), (2, 0), "{log}");
    assert_eq!(count(&lab, "pod-pending frontend") + count(&lab, "pod-pending backend"), 0);
    let again = play(&lab, "kube-upgrade.yml", &[]);
    well(&again);
    assert!(text(&again).contains("changed=0 "), "{}", text(&again));
}

/// What is done once to each controller, killed or cut off.
fn assert_both_once(lab: &Lab) {
    lab.assert_once(ONCE);
    lab.assert_once(&["host-locking controller-0", "host-unlocking controller-0", "host-locking controller-1"]);
    lab.assert_once(&["host-unlocking controller-1", "kube-kubelet controller-1", "kube-control-plane controller-1"]);
}

const PLAY: &[&str] = &["play", "kube-upgrade.yml", "-i", "inventory/lab"];

/// Killed at each of the journal's records, on two controllers.
#[test]
fn killed_on_the_way() {
    let Some(lab) = Lab::up_as("killed_on_the_way", &["duplex"]) else { return };
    lab.killed(&[PLAY, SHORT].concat());
    at(&lab, "v1.19.13");
    assert_both_once(&lab);
}

#[test]
fn killed_on_the_way_in_the_newer_order() {
    let words = ["duplex", "--from", "21.12", "--to", "22.12"];
    let Some(lab) = Lab::up_as("killed_on_the_way_in_the_newer_order", &words) else { return };
    lab.killed(&[PLAY, SHORT].concat());
    at(&lab, "v1.21.3");
    assert_both_once(&lab);
}

/// The link is cut at every call to a host, on two controllers.
#[test]
fn cut_off_at_every_call() {
    let Some(lab) = Lab::up_as("cut_off_at_every_call", &["duplex"]) else { return };
    lab.cut_off(&[PLAY, SHORT].concat());
    at(&lab, "v1.19.13");
    assert_both_once(&lab);
}

/// What fails once is sent again, and what is slow is waited for.
#[test]
fn troubles_that_pass() {
    let Some(lab) = Lab::up_as("troubles_that_pass", &["simplex"]) else { return };
    for words in ["kube-slow seconds=900", "kube-networking-fails", "kube-control-plane-fails", "pdb-blocks"] {
        fault(&lab, words);
    }
    well(&play(&lab, "kube-upgrade.yml", &[]));
    at(&lab, "v1.19.13");
    assert_eq!((count(&lab, "kube-upgrading-networking"), count(&lab, "kube-control-plane controller-0")), (2, 2));
    lab.assert_once(&["kube-upgrade-started", "kube-kubelet controller-0", "kube-upgrade-complete"]);
}

/// One trouble after the other; each time the very command that the message names goes on.
#[test]
fn troubles_on_the_way() {
    let words = ["simplex", "--from", "22.12", "--to", "23.09"];
    let Some(lab) = Lab::up_as("troubles_on_the_way", &words) else { return };
    let resume = || lab.upgrade(&["resume"]).output().unwrap();

    // Before anything is touched.
    fault(&lab, "kube-record-stale");
    let out = play(&lab, "kube-upgrade.yml", &["-e", "kube_version=v1.24.4"]);
    told(&out, &["another Kubernetes upgrade is on record", "system kube-upgrade-delete"]);
    clear(&lab);
    told(&play(&lab, "kube-upgrade.yml", &["-e", "kube_version=1.25.0"]), &["does not know Kubernetes v1.25.0"]);
    fault(&lab, "patch-not-current");
    fault(&lab, "app-bad");
    let out = play(&lab, "kube-upgrade.yml", &["-e", "kube_timeout=2"]);
    told(&out, &["2 of 5 checks failed: patches, health", "All kubernetes applications are in a valid state"]);
    clear(&lab);
    fault(&lab, "app-incompatible");
    told(&resume(), &["is incompatible with the new Kubernetes version", "stx-upgrade play apps.yml"]);
    clear(&lab);
    assert_eq!(count(&lab, "kube-upgrade-started"), 0);

    // What fails is sent again by itself; a state that lasts is told with the command that frees it.
    fault(&lab, "kube-download-fails");
    fault(&lab, "kube-stuck --when kube-downloaded-images");
    told(&resume(), &["last seen: upgrading-networking", "`system kube-upgrade-failed`", "stx-upgrade resume"]);
    assert_eq!(count(&lab, "kube-downloading-images"), 2);
    host(&lab, "system kube-upgrade-failed");
    fault(&lab, "conductor-restart --when kube-upgrading-first-master");
    fault(&lab, "kube-kubelet-fails --times 3");
    let out = resume();
    told(&out, &["upgrading-kubelet-failed", "was sent 3 times", "stx-upgrade resume"]);
    assert_eq!(count(&lab, "kube-upgrading-first-master-failed"), 1);
    assert_eq!(count(&lab, "kube-kubelet controller-0"), 3);

    // What the platform says it did is looked at.
    fault(&lab, "command-lies command=kube-upgrade-delete");
    told(&resume(), &["took `system kube-upgrade-delete`, and nothing came of it"]);
    well(&resume());
    at(&lab, "v1.24.4");
    lab.assert_once(&["kube-upgrade-started", "kube-upgrade-complete", "kube-upgrade-deleted"]);
}

const PACKAGES: &str = "cd /usr/local/share/applications/helm && \
    sed s/1.0-34/1.0-40/ cert-manager-1.0-34.tgz > cert-manager-1.0-40.tgz && \
    sed s/1.1-18/1.1-24/ nginx-ingress-controller-1.1-18.tgz > nginx-ingress-controller-1.1-24.tgz && \
    sed s/1.0-61/1.0-66/ oidc-auth-apps-1.0-61.tgz > oidc-auth-apps-1.0-66.tgz";

#[test]
fn applications_and_patches() {
    let Some(lab) = Lab::up_as("applications_and_patches", &["simplex"]) else { return };
    host(&lab, PACKAGES);
    well(&play(&lab, "apps.yml", &["--check"]));
    assert!(lab.changes().is_empty(), "{:?}", lab.changes());
    fault(&lab, "app-slow");
    fault(&lab, "app-update-fails app=nginx-ingress-controller");
    let out = play(&lab, "apps.yml", &[]);
    told(&out, &["the platform went back to 1.1-18", "yes: the old version runs again", "stx-upgrade resume"]);
    let out = lab.upgrade(&["resume"]).output().unwrap();
    well(&out);
    assert!(text(&out).contains("left alone: oidc-auth-apps is uploaded"), "{}", text(&out));
    let overrides = host(&lab, "system helm-override-show nginx-ingress-controller chart kube-system");
    assert!(overrides.contains("controller.replicaCount: 2"), "{overrides}");
    assert_eq!(
        (count(&lab, "app-updating cert-manager"), count(&lab, "app-updating nginx-ingress-controller")),
        (1, 2)
    );
    let again = play(&lab, "apps.yml", &[]);
    assert!(text(&again).contains("changed=0 "), "{}", text(&again));

    // In service, then with a reboot.
    host(
        &lab,
        "echo reboot_required=N > /home/sysadmin/LAB_1.patch && echo reboot_required=Y > /home/sysadmin/LAB_2.patch",
    );
    for (patch, reboots) in [("LAB_1", 0), ("LAB_2", 1)] {
        let files = format!("{{\"patch_files\": [\"/home/sysadmin/{patch}.patch\"]}}");
        let check = play(&lab, "patch.yml", &["-e", &files, "--check"]);
        well(&check);
        assert!(text(&check).contains("once it is uploaded"), "{}", text(&check));
        assert_eq!(count(&lab, &format!("patch-uploaded {patch}")), 0);
        fault(&lab, "patch-install-fails");
        told(
            &play(&lab, "patch.yml", &["-e", &files]),
            &["host-install controller-0: Installation failed", "/var/log/patching.log", "stx-upgrade resume"],
        );
        well(&lab.upgrade(&["resume"]).output().unwrap());
        lab.assert_once(&[&format!("patch-uploaded {patch}"), &format!("patch-applied {patch}")]);
        assert_eq!(count(&lab, "host-locking controller-0"), reboots);
        assert_eq!(count(&lab, "host-unlocking controller-0"), reboots);
        let again = play(&lab, "patch.yml", &["-e", &files]);
        assert!(text(&again).contains("changed=0 "), "{}", text(&again));
    }
    assert_eq!(count(&lab, "patch-installed controller-0"), 2);
    let patches = host(&lab, "sw-patch query");
    assert_eq!(patches.matches("Applied").count(), 2, "{patches}");
}

/// Both kinds of upgrade exclude each other, and applications wait for either.
#[test]
fn not_during_a_platform_upgrade() {
    let Some(lab) = Lab::up_as("not_during_a_platform_upgrade", &["simplex"]) else { return };
    let loads = "/home/sysadmin/loads/21.12/bootimage";
    host(&lab, &format!("system load-import {loads}.iso {loads}.sig"));
    host(&lab, "until system load-list | grep -q imported; do sleep 0.1; done; system upgrade-start");
    host(&lab, "until system upgrade-show | grep -q started; do sleep 0.1; done");
    let before = lab.changes();
    let out = play(&lab, "kube-upgrade.yml", &[]);
    told(&out, &["platform upgrade 21.05 -> 21.12 is started, and excludes one of Kubernetes"]);
    host(&lab, PACKAGES);
    told(&play(&lab, "apps.yml", &[]), &["applications are not updated while an upgrade runs"]);
    told(
        &play(&lab, "patch.yml", &[]),
        &["hosts are not patched by this playbook while a platform upgrade is started"],
    );
    assert_eq!(lab.changes(), before);
}
