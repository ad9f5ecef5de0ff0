//! Inventories mean what ansible-inventory (ansible-core 2.19) makes of them; `inventory/expected.json` is its output.

use std::path::Path;

use serde_json::Value as Json;
use stx_upgrade::model::inventory::Inventory;
use stx_upgrade::model::value::{Dict, Value};
use stx_upgrade::parse::files::Disk;
use stx_upgrade::parse::inventory::{self, GroupNames};
use stx_upgrade::parse::vault::Vault;

const DIR: &str = "tests/inputs/inventory";

/// A host's variables as Ansible lays them over one another, without the two that name the source.
fn variables(inventory: &Inventory, host: &str) -> Dict {
    let (all, groups) = (&inventory.groups["all"], inventory.groups_of(host));
    let host = &inventory.hosts[host];
    let mut vars = all.vars.clone();
    groups.iter().for_each(|g| vars.extend(g.vars.clone()));
    vars.extend(all.inventory_group_vars.clone());
    groups.iter().for_each(|g| vars.extend(g.inventory_group_vars.clone()));
    vars.extend(host.vars.clone());
    vars.extend(host.inventory_host_vars.clone());
    vars.shift_remove("inventory_file");
    vars.shift_remove("inventory_dir");
    vars
}

#[test]
fn every_source_means_what_it_means_to_ansible() {
    let expected: serde_json::Map<String, Json> =
        serde_json::from_str(include_str!("inventory/expected.json")).unwrap();
    for (name, wanted) in expected {
        let sources = wanted["sources"].as_array().unwrap().iter().map(|s| s.as_str().unwrap());
        let sources: Vec<String> =
            sources.map(|s| if s.contains(',') { s.to_owned() } else { format!("{DIR}/{s}") }).collect();
        let mut mistakes = Vec::new();
        let found = inventory::load(&sources, &Disk, &Vault::default(), &mut mistakes);
        assert!(mistakes.iter().all(|m| m.warning), "{name}: {mistakes:?}");
        for host in wanted["all"].as_array().unwrap() {
            let host = host.as_str().unwrap();
            let vars: Json = serde_json::to_value(Value::dict(variables(&found, host))).unwrap();
            assert_eq!(sorted(&vars), sorted(&wanted["hostvars"][host]), "{name}: {host}");
        }
        assert_eq!(found.hosts.len(), wanted["all"].as_array().unwrap().len(), "{name}");
        for (group, hosts) in wanted["groups"].as_object().unwrap().iter().filter(|(g, _)| *g != "all") {
            // ansible-inventory lists the hosts of the group itself.
            let mut own: Vec<&str> = found.groups[group].hosts.iter().map(String::as_str).collect();
            own.sort_unstable();
            assert_eq!(&serde_json::json!(own), hosts, "{name}: {group}");
        }
    }
}

/// With the keys in order, so that only content counts.
fn sorted(json: &Json) -> String {
    let mut pairs: Vec<String> = json.as_object().unwrap().iter().map(|(k, v)| format!("{k}={v}")).collect();
    pairs.sort();
    pairs.join("\n")
}

#[test]
fn a_source_that_is_missing_or_empty_is_never_passed_over() {
    let load = |sources: &[&str]| {
        let sources: Vec<String> = sources.iter().map(|s| (*s).to_owned()).collect();
        let mut mistakes = Vec::new();
        let found = inventory::load(&sources, &Disk, &Vault::default(), &mut mistakes);
        (found.hosts.len(), mistakes.into_iter().map(|m| m.message).collect::<Vec<_>>())
    };
    assert_eq!(load(&["nosuch", "a,b"]), (2, vec!["the inventory nosuch was not found".into()]));
    assert_eq!(load(&[","]).1, ["the inventory , names no host"]);
    let empty = tempfile::tempdir().unwrap();
    assert!(load(&[empty.path().to_str().unwrap()]).1[0].ends_with("names no host"));
    assert_eq!(load(&["/dev/null"]), (0, vec![]), "empty on purpose");
    assert_eq!(load(&[]), (0, vec![]));
}

#[test]
fn group_names_with_odd_characters() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hosts");
    std::fs::write(&path, "[local-]\nh\n[local-:vars]\na=1\n").unwrap();
    for (names, group, warning) in [
        (GroupNames::Never, "local-", "but not replaced"),
        (GroupNames::Ignore, "local-", ""),
        (GroupNames::Always, "local_", "and automatically replaced"),
        (GroupNames::Silently, "local_", ""),
    ] {
        let mut mistakes = Vec::new();
        let sources = [path.to_str().unwrap().to_owned()];
        let found = inventory::load_with(&sources, names, &Disk, &Vault::default(), &mut mistakes);
        assert_eq!(found.hosts_of(group), ["h"], "{names:?}");
        assert_eq!(found.groups[group].vars.get("a"), Some(&Value::Int(1)));
        let said = mistakes.iter().map(|m| m.message.as_str()).collect::<String>();
        assert_eq!(said.contains(warning) && !said.is_empty(), !warning.is_empty(), "{names:?}: {said}");
        assert!(mistakes.iter().all(|m| m.warning));
    }
}

#[test]
fn variables_beside_the_playbook_are_kept_apart() {
    let mut found = inventory::load(&["a,".to_owned()], &Disk, &Vault::default(), &mut Vec::new());
    let mut mistakes = Vec::new();
    inventory::load_playbook_vars(&mut found, &Disk, Path::new(DIR), &Vault::default(), &mut mistakes);
    assert_eq!(found.groups["all"].playbook_group_vars.get("gv"), Some(&Value::Int(2)));
    assert!(found.groups["all"].inventory_group_vars.is_empty());
    assert_eq!(found.hosts["a"].vars.get("inventory_file"), Some(&Value::Null));
}
