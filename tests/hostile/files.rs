//! Playbooks, inventories and output that are made to hurt: answered, in bounded time and memory.

use std::os::unix::process::ExitStatusExt;

use crate::place::{Place, Said};

const HEAD: &str = "- hosts: all\n  gather_facts: false\n  vars:\n";

/// Plays a text under limits that harm would break: 3 GB of memory, 40 seconds of processor time (without optimization).
/// It must come to an end of its own.
fn squeezed(place: &Place, inventory: &str) -> Said {
    let line = "ulimit -v 3000000; ulimit -t 40; exec \"$@\"";
    let program = place.command(&["play", "site.yml", "-c", "local", "-i", inventory]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", line, "sh"]).arg(program.get_program()).args(program.get_args());
    command.envs(program.get_envs().filter_map(|(k, v)| Some((k, v?)))).current_dir(place.0.path());
    let out = command.stdin(std::process::Stdio::null()).output().unwrap();
    let text = format!("{}\n{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert_eq!(out.status.signal(), None, "{text}");
    Said { code: out.status.code(), text }
}

fn playbook(text: &str) -> Said {
    let place = Place::new();
    place.write("site.yml", text);
    squeezed(&place, "localhost,")
}

#[test]
fn aliases_do_not_blow_a_file_up() {
    let mut bomb = format!("{HEAD}    a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    let mut merges = format!("{HEAD}    a0: &a0 {{k: v}}\n");
    for i in 1..12 {
        let nine = vec![format!("*a{}", i - 1); 9].join(", ");
        bomb += &format!("    a{i}: &a{i} [{nine}]\n");
        merges += &format!("    a{i}: &a{i} {{<<: [{nine}], k{i}: [{nine}]}}\n");
    }
    playbook(&bomb).code(4).says("aliases blow this file up to more than 1000000 nodes");
    playbook(&merges).code(4).says("aliases blow this file up");
    playbook(&format!("{HEAD}    a: &a [*a]\n")).code(4).says("cannot contain itself");
}

#[test]
fn nesting_is_bounded() {
    let n = 100_000;
    playbook(&format!("{HEAD}    a: {}{}\n", "[".repeat(n), "]".repeat(n))).code(4).says("deep");
    playbook(&format!("{HEAD}    a: {}\n", "{a: ".repeat(n))).code(4).says("deep");
    let block: String = (0..2000).map(|i| format!("{}a:\n", " ".repeat(4 + i))).collect();
    playbook(&format!("{HEAD}{block}")).code(4).says("deep");
    playbook(&format!("{HEAD}    a: {}\n", "- ".repeat(n))).code(4);
    let chain = format!("- hosts: all\n  tasks:\n    - debug: {{msg: \"{{{{ {}1 }}}}\"}}\n", "-".repeat(n));
    playbook(&chain).code(4).says("in one chain");
}

#[test]
fn fifty_megabytes_are_read_or_refused() {
    let text = "x".repeat(50_000_000);
    let play = "  tasks: [{debug: {msg: \"{{ big | length }}\"}}]\n";
    playbook(&format!("{HEAD}    big: \"{text}\"\n{play}")).code(0).says("50000000");
    let line = "    # a comment of a playbook that is much too long\n";
    playbook(&format!("{HEAD}    big: x\n{}{play}", line.repeat(1_000_000))).code(0);
    let list = "0,".repeat(25_000_000);
    playbook(&format!("{HEAD}    big: [{list}]\n{play}")).code(4).says("goes on behind 4000000 nodes");
    // Each of these makes the parser begin anew.
    let odd: String = (0..9000).map(|i| format!("    k{i}: \"a\"#c\n")).collect();
    playbook(&format!("{HEAD}{odd}{play}")).code(4);
}

#[test]
fn an_inventory_program_may_print_what_it_likes() {
    let place = Place::new();
    place.write("site.yml", "- hosts: all\n  gather_facts: false\n  tasks: [{debug: {}}]\n");
    for (script, words) in [
        ("yes '{\"a\": 1}'", "prints more than 128 MB"),
        ("yes >&2 & head -c 200000000 /dev/zero >&2; kill $!; echo '{'", "does not print JSON"),
        ("printf '{\"a\": \"\\377\\376\"}'", "not UTF-8"),
        ("head -c 1000000 /dev/zero | tr '\\0' '['", "does not print JSON"),
        ("echo '[]'", "must print a JSON object"),
        ("echo '{\"a\": {\"hosts\": [{\"b\": 1}, [], 7]}}'", "must be a name"),
        ("echo '{\"a\": {\"children\": [\"a\"]}}'", "a"),
        ("echo '{\"_meta\": [], \"all\": {\"hosts\": 5, \"vars\": 3, \"children\": {\"x\": 1}}}'", ""),
        ("kill -9 $$", "failed"),
    ] {
        place.program("inventory", &format!("#!/bin/sh\n{script}\n"));
        let said = squeezed(&place, "inventory");
        assert!(matches!(said.code, Some(0..=5)), "{script}: {:?} {}", said.code, said.text);
        said.says(words);
    }
}

/// Words that would do something if anybody took them for a template.
const BAIT: &str = "{{ lookup('pipe', 'touch pwned') }}{% set x = lookup('pipe', 'touch pwned') %}";

#[test]
fn what_hosts_say_is_never_a_template() {
    let place = Place::new();
    place.write("bait", BAIT).write("bait.json", format!("{{\"ansible_facts\": {{\"local_bait\": \"{BAIT}\"}}}}"));
    place.program("library/facts_of_its_own", "#!/bin/sh\ncat bait.json\n");
    place.write("templates/t.j2", "{{ r.stdout }}").write("more.yml", "- debug: {msg: \"{{ got }} {{ r.stdout }}\"}\n");
    let tasks = "\
- command: cat bait
  register: r
- shell: cat bait >&2; exit 1
  register: failed
  ignore_errors: true
- facts_of_its_own:
- slurp: {src: bait}
  register: read
- set_fact: {kept: \"{{ r.stdout }}\", \"{{ 'made' }}\": \"{{ [r.stdout, {'k': r.stdout}] }}\"}
- debug: {msg: \"{{ kept }} {{ made }} {{ local_bait }} {{ failed.stderr }} {{ read.content | b64decode }}\"}
- debug: {var: made}
- debug: {msg: \"{{ item }}\"}
  loop: \"{{ r.stdout_lines + made }}\"
- template: {src: t.j2, dest: templated}
- copy: {content: \"{{ kept }}\", dest: copied}
- include_tasks: more.yml
  vars: {got: \"{{ kept }}\"}
- command: echo {{ kept | quote }}
  environment: {BAIT: \"{{ kept }}\"}
- assert: {that: [\"kept == r.stdout\", \"'lookup' in kept\"], fail_msg: \"{{ kept }}\"}
- fail: {msg: \"{{ kept }}\"}
  when: kept != ''
  ignore_errors: true
- debug: {msg: x}
  when: kept
  ignore_errors: true
- command: cat needed
- debug: {msg: \"again {{ kept }} {{ made }} {{ r.stdout }} {{ local_bait }}\"}
- copy: {content: \"{{ r.stdout }}\", dest: resumed}
";
    place.tasks(tasks, &["-vvv", "--diff"]).code(2);
    // What comes from the journal is as much data as before.
    place.write("needed", "");
    place.run(&["resume", "-vvv"]).code(0).says("again {{ lookup");
    for file in ["templated", "copied", "resumed"] {
        assert_eq!(std::fs::read_to_string(place.at(file)).unwrap(), BAIT, "{file}");
    }
    assert!(!place.at("pwned").exists());
}

/// An entry that no tar program would make: name, kind, target or content, and the size that it claims.
fn tar_with(name: &str, kind: tar::EntryType, text: &str, claims: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o4755);
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..text.len().min(100)].copy_from_slice(&text.as_bytes()[..text.len().min(100)]);
    header.set_size(claims);
    header.set_cksum();
    let mut out = header.as_bytes().to_vec();
    out.extend([0; 2048]);
    out
}

#[test]
fn archives_do_not_break_out() {
    use tar::EntryType as Kind;
    let place = Place::new();
    std::fs::create_dir_all(place.at("in/out")).unwrap();
    place.write("in/victim", "whole");
    let up = "../victim";
    for (name, kind, target, claims) in [
        ("../victim", Kind::Regular, "", 0),
        ("a/../../victim", Kind::Regular, "", 0),
        ("hard", Kind::Link, up, 0),
        ("dev", Kind::Block, "", 0),
        ("dev", Kind::Char, "", 0),
        ("pipe", Kind::Fifo, "", 0),
        ("huge", Kind::Regular, "", 1 << 50),
        ("huge", Kind::Regular, "", u64::MAX >> 1),
    ] {
        place.write("bad.tar", tar_with(name, kind, target, claims));
        let said = place.tasks("- unarchive: {src: bad.tar, dest: in/out}\n", &[]);
        let said = said.code(2);
        assert!(said.text.contains("FAILED!") && !said.text.contains("bug"), "{name} {kind:?}: {}", said.text);
        assert_eq!(std::fs::read_to_string(place.at("in/victim")).unwrap(), "whole", "{name} {kind:?}");
        let made: Vec<_> = std::fs::read_dir(place.at("in/out")).unwrap().flatten().map(|e| e.file_name()).collect();
        assert!(made.is_empty(), "{name} {kind:?}: {made:?}");
    }
}

/// A zip whose file says that it is small, and is not.
#[test]
fn what_an_archive_claims_bounds_what_it_writes() {
    const REAL: u32 = 3 << 20;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let packed = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    zip.start_file("f", packed).unwrap();
    std::io::Write::write_all(&mut zip, &vec![0; REAL as usize]).unwrap();
    let mut bytes = zip.finish().unwrap().into_inner();
    let sizes: Vec<usize> = (0..bytes.len() - 3).filter(|i| bytes[*i..i + 4] == REAL.to_le_bytes()).collect();
    assert_eq!(sizes.len(), 2, "in its own header and in the list of all");
    for at in sizes {
        bytes[at..at + 4].copy_from_slice(&10u32.to_le_bytes());
    }
    let place = Place::new();
    std::fs::create_dir(place.at("out")).unwrap();
    place.write("bad.zip", bytes);
    place.tasks("- unarchive: {src: bad.zip, dest: out}\n", &[]).code(2).says("FAILED!");
    assert_eq!(std::fs::read_dir(place.at("out")).unwrap().count(), 0);
}
