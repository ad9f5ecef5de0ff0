//! Random sequences of legal and illegal commands: whether the lab accepts or refuses each, with which words, and which
//! states follow, against the reference's rules written as a table (`rules`). No machine is needed.

mod rehearsal;
mod rules;

use proptest::prelude::*;
use rehearsal::Rehearsal;
use rules::{FOLLOWS, HostSeen, KUBE_FOLLOWS, RULES, Seen};
use stx_lab::system::seed::Wish;

const COMMANDS: &[&str] = &[
    "load-import",
    "load-delete",
    "upgrade-start",
    "upgrade-activate",
    "upgrade-complete",
    "upgrade-abort",
    "kube-upgrade-start",
    "kube-upgrade-download-images",
    "kube-upgrade-networking",
    "kube-upgrade-complete",
    "kube-upgrade-delete",
    "host-lock",
    "host-unlock",
    "host-swact",
    "host-upgrade",
    "host-downgrade",
    "control-plane",
    "kubelet",
];
const FAULTS: &[&str] = &[
    "lock-rejected-late",
    "data-migration-failed",
    "swact-fails",
    "activation-fails-once",
    "start-fails-silently",
    "kube-networking-fails",
    "kube-control-plane-fails",
    "kube-kubelet-fails",
    "conductor-restart",
];

/// What the operator does next.
#[derive(Debug, Clone)]
enum Act {
    /// The next step of the procedure, as far as the operator can tell.
    Procedure,
    /// The next step of a Kubernetes upgrade.
    Kubernetes,
    /// Any command, for any host.
    Any(usize, usize),
    Wait(u32),
    Fault(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => Just(Act::Procedure),
        3 => Just(Act::Kubernetes),
        8 => (0..COMMANDS.len(), 0..8usize).prop_map(|(command, host)| Act::Any(command, host)),
        6 => prop_oneof![Just(10u32), Just(60), Just(400), Just(2500)].prop_map(Act::Wait),
        1 => (0..FAULTS.len()).prop_map(Act::Fault),
    ]
}

/// The command line of a table's command.
fn line(command: &str, host: &str, seen: &Seen) -> String {
    let version = || {
        let next = seen.versions.iter().find(|v| v.1 == "available").or(seen.versions.last());
        next.map(|v| v.0.clone()).unwrap_or_default()
    };
    match command {
        "load-import" => "system load-import new.iso bootimage-24.03.sig".into(),
        "load-delete" => "system load-delete 2".into(),
        "kube-upgrade-start" => format!("system kube-upgrade-start {}", version()),
        "control-plane" | "kubelet" => format!("system kube-host-upgrade {host} {command}"),
        name if name.starts_with("host-") => format!("system {name} {host}"),
        name => format!("system {name}"),
    }
}

/// The next step of the upgrade, from what is seen; `None`: wait.
fn procedure(s: &Seen) -> Option<(&'static str, String)> {
    let host = |name: &str| s.host(name);
    let step = |command: &'static str, host: &str| Some((command, host.to_string()));
    let ready = |h: &HostSeen| h.locked() && h.is("availability", "online") && h.task().is_empty();
    let away = |name: &str, command: &'static str| match host(name) {
        h if ready(h) => step(command, name),
        h if h.in_service() && matches!(h.task().split(':').next(), Some("" | "Lock Rejected")) => {
            step("host-lock", name)
        }
        _ => None,
    };
    let swact = |name: &str| {
        let may = s.synced && !matches!(host(name).task(), "Swacting" | "Locking");
        if may { step("host-swact", name) } else { None }
    };
    match s.upgrade.as_str() {
        "" if !s.kube.is_empty() => kubernetes(s),
        "" if s.loads.iter().any(|l| l.1 == "imported" && l.2 == s.new) => step("upgrade-start", ""),
        "" if s.software_version != s.new && s.loads.len() < 2 => step("load-import", ""),
        "started" => away("controller-1", "host-upgrade"),
        "data-migration-complete" if ready(host("controller-1")) => step("host-unlock", "controller-1"),
        "data-migration-failed" => step("upgrade-abort", ""),
        "upgrading-controllers" if s.active == "controller-0" => swact("controller-0"),
        "upgrading-controllers" => away("controller-0", "host-upgrade"),
        "upgrading-hosts" => {
            if let Some((name, _)) = s.hosts.iter().find(|(_, h)| ready(h) && h.running == s.to) {
                return step("host-unlock", name);
            }
            if s.hosts.values().any(|h| h.target == s.to && !h.in_service()) {
                return None;
            }
            let left = s.hosts.iter().find(|(_, h)| h.target != s.to);
            match left {
                Some((name, h)) if name.starts_with("storage") && !h.locked() && !s.ceph.contains("HEALTH_OK") => None,
                Some((name, _)) => away(name, "host-upgrade"),
                None if s.hosts.values().all(HostSeen::in_service) => step("upgrade-activate", ""),
                None => None,
            }
        }
        "activation-failed" => step("upgrade-activate", ""),
        "activation-complete" if s.active == "controller-1" => swact("controller-1"),
        "activation-complete" => step("upgrade-complete", ""),
        "aborting" if s.active == "controller-1" => swact("controller-1"),
        "aborting" if host("controller-1").running != s.from || host("controller-1").target != s.from => {
            away("controller-1", "host-downgrade")
        }
        "aborting" => step("upgrade-complete", ""),
        _ => None,
    }
}

