//! File names with line feeds, quotes, dashes and Jinja through every module that takes a path; they come from a command's
//! output, so they are data.

use crate::place::Place;

const NAMES: [&str; 9] = [
    "new\nline",
    "it's \"quoted\"",
    "$HOMELESS `touch x` $(touch x); touch x #",
    "{{ 1 + 1 }}{% if true %}x{% endif %}",
    "-rf --",
    " spaces\tat the ends ",
    "*?[a-z]",
    "back\\slash \\n",
    "\u{fc}n\u{ef} \u{202e}\u{1b}[31m",
];

const ONE: &str = r#"
- set_fact: {at: "{{ base }}/{{ name }}"}
- file: {path: "{{ at }}", state: directory}
- copy: {content: "a=1\n", dest: "{{ at }}/{{ name }}"}
  register: first
- copy: {content: "a=1\n", dest: "{{ at }}/{{ name }}"}
  register: second
- stat: {path: "{{ at }}/{{ name }}"}
  register: found
- slurp: {src: "{{ at }}/{{ name }}"}
  register: read
- assert:
    that:
      - first is changed and second is not changed
      - first.dest == at + '/' + name
      - found.stat.exists and found.stat.path == at + '/' + name
      - read.content | b64decode == "a=1\n"
- copy: {src: "{{ at }}/{{ name }}", dest: "{{ at }}/copied", remote_src: true}
- lineinfile: {path: "{{ at }}/{{ name }}", line: b=2}
- blockinfile: {path: "{{ at }}/{{ name }}", block: c=3}
- replace: {path: "{{ at }}/{{ name }}", regexp: a=1, replace: a=4}
- ini_file: {path: "{{ at }}/{{ name }}", section: s, option: o, value: v}
- command: {argv: [cat, "{{ at }}/{{ name }}"]}
  register: cat
- assert:
    that:
      - cat.stdout_lines[:5] == ['a=4', 'b=2', '# BEGIN ANSIBLE MANAGED BLOCK', 'c=3', '# END ANSIBLE MANAGED BLOCK']
      - "'[s]' in cat.stdout"
- template: {src: t.j2, dest: "{{ at }}/templated"}
- slurp: {src: "{{ at }}/templated"}
  register: templated
- assert: {that: ["templated.content | b64decode == 'name ' + name + \"\n\""]}
- find: {paths: ["{{ at }}"], recurse: true, patterns: "*"}
  register: all
- assert: {that: ["all.files | map(attribute='path') | sort == [at + '/' + name, at + '/copied', at + '/templated'] | sort"]}
- fetch: {src: "{{ at }}/{{ name }}", dest: "{{ base }}/fetched/{{ name }}", flat: true}
- file: {src: "{{ at }}/{{ name }}", path: "{{ at }}/link {{ name }}", state: link}
- file: {src: "{{ at }}/{{ name }}", path: "{{ at }}/hard {{ name }}", state: hard}
- file: {path: "{{ at }}/touched {{ name }}", state: touch, mode: "0600"}
- archive: {path: ["{{ at | regex_replace('([*?\\[])', '[\\1]') }}"], dest: "{{ base }}/packed {{ name }}.tgz"}
- file: {path: "{{ base }}/out {{ name }}", state: directory}
- unarchive: {src: "{{ base }}/packed {{ name }}.tgz", dest: "{{ base }}/out {{ name }}", remote_src: true}
- assemble: {src: "{{ at }}", dest: "{{ base }}/whole {{ name }}", regexp: "^copied$"}
- stat: {path: "{{ base }}/out {{ name }}/{{ name }}/touched {{ name }}"}
  register: unpacked
- assert: {that: [unpacked.stat.exists, "unpacked.stat.mode == '0600'"]}
- command: {argv: [touch, never], creates: "{{ (at + '/' + name) | regex_replace('([*?\\[])', '[\\1]') }}"}
- file: {path: "{{ at }}", state: absent}
- stat: {path: "{{ at }}"}
  register: gone
- assert: {that: [not gone.stat.exists]}
"#;

#[test]
fn odd_names_go_through_every_file_module() {
    let place = Place::new();
    place.write("names.json", serde_json::to_string(&NAMES).unwrap());
    place.write("one.yml", ONE).write("templates/t.j2", "name {{ name }}\n");
    let base = place.at("base");
    std::fs::create_dir(&base).unwrap();
    let tasks = "- command: cat names.json\n  register: raw\n- include_tasks: one.yml\n  loop: \"{{ raw.stdout | from_json }}\"\n\
                 \x20 loop_control: {loop_var: name, label: x}\n";
    place.tasks(tasks, &["-e", &format!("base={}", base.display())]).code(0);
    for name in NAMES {
        let fetched = std::fs::read_to_string(base.join("fetched").join(name)).unwrap();
        assert!(fetched.starts_with("a=4\nb=2\n"), "{name:?}: {fetched}");
        assert_eq!(std::fs::read_to_string(base.join(format!("whole {name}"))).unwrap(), "a=1\n", "{name:?}");
    }
    let here: Vec<_> = std::fs::read_dir(place.0.path()).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(!here.iter().any(|n| n == "x" || n == "never"), "{here:?}");
}
