//! What comes of right texts: roles from their folders, tasks and plays in their model.

use std::path::{Path, PathBuf};

use stx_upgrade::model::mistake::Mistake;
use stx_upgrade::model::playbook::{PlayEntry, Playbook, Role, Task, TaskEntry};
use stx_upgrade::model::source::Span;
use stx_upgrade::model::value::Value;
use stx_upgrade::parse::files::Disk;
use stx_upgrade::parse::role::{self, From, Places};
use stx_upgrade::parse::vault::Vault;
use stx_upgrade::parse::{extra_vars, playbook};
use stx_upgrade::report::mistake::render;

use crate::words::Table;

const SITE: &str = "tests/inputs/site";

fn places() -> Places {
    Places {
        playbook_dir: SITE.into(),
        roles_path: vec![Path::new(SITE).join("shared")],
        collections_paths: vec![SITE.into()],
        ..Places::default()
    }
}

fn find(name: &str, places: &Places) -> Result<PathBuf, Mistake> {
    role::find(&Disk, name, places).map_err(|e| e.mistake(&Span::of_text("site.yml", name)))
}

fn load(name: &str, from: &From) -> (Option<Role>, Vec<Mistake>) {
    let mut mistakes = Vec::new();
    let dir = find(name, &places()).unwrap();
    let at = Span::of_text("site.yml", name);
    let role = role::load(&Disk, &dir, name, from, &at, &Table, &Vault::default(), &mut mistakes);
    (role, mistakes)
}