fn kubernetes(s: &Seen) -> Option<(&'static str, String)> {
    let step = |command: &'static str, host: &str| Some((command, host.to_string()));
    match s.kube.as_str() {
        "" => step("kube-upgrade-start", ""),
        "upgrade-started" | "downloading-images-failed" => step("kube-upgrade-download-images", ""),
        "downloaded-images" | "upgrading-networking-failed" => step("kube-upgrade-networking", ""),
        "upgraded-networking" | "upgrading-first-master-failed" => step("control-plane", "controller-0"),
        "upgraded-first-master" | "upgrading-second-master-failed" => step("control-plane", "controller-1"),
        "upgraded-second-master" | "upgrading-kubelets" => {
            let left = s.hosts.iter().find(|(_, h)| !h.is("personality", "storage") && h.kubelet != s.kube_to);
            match left {
                Some((name, h)) if h.locked() => step("kubelet", name),
                Some((name, _)) if *name == s.active => step("host-swact", name),
                Some((name, _)) => step("host-lock", name),
                None => match s.hosts.iter().find(|(_, h)| h.locked()) {
                    Some((name, _)) => step("host-unlock", name),
                    None => step("kube-upgrade-complete", ""),
                },
            }
        }
        "upgrade-complete" => step("kube-upgrade-delete", ""),
        _ => None,
    }
}

/// States by name that were reached one after the other, from the changes that the lab recorded.
fn states(lab: &mut Rehearsal, upgrade: &mut Vec<String>, kube: &mut Vec<String>) {
    for change in lab.system.take_changes() {
        match change.as_str() {
            "upgrade-completed" | "upgrade-aborted" | "upgrade-start-failed" => upgrade.push(String::new()),
            "kube-upgrade-deleted" => kube.push(String::new()),
            "kube-upgrade-started" => kube.push("upgrade-started".into()),
            name => {
                if let Some(state) = name.strip_prefix("upgrade-") {
                    upgrade.push(state.into());
                } else if let Some(state) = name.strip_prefix("kube-")
                    && KUBE_FOLLOWS.iter().any(|(known, _)| *known == state)
                {
                    kube.push(state.into());
                }
            }
        }
    }
}

fn follow_each_other(states: &[String], table: &[(&str, &[&str])]) -> Result<(), String> {
    for pair in states.windows(2) {
        let may = table.iter().find(|(from, _)| *from == pair[0]).is_some_and(|(_, to)| to.contains(&pair[1].as_str()));
        if !may {
            return Err(format!("{:?} follows {:?}", pair[1], pair[0]));
        }
    }
    Ok(())
}

/// What must be true at once after a command was accepted.
fn accepted(command: &str, host: &str, before: &Seen, after: &Seen) -> Result<(), String> {
    let task = after.hosts.get(host).map_or("", |h| h.task());
    let wanted = match command {
        "upgrade-start" => after.upgrade == "starting",
        "upgrade-activate" => after.upgrade == "activation-requested" && after.software_version == before.to,
        "upgrade-complete" if before.upgrade.starts_with("aborting") => after.upgrade == "abort-completing",
        "upgrade-complete" => after.upgrade == "completing",
        "upgrade-abort" if before.host("controller-0").target == before.to => after.upgrade == "aborting-reinstall",
        "upgrade-abort" => after.upgrade == "aborting",
        "host-upgrade" => {
            let state = if host == "controller-1" { "data-migration" } else { &before.upgrade };
            after.upgrade == state && after.host(host).target == before.to && task == "Reinstalling"
        }
        "host-downgrade" => after.host(host).target == before.from && task == "Reinstalling",
        "host-lock" => task == "Locking",
        "host-unlock" => task.starts_with("Unlocking"),
        "host-swact" => task == "Swacting",
        "load-import" => after.loads.len() == 2 && after.loads[1].1 == "importing",
        "load-delete" => after.loads.iter().any(|l| l.0 == "2" && l.1 == "deleting"),
        "kube-upgrade-start" => after.kube == "upgrade-started",
        "kube-upgrade-download-images" => after.kube == "downloading-images",
        "kube-upgrade-networking" => after.kube == "upgrading-networking",
        "control-plane" => after.host(host).kube_status == "upgrading-control-plane",
        "kubelet" => after.host(host).kube_status == "upgrading-kubelet" && after.kube == "upgrading-kubelets",
        "kube-upgrade-complete" => after.kube == "upgrade-complete",
        _ => after.kube.is_empty(),
    };
    if wanted { Ok(()) } else { Err(format!("{command} {host}: accepted, and then {after:#?}")) }
}

