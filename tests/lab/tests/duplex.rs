//! A pair of controllers, upgraded by plain ssh and the platform's own commands.

mod rig;

use rig::{FLOATING, Lab, good, run, skipped, text};

const C0: &str = "10.10.10.3";
const C1: &str = "10.10.10.4";
const DATA: &str = "cd /; runuser -u postgres -- psql -d sysinv -At -c 'select count(*) from site_notes'; \
                    ETCDCTL_API=3 etcdctl get --prefix --keys-only /registry | grep -c registry";

fn a_whole_upgrade(tag: &str, from: &str, to: &str) {
    let lab = Lab::up(tag, &["duplex", "--rate", "3000", "--from", from, "--to", to]);
    // The standby one has no credentials, no volumes and no services.
    let standby = lab.at(C1, &rig::system("host-list"), "");
    assert!(text(&standby.stdout).contains("can only be loaded from the active controller"));
    assert!(text(&standby.stderr).contains("You must provide a password"));
    assert_eq!(lab.root(C1, "ls /var/lib/postgresql /opt/platform | grep -c 2 || true").trim(), "0");
    assert!(good(&run(lab.ssh(FLOATING, true), "hostname", "")).contains("controller-0"));

    lab.start_upgrade();
    assert!(lab.refused("host-upgrade controller-0").contains(&format!("controller-1 must be using load {to}")));
    assert!(lab.refused("host-lock controller-0").contains("Can not lock"));
    assert!(lab.refused("host-swact controller-0").contains("Upgrade state must be data-migration-complete"));
    lab.root(FLOATING, "cd /var/lib/postgresql && find . -path './[0-9]*' -type f -name PG_VERSION | sort");
    lab.upgrade_controller_1();

    // The floating address moves to the other unit, which has another host key; a session over it ends.
    let idle = run(lab.ssh(FLOATING, true), "hostname", "");
    assert!(idle.status.success());
    let session = std::thread::scope(|scope| {
        let session = scope.spawn(|| lab.at(FLOATING, "hostname; sleep 60; echo survived", ""));
        lab.wait("the session", || lab.root(C0, "pgrep -c -f 'sleep 60' || true").trim() != "0");
        lab.swact("controller-0", "controller-1");
        session.join().expect("a session")
    });
    assert!(!session.status.success() && !text(&session.stdout).contains("survived"), "{}", text(&session.stdout));
    let changed = run(lab.ssh(FLOATING, true), "hostname", "");
    assert!(text(&changed.stderr).contains("HOST IDENTIFICATION HAS CHANGED"), "{}", text(&changed.stderr));
    // N+1 serves its own database; that of N lies there as it was.
    assert_eq!(lab.root(FLOATING, DATA), "200\n7\n");
    assert!(lab.root(FLOATING, "ls /var/lib/postgresql").starts_with(&format!("{from}\n{to}\n")));
    let etcd = lab.root(FLOATING, &format!("readlink /opt/etcd/{to} || echo own"));
    assert_eq!(etcd.trim(), if from == "20.06" { "own" } else { from });
    assert!(lab.refused("upgrade-complete").contains("when controller-0 is active"));

    lab.lock("controller-0");
    lab.system("host-upgrade controller-0");
    lab.until("upgrade-show", &["upgrading-hosts"]);
    lab.unlock("controller-0");
    lab.synced();
    lab.system("upgrade-activate");
    lab.until("upgrade-show", &["activation-complete"]);
    lab.swact("controller-1", "controller-0");
    assert_eq!(lab.root(FLOATING, &format!("readlink /opt/etcd/{to} || echo own")).trim(), "own");
    assert!(lab.root(FLOATING, "ls /opt/etcd").starts_with(from));
    lab.system("upgrade-complete");
    lab.until("upgrade-show", &["No upgrade in progress"]);
    lab.wait("the old data to go", || {
        lab.root(FLOATING, "ls /opt/etcd /var/lib/postgresql").matches(from).count() == 0
    });
    lab.system("load-delete 1");
    assert_eq!(lab.root(FLOATING, DATA), "200\n7\n");
    let status = lab.status();
    assert_eq!(status["software_version"], to);
    assert_eq!(status["alarms"].as_array().map(Vec::len), Some(0), "{}", status["alarms"]);
    for (name, times) in [("upgrade-completed", 1), ("host-wiped controller-0", 1), ("host-wiped controller-1", 1)] {
        assert_eq!(lab.changes(name), times, "{name}");
    }
}

#[test]
fn upgraded_by_hand_with_one_etcd_directory_for_both() {
    if !skipped("upgraded_by_hand_with_one_etcd_directory_for_both") {
        a_whole_upgrade("dx", "21.05", "21.12");
    }
}

#[test]
fn upgraded_by_hand_with_an_etcd_copied_at_the_swact() {
    if !skipped("upgraded_by_hand_with_an_etcd_copied_at_the_swact") {
        a_whole_upgrade("dxa", "20.06", "21.05");
    }
}