#[test]
fn roles_are_found_where_ansible_looks() {
    let at = |p: &str| Ok(Path::new(SITE).join(p));
    assert_eq!(find("web", &places()), at("roles/web"));
    assert_eq!(find("outer", &places()), at("shared/outer"));
    assert_eq!(find("shared/outer", &places()), at("shared/outer"));
    assert_eq!(find("my.tools.fq", &places()), at("ansible_collections/my/tools/roles/fq"));
    let listed = Places { collections: vec!["my.tools".into()], ..places() };
    assert_eq!(find("fq", &listed), at("ansible_collections/my/tools/roles/fq"));
    let beside = Places { beside: Some(Path::new(SITE).join("shared")), ..Places::default() };
    assert_eq!(find("outer", &beside), at("shared/outer"));
    let missing = find("wbe", &places()).unwrap_err();
    insta::assert_snapshot!(render(&[missing], false), @r"
    error: the role `wbe` was not found
     --> site.yml:1:1
      |
    1 | wbe
      | ^^^ did you mean `web`?
      = looked in tests/inputs/site/roles, tests/inputs/site/shared, tests/inputs/site
    ");
}

#[test]
fn a_role_is_read_from_all_its_files() {
    let (role, mistakes) = load("web", &From::default());
    assert_eq!(mistakes, []);
    let role = role.unwrap();
    assert_eq!((role.tasks.len(), role.handlers.len()), (2, 1));
    assert_eq!(role.defaults.get("port"), Some(&Value::Int(8080)), "files of a folder by name, the last wins");
    assert!(role.defaults.get("ignored").is_none());
    assert_eq!(role.vars.get("fixed"), Some(&Value::Int(1)));
    assert!(role.meta.allow_duplicates);
    let names: Vec<_> = role.meta.dependencies.iter().map(|d| d.role.value.to_string()).collect();
    assert_eq!(names, ["base", "base", "base"]);
    assert_eq!(role.meta.dependencies[1].params.get("level"), Some(&Value::Int(2)));
    assert!(role.meta.dependencies[2].params.is_empty(), "what ansible-galaxy reads is no parameter");
    let specs: Vec<_> = role.meta.argument_specs.keys().collect();
    assert_eq!(specs, ["main", "other"], "the file of its own wins over meta/main.yml");

    let (specs, _) = load("specs", &From::default());
    assert!(specs.unwrap().meta.argument_specs["main"].get("options").is_some());
    let (base, _) = load("base", &From::default());
    assert_eq!(base.unwrap().tasks.len(), 1, "`main` without ending");
}

#[test]
fn tasks_from_names_a_file_or_is_answered() {
    for from in ["other", "other.yaml"] {
        let (role, mistakes) = load("web", &From { tasks: Some(from), ..From::default() });
        assert_eq!((role.unwrap().tasks.len(), mistakes), (1, vec![]), "{from}");
    }
    let (role, mistakes) = load("web", &From { tasks: Some("othr"), ..From::default() });
    assert!(role.is_none());
    insta::assert_snapshot!(render(&mistakes, false), @r"
    error: the role `web` has no tasks file `othr`
     --> site.yml:1:1
      |
    1 | web
      | ^^^ did you mean `other`?
      = looked in tests/inputs/site/roles/web/tasks
    ");
    let (role, mistakes) = load("web", &From { tasks: Some("../../base/tasks/main"), ..From::default() });
    assert!(role.is_none() && mistakes[0].message.contains("not inside the expected role path"), "{mistakes:?}");
}

fn read(text: &str) -> Playbook {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.yml");
    std::fs::write(&path, text).unwrap();
    let mut mistakes = Vec::new();
    let playbook = playbook::load(&Disk, &path, &Table, &Vault::default(), &mut mistakes).unwrap();
    assert!(mistakes.is_empty(), "{}", render(&mistakes, false));
    playbook
}

fn task(text: &str) -> Task {
    let indented = text.replace('\n', "\n      ");
    let playbook = read(&format!("- hosts: all\n  tasks:\n    - {indented}\n"));
    let PlayEntry::Play(play) = &playbook.entries[0] else { panic!("a play") };
    let TaskEntry::Task(task) = &play.tasks[0] else { panic!("a task") };
    (**task).clone()
}

fn arguments(task: &Task) -> String {
    let mut all: Vec<String> = task.action.args.iter().map(|a| format!("{}={}", a.name.value, a.value.value)).collect();
    all.extend(task.action.free_form.iter().map(|f| format!("text {}", f.value)));
    all.extend(task.action.args_template.iter().map(|t| format!("template {}", t.value)));
    format!("{}: {}", task.action.name.value, all.join(", "))
}

#[test]
fn actions_in_every_form() {
    for (text, read) in [
        ("copy: {src: a, dest: b}", "copy: src=a, dest=b"),
        ("copy: src=a dest='b c'", "copy: src=a, dest=b c"),
        ("copy: src=a\nargs: {dest: b, src: z}", "copy: dest=b, src=a"),
        ("copy:\nargs: \"{{ x }}\"", "copy: template {{ x }}"),
        ("copy: \"{{ x }}\"", "copy: template {{ x }}"),
        ("command: chdir=/x creates=/y ls -l a=b", "command: chdir=/x, creates=/y, text ls -l a=b"),
        ("command: \"{{ x }}\"", "command: text {{ x }}"),
        ("command: {cmd: ls, chdir: /x}", "command: cmd=ls, chdir=/x"),
        ("shell: |\n  a\n  b", "shell: text a\nb\n"),
        ("action: copy src=a dest=b", "copy: src=a, dest=b"),
        ("action: {module: copy, src: a}", "copy: src=a"),
        ("action: {module: copy src=a, dest: b}", "copy: dest=b, src=a"),
        ("action: {module: copy, args: {src: a}}", "copy: src=a"),
        ("action: command ls -l", "command: text ls -l"),
        ("action: \"{{ which }} src=a\"", "{{ which }}: src=a"),
        ("local_action: command chdir=/x ls", "command: chdir=/x, text ls"),
        ("ansible.builtin.debug: msg=hi", "ansible.builtin.debug: msg=hi"),
        ("include_tasks: \"{{ x }}.yml\"", "include_tasks: text {{ x }}.yml"),
        ("ping:", "ping: "),
    ] {
        assert_eq!(arguments(&task(text)), read, "{text}");
    }
    assert!(task("local_action: {module: ping}").local && !task("ping:").local);
}

#[test]
fn places_of_arguments_are_those_of_their_text() {
    let task = task("command: >-\n  chdir={{ dir }}\n  ls {{ what }}");
    let [arg] = task.action.args.as_slice() else { panic!("one argument") };
    assert_eq!((arg.value.span.place().line, arg.value.span.text()), (4, "{{ dir }}"));
    let free = task.action.free_form.unwrap();
    assert_eq!((free.span.place().line, free.span.text()), (5, "ls {{ what }}"));
}

#[test]
fn shapes_of_keywords() {
    let t = task(
        "ping:\nwhen: [a, b]\ntags: a, b\nwith_dict: {x: 1}\nregister: {one: \"{{ x }}\"}\nnotify: n\nenvironment: {A: 1}",
    );
    assert_eq!((t.when.len(), t.common.tags.len(), t.notify.len(), t.common.environment.len()), (2, 2, 1, 1));
    assert_eq!(t.common.tags[1].span.text(), "b");
    assert_eq!(t.looping.unwrap().with.unwrap().value, "dict");
    assert_eq!(t.register_projections.keys().collect::<Vec<_>>(), ["one"]);
    assert!(t.register.is_none());
    let t = task("file: {path: /x, mode: 0644}\nbecome: yes");
    assert_eq!(t.action.args[1].value.value, Value::Int(0o644));
    assert_eq!(t.common.become_.unwrap().value, Value::Bool(true));
}

#[test]
fn imports_with_variables_in_the_old_form() {
    let playbook = read("- import_playbook: other.yml a=1 b=\"{{ x }} y\" tags=p,q\n");
    let PlayEntry::Import(import) = &playbook.entries[0] else { panic!("an import") };
    assert_eq!(import.file.value.as_str(), Some("other.yml"));
    assert_eq!(import.common.vars.get("a").unwrap().as_str(), Some("1"));
    assert!(import.common.vars.get("b").unwrap().has_template());
    assert_eq!(import.common.tags.len(), 2);
}

#[test]
fn deep_blocks_fit_a_small_stack() {
    let mut text = String::from("- hosts: all\n  tasks:\n");
    for depth in 0..90 {
        text.push_str(&format!("{}- block:\n", "  ".repeat(depth + 2)));
    }
    text.push_str(&format!("{}- ping:\n", "  ".repeat(92)));
    std::thread::Builder::new().stack_size(2 << 20).spawn(move || drop(read(&text))).unwrap().join().unwrap();
}

#[test]
fn extra_vars_in_every_form() {
    let parse = |options: &[&str]| {
        let options: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
        extra_vars::parse(&options, &Disk, &Vault::default())
    };
    let vars =
        parse(&["a=1 b='x y'", "{\"c\": 1e2, \"a\": true}", "{d: yes}", "@tests/inputs/site/roles/web/vars/main.json"]);
    assert_eq!(Value::dict(vars.unwrap()).to_string(), "{'a': True, 'b': 'x y', 'c': 100.0, 'd': True, 'fixed': 1}");
    for wrong in ["novalue", "a=1 b", "{a", "[1]", "@", "@nosuch.yml", "/etc/vars.yml", "a='x"] {
        assert!(parse(&[wrong]).is_err(), "{wrong}");
    }
}