/// Play a sequence; the states of the upgrade that were reached.
fn play(topology: &str, from: &str, to: &str, acts: &[Act]) -> Result<Vec<String>, String> {
    let wish = Wish { topology: topology.into(), from: from.into(), to: to.into(), ..Wish::default() };
    let mut lab = Rehearsal::of(&wish);
    let (mut upgrade, mut kube) = (vec![String::new()], vec![String::new()]);
    for act in acts {
        // After a swact nobody answers for a while.
        while !lab.system.services_up || lab.command("system show", &[]).rc != 0 {
            lab.later(10.0);
        }
        let seen = Seen::look(&mut lab);
        let names: Vec<String> = seen.hosts.keys().cloned().collect();
        let (command, host) = match act {
            Act::Wait(seconds) => {
                lab.later(f64::from(*seconds));
                states(&mut lab, &mut upgrade, &mut kube);
                continue;
            }
            Act::Fault(which) => {
                lab.fault(FAULTS[*which]);
                lab.system.settle_faults(&[]);
                lab.obey();
                states(&mut lab, &mut upgrade, &mut kube);
                continue;
            }
            Act::Procedure | Act::Kubernetes => {
                let next = if matches!(act, Act::Procedure) { procedure(&seen) } else { kubernetes(&seen) };
                match next {
                    Some(next) => next,
                    None => {
                        lab.later(600.0);
                        states(&mut lab, &mut upgrade, &mut kube);
                        continue;
                    }
                }
            }
            Act::Any(command, host) => (COMMANDS[*command], names[host % names.len()].clone()),
        };
        let reply = lab.command(&line(command, &host, &seen), &["yes", "abort"]);
        let expected = RULES.iter().find(|rule| rule.command == command && (rule.refuses)(&seen, &host));
        match expected {
            Some(rule) => {
                let mate = if host == "controller-0" { "controller-1" } else { "controller-0" };
                let says = rule
                    .says
                    .replace("<h>", &host)
                    .replace("<m>", mate)
                    .replace("<from>", &seen.from)
                    .replace("<to>", &seen.to);
                if reply.rc != 1 || !reply.err.contains(&says) {
                    return Err(format!(
                        "{command} {host}: the table ({}) refuses it with {says:?}; the lab: rc {} {:?}\n{seen:#?}",
                        rule.section, reply.rc, reply.err
                    ));
                }
            }
            None if reply.rc != 0 => {
                return Err(format!(
                    "{command} {host}: the table has no reason to refuse it: {:?}\n{seen:#?}",
                    reply.err
                ));
            }
            None => accepted(command, &host, &seen, &Seen::look(&mut lab))?,
        }
        lab.obey();
        states(&mut lab, &mut upgrade, &mut kube);
        follow_each_other(&upgrade, FOLLOWS)?;
        follow_each_other(&kube, KUBE_FOLLOWS)?;
    }
    follow_each_other(&upgrade, FOLLOWS)?;
    follow_each_other(&kube, KUBE_FOLLOWS)?;
    Ok(upgrade)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_pair_obeys_the_table(acts in prop::collection::vec(act(), 20..120)) {
        play("duplex", "21.05", "21.12", &acts).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn a_pair_of_the_later_dialect_obeys_the_table(acts in prop::collection::vec(act(), 20..120)) {
        play("duplex", "21.12", "22.12", &acts).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn storage_and_workers_obey_the_table(acts in prop::collection::vec(act(), 20..160)) {
        play("storage", "21.12", "22.12", &acts).map_err(TestCaseError::fail)?;
    }
}

/// The procedure alone leads to the end: the random sequences start from a walk that goes deep.
#[test]
fn the_procedure_alone_upgrades_a_system() {
    for topology in ["duplex", "standard", "storage"] {
        let states = play(topology, "21.05", "21.12", &vec![Act::Procedure; 120]).expect("the table");
        assert_eq!(states.iter().filter(|s| *s == "completing").count(), 1, "{topology}: {states:?}");
        assert_eq!(states.last().map(String::as_str), Some(""), "{topology}: {states:?}");
    }
}
