//! The command line as a user meets it: what it says, where, and with which exit code. Everything runs on this machine
//! (`connection: local`), with folders of the test's own.

mod live;
mod place;

use place::{HEAD, Place, Run};
use std::fs;
use std::process::{Command, Stdio};

#[test]
fn every_mistake_is_found_before_anything_runs() {
    let place = Place::new();
    let text = format!(
        "{HEAD}    - command: touch ran\n    - comand: ls\n    - copy:\n        contnt: x\n        dest: /tmp/y\n      notify: nobody\n\
         \x20   - debug: msg=\"{{{{ 1 | nofilter }}}}\"\n    - import_role: {{name: prechek}}\n  gather_fact: false\n"
    );
    place
        .play(&text)
        .code(4)
        .says("`command`")
        .says("site.yml:7:9")
        .says("did you mean `content`?")
        .says("nofilter")
        .says("the role `prechek` was not found")
        .says("gather_facts")
        .says("errors; nothing was run.");
    assert!(!place.dir.path().join("ran").exists());
    assert!(!place.dir.path().join("state").exists(), "no journal for what never began");
}

#[test]
fn exit_codes() {
    let place = Place::new();
    place.play("- hosts: [\n").code(4).says("site.yml:");
    place.run(&["play", "nowhere.yml"]).code(1).says("nowhere.yml").says("upgrade.yml");
    place.run(&["play", "--nonsense"]).code(5);
    place
        .play("- hosts: nobody\n  gather_facts: false\n  tasks: [{debug: {}}]\n")
        .code(1)
        .says("no play matched any host");
    place.run(&["play", "site.yml", "-i", "missing.ini"]).code(4).says("missing.ini");
    place.run(&["play", "site.yml", "-i", "localhost,", "-l", "nobody"]).code(1);
    place.play(&format!("{HEAD}    - fail: msg=no\n")).code(2).says("FAILED!");
    place.play(&format!("{HEAD}    - command: true\n")).code(0);
    place.run(&["play", "site.yml", "-i", "localhost,", "-c", "local", "--detailed-exitcode"]).code(10);
    place
        .play(&format!("{HEAD}    - stx_gate: {{title: t, lines: {{a: b}}, expect: localhost}}\n"))
        .code(11)
        .says("GATE [t]");
    place
        .play(&format!("{HEAD}    - stx_gate: {{title: t, lines: {{a: b}}, expect: localhost, answer: no way}}\n"))
        .code(12);
    place.play("- hosts: all\n  gather_facts: false\n  tasks: [{command: 'true'}]\n").code(0);
    place.run(&["play", "site.yml", "-i", "away.invalid,"]).code(3).says("UNREACHABLE!");
}

#[test]
fn an_undefined_variable_names_itself_and_its_place() {
    let place = Place::new();
    place
        .play(&format!("{HEAD}    - command: echo {{{{ nope.member }}}}\n"))
        .code(2)
        .says("'nope' is undefined")
        .says("site.yml:4:");
}

#[test]
fn a_failed_run_is_resumed_at_the_failed_step() {
    let place = Place::new();
    let text = format!(
        "{HEAD}    - shell: echo first >> log\n      register: r\n    - command: cat needed\n    - shell: echo \"{{{{ r.rc }}}} last\" >> log\n      notify: h\n\
         \x20 handlers:\n    - name: h\n      shell: echo handler >> log\n"
    );
    place.play(&text).code(2).says("stx-upgrade resume");
    assert_eq!(place.read("log"), "first\n");
    place.write("needed", "");
    place.run(&["resume"]).code(0).hides("first");
    assert_eq!(place.read("log"), "first\n0 last\nhandler\n", "nothing twice, nothing lost");
    place.run(&["runs"]).code(0).says("completed");
    place.run(&["show", "--verify"]).code(0).says("chain intact");
}

/// What a loop made of the inventory and of the variables is there after a resume too.
#[test]
fn what_followed_from_a_loop_is_there_in_the_resume() {
    let place = Place::new();
    let text = format!(
        "{HEAD}    - add_host: {{name: '{{{{ item }}}}', groups: made, ansible_connection: local}}\n      loop: [a, b]\n\
         \x20   - set_fact: {{'fact_{{{{ item }}}}': 'of {{{{ item }}}}'}}\n      loop: [a, b]\n\
         \x20   - command: cat needed\n\
         - hosts: made\n  gather_facts: false\n  tasks:\n    - shell: echo {{{{ inventory_hostname }}}} {{{{ hostvars.localhost['fact_' ~ inventory_hostname] }}}} >> log\n      throttle: 1\n"
    );
    place.play(&text).code(2);
    place.write("needed", "");
    place.run(&["resume"]).code(0);
    assert_eq!(place.read("log"), "a of a\nb of b\n");
}

/// A step that ends its own agent: nobody knows what became of it, and nobody is there to be asked.
#[test]
fn a_step_in_doubt_is_left_to_the_operator() {
    for (answer, log, code, told) in
        [("ran", "x\n", 0, "changed=1"), ("run", "x\nx\n", 0, "changed=1"), ("failed", "x\n", 2, "failed=1")]
    {
        let place = Place::new();
        let text = format!("{HEAD}    - shell: echo x >> log; test -e once || {{ touch once; kill -9 $PPID; }}\n");
        place
            .play(&text)
            .code(13)
            .says("`stx-upgrade resume --in-doubt localhost=ran` if it did (`localhost=failed` if it did and failed), `--in-doubt localhost=run` to run it now");
        place.run(&["resume"]).code(13).says("--in-doubt");
        place.run(&["resume", "--in-doubt", answer]).code(code).says(told);
        assert_eq!(place.read("log"), log, "{answer}");
    }
}

/// What the operator says of one host is not taken for another.
#[test]
fn an_answer_is_for_the_host_that_it_names() {
    let place = Place::new();
    let kills = "shell: test -e once{{ inventory_hostname }} || { touch once{{ inventory_hostname }}; kill -9 $PPID $$; }; \
                 echo {{ inventory_hostname }} >> log";
    let text = format!("- hosts: all\n  gather_facts: false\n  tasks:\n    - {kills}\n");
    place.write("hosts", "[all]\na\nb\n[all:vars]\nansible_connection=local\n");
    place.write("site.yml", &text);
    place.run(&["play", "site.yml", "-i", "hosts"]).code(13).says("--in-doubt ");
    place.run(&["resume", "--in-doubt", "run"]).code(13).says("--in-doubt ");
    assert_eq!(place.read("log"), "");
    place.run(&["resume", "--in-doubt", "ran", "--in-doubt", "a=run"]).code(13).says("--in-doubt b=ran");
    assert_eq!(place.read("log"), "a\n");
    place.run(&["resume", "--in-doubt", "c=run"]).code(13).says("--in-doubt b=ran");
    place.run(&["resume", "--in-doubt", "b=perhaps"]).code(5).says("controller-0=ran");
    place.run(&["resume", "--in-doubt", "b=ran"]).code(0);
    assert_eq!(place.read("log"), "a\n");
}

#[test]
fn a_step_in_doubt_is_not_forgotten_with_its_host() {
    let place = Place::new();
    let kills = "shell: echo {{ inventory_hostname }} >> log; test -e once || { touch once; kill -9 $PPID; }";
    place.write("site.yml", &format!("- hosts: all\n  gather_facts: false\n  serial: 1\n  tasks:\n    - {kills}\n"));
    place.write("hosts", "[all]\na\nb\n[all:vars]\nansible_connection=local\n");
    place.run(&["play", "site.yml", "-i", "hosts"]).code(13).says("[a] `shell`");
    place.write("hosts", "[all]\nb\n[all:vars]\nansible_connection=local\n");
    place.run(&["resume"]).code(13).says("[a] `shell`").says("the inventory or the playbook has it no more");
    assert_eq!(place.read("log"), "a\nb\n");
    place.run(&["resume", "--in-doubt", "run"]).code(13).says("the inventory or the playbook has it no more");
    place.run(&["resume", "--in-doubt", "ran"]).code(0);
    assert_eq!(place.read("log"), "a\nb\n");
}

#[test]
fn a_step_whose_result_cannot_be_opened_runs_again_with_its_handlers() {
    let place = Place::new();
    let text = format!(
        "{HEAD}    - copy: {{content: '{{{{ db_password }}}}', dest: conf}}\n      vars: {{db_password: Sw0rdf1sh}}\n      no_log: true\n      notify: h\n\
         \x20   - command: cat needed\n  handlers:\n    - name: h\n      shell: echo handler >> log\n"
    );
    place.play(&text).code(2);
    // As on another machine: the key lies in the state folder alone.
    fs::remove_file(place.dir.path().join("state/stx-upgrade/seal.key")).unwrap();
    place.write("needed", "");
    place.run(&["resume"]).code(0);
    assert_eq!(place.read("log"), "handler\n");
}

#[test]
fn an_edited_step_is_not_taken_for_the_one_on_record() {
    let place = Place::new();
    place
        .play(&format!("{HEAD}    - name: a\n      shell: echo one >> log\n    - name: b\n      command: cat needed\n"))
        .code(2);
    // The failed step may be mended, and others added: that does not disturb a resume.
    let mended = format!(
        "{HEAD}    - debug: msg=new\n    - name: a\n      shell: echo one >> log\n    - name: b\n      command: echo mended\n"
    );
    place.write("site.yml", &mended);
    place.run(&["resume"]).code(0).says("ok: [localhost]");
    assert_eq!(place.read("log"), "one\n");

    let place = Place::new();
    place
        .play(&format!("{HEAD}    - name: a\n      shell: echo one >> log\n    - name: b\n      command: cat needed\n"))
        .code(2);
    place.write(
        "site.yml",
        &format!("{HEAD}    - name: a\n      shell: echo two >> log\n    - name: b\n      command: echo mended\n"),
    );
    place.run(&["resume"]).code(1).says("`a` (site.yml:4:7) was edited since");
    place.run(&["resume", "--accept-edits"]).code(0);
    assert_eq!(place.read("log"), "one\n");
}

#[test]
fn flags_and_keywords_do_what_they_say_or_are_refused() {
    let place = Place::new();
    let text =
        format!("{HEAD}    - name: one\n      shell: echo 1 >> log\n    - name: two\n      shell: echo 2 >> log\n");
    place.write("site.yml", &text);
    let start = ["play", "site.yml", "-i", "localhost,", "-c", "local", "--start-at-task"];
    place.run(&[&start[..], &["two"]].concat()).code(0);
    assert_eq!(place.read("log"), "2\n");
    place.run(&[&start[..], &["nowhere"]].concat()).code(1).says("no task is named `nowhere`");
    place
        .play(&format!("{HEAD}    - command: echo hi\n      debugger: always\n"))
        .code(4)
        .says("`debugger` is not supported yet");
}

/// A job goes on while the play does; a fifo holds it until the play lets it go.
#[test]
fn a_job_goes_on_and_is_asked_about() {
    let place = Place::new();
    place.write("home/.keep", "");
    let jobs = place.dir.path().join("jobs");
    let text = format!(
        "- hosts: localhost\n  gather_facts: false\n  environment: {{ANSIBLE_ASYNC_DIR: {}}}\n  tasks:\n\
         \x20   - command: mkfifo gate\n\
         \x20   - command: cat gate\n      async: 60\n      poll: 0\n      register: job\n\
         \x20   - async_status: jid={{{{ job.ansible_job_id }}}}\n      register: before\n\
         \x20   - shell: echo open > gate\n\
         \x20   - async_status: jid={{{{ job.ansible_job_id }}}}\n      register: after\n      until: after is finished\n      retries: 600\n      delay: 0.1\n\
         \x20   - async_status: jid={{{{ job.ansible_job_id }}}} mode=cleanup\n      register: gone\n\
         \x20   - assert:\n        that:\n          - not before.finished\n          - after.stdout == 'open'\n          - gone.erased == job.results_file\n\
         \x20   - command: cat nothing\n      async: 60\n      poll: 1\n      register: bad\n      ignore_errors: true\n\
         \x20   - assert: {{that: [bad.finished, bad.rc == 1]}}\n\
         \x20   - copy: {{content: x, dest: x}}\n      async: 60\n",
        jobs.display()
    );
    place
        .play(&text)
        .code(2)
        .says("This action (copy) does not support async")
        .says("ASYNC FAILED on localhost: jid=j");
    let left: Vec<_> = fs::read_dir(&jobs).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

/// `ansible.cfg` beside the playbook, under what the environment says; what has no effect is told.
#[test]
fn settings_come_from_the_file_and_the_environment() {
    let place = Place::new();
    place.write(
        "ansible.cfg",
        "[defaults]\nroles_path = shared\ninventory = hosts\ngathering = explicit\nfact_caching = redis\n",
    );
    place.write("hosts", "one ansible_connection=local\n");
    place.write("shared/own/tasks/main.yml", "- debug: msg=here\n");
    place.write("site.yml", "- hosts: one\n  roles: [own]\n");
    place
        .run(&["play", "site.yml"])
        .code(0)
        .says("\"msg\": \"here\"")
        .hides("Gathering Facts")
        .says("settings that have no effect here: fact_caching (there are memory and jsonfile)");
}

/// `log_path`: what is shown is in the file too, without colours and secrets.
#[test]
fn a_log_is_kept_where_the_settings_say_so() {
    let place = Place::new();
    place.write("ansible.cfg", "[defaults]\nlog_path = runs.log\nforce_color = true\n");
    place.write("site.yml", "- hosts: localhost\n  gather_facts: false\n  vars: {password: hush-1234}\n  tasks:\n    - debug: msg={{ password }}\n    - fail: msg=over\n");
    place.run(&["play", "site.yml"]).code(2);
    let log = fs::read_to_string(place.dir.path().join("runs.log")).unwrap();
    assert!(log.lines().any(|l| l.contains(" n=ansible INFO| TASK [debug] ***")), "{log}");
    assert!(log.lines().any(|l| l.contains(" n=ansible ERROR| fatal: [localhost]: FAILED!")), "{log}");
    assert!(log.contains("********") && !log.contains("hush-1234") && !log.contains('\u{1b}'), "{log}");
    place.write("ansible.cfg", "[defaults]\nlog_path = nowhere/runs.log\n");
    place.run(&["play", "site.yml"]).code(1).says("nowhere/runs.log, which `log_path` names");
}

/// A playbook that is named without a folder lies in this one.
/// `log_verbosity`: the file is told more than the screen, and what is sent to a host without what it is given.
#[test]
fn a_log_may_be_told_more() {
    let place = Place::new();
    place.write("ansible.cfg", "[defaults]\nlog_path = runs.log\nlog_verbosity = 3\n");
    place.play(&format!("{HEAD}    - command: echo given\n")).code(0).hides("EXEC");
    let log = place.read("runs.log");
    let sent = log.lines().find(|l| l.contains("EXEC")).unwrap();
    assert!(sent.ends_with("<localhost> EXEC command"), "{sent}");
    assert!(log.contains("\"stdout\": \"given\""), "{log}");
}

/// A condition between braces: said once, with its place, unless a setting says no.
#[test]
fn what_will_not_be_taken_one_day_is_said_once() {
    let place = Place::new();
    let said = "[DEPRECATION WARNING]: Conditionals should not be surrounded by templating delimiters";
    let text = format!("{HEAD}    - debug: msg=shown\n      loop: [1, 2]\n      when: \"{{{{ item == 2 }}}}\"\n");
    let run = place.play(&text).code(0).says(&format!("{said} such as")).says("Origin: site.yml:6:13").says("shown");
    assert_eq!(run.text().matches(said).count(), 1, "{}", run.text());
    place.write("ansible.cfg", "[defaults]\ndeprecation_warnings = false\n");
    place.play(&text).code(0).hides(said).says("shown");
}

/// What an include names and is not there fails the host, with the place of the name.
#[test]
fn an_include_of_nothing_fails_its_host() {
    let place = Place::new();
    let role = "{name: \"no{{ 'where' }}\"}";
    place
        .play(&format!("{HEAD}    - include_role: {role}\n"))
        .code(2)
        .says("FAILED! => {\"changed\": false, \"reason\": \"the role 'nowhere' was not found in roles:")
        .says("Origin: site.yml:4:28");
    place.write("sub.yml", "- include_tasks: missing.yml\n");
    place
        .play(&format!(
            "{HEAD}    - block:\n        - include_tasks: sub.yml\n      rescue:\n        - debug: msg=rescued\n"
        ))
        .code(0)
        .says("Could not find or access 'missing.yml' on the Ansible Controller")
        .says("Origin: sub.yml:1:18")
        .says("rescued");
}

/// `encrypt` of vars_prompt: the variable is the hash, and a resume keeps the one that was made.
#[test]
fn a_prompted_password_may_be_kept_as_its_hash() {
    let place = Place::new();
    let prompt = "{name: given, default: hush-1234, encrypt: sha512_crypt, salt: abcdefgh}, {name: drawn, default: x, encrypt: sha256, salt_size: 4}";
    let text = format!(
        "- hosts: localhost\n  gather_facts: false\n  vars_prompt: [{prompt}]\n  tasks:\n\
         \x20   - assert: {{that: \"given == 'hush-1234' | password_hash('sha512', 'abcdefgh')\"}}\n\
         \x20   - copy: {{content: \"{{{{ drawn }}}}\", dest: first}}\n\
         \x20   - command: cat needed\n\
         \x20   - assert: {{that: \"lookup('file', 'first') == drawn\"}}\n"
    );
    place.play(&text).code(2).says("cat: needed");
    assert!(place.read("first").starts_with("$5$") && place.read("first").split('$').any(|part| part.len() == 4));
    place.write("needed", "");
    place.run(&["resume"]).code(0);
    place.play(&text.replace("sha512_crypt", "sha51_crypt")).code(4).says("did you mean `sha512_crypt`?");
}

#[test]
fn the_folder_of_a_playbook_is_a_whole_path() {
    let place = Place::new();
    place.write("hosts", "one ansible_connection=local\n");
    place.write("site.yml", "- hosts: one\n  gather_facts: false\n  tasks:\n    - debug: msg=[{{ playbook_dir }}]\n");
    let folder = fs::canonicalize(place.dir.path()).unwrap();
    place.run(&["play", "site.yml", "-i", "hosts"]).code(0).says(&format!("\"msg\": \"[{}]\"", folder.display()));
}

#[test]
fn names_and_environments_may_be_templates() {
    let place = Place::new();
    let text = format!(
        "{HEAD}    - set_fact:\n        \"{{{{ 'made' }}}}\": up\n    - shell: echo $A {{{{ made }}}} > log\n      environment:\n        A: one\n\
         \x20   - shell: echo $B. >> log\n      environment: \"{{{{ nothing | default(omit) }}}}\"\n"
    );
    place.play(&text).code(0);
    assert_eq!(place.read("log"), "one up\n.\n");
}

#[test]
fn loops_go_on_at_the_item_that_failed() {
    let place = Place::new();
    let text = format!(
        "{HEAD}    - shell: echo {{{{ item }}}} >> log && test {{{{ item }}}} != 2 -o -e needed\n      loop: [1, 2, 3]\n"
    );
    place.play(&text).code(2);
    assert_eq!(place.read("log"), "1\n2\n3\n", "a loop goes on after a failed item, as in Ansible");
    place.write("needed", "");
    place.run(&["resume"]).code(0);
    assert_eq!(place.read("log"), "1\n2\n3\n2\n");
}

#[test]
fn a_journal_that_was_cut_edited_or_comes_from_the_future() {
    let place = Place::new();
    place.play(&format!("{HEAD}    - command: echo hi\n    - command: cat needed\n")).code(2);
    let path = place.journal();
    let whole = fs::read(&path).unwrap();

    // A torn last line is dropped, and said.
    fs::write(&path, &whole[..whole.len() - 7]).unwrap();
    place.run(&["resume"]).code(2).says("warning");

    let text = String::from_utf8(whole.clone()).unwrap();
    fs::write(&path, text.replacen("\"hi\"", "\"ho\"", 1)).unwrap();
    place.run(&["resume"]).code(15).says("damaged");
    place.run(&["show", "--verify"]).code(15);

    fs::write(&path, text.replacen("\"format\":1", "\"format\":99", 1)).unwrap();
    place.run(&["resume"]).code(15);
}

#[test]
fn secrets_are_shown_nowhere() {
    let place = Place::new();
    let text = format!(
        "{HEAD}    - shell: echo \"got {{{{ admin_password }}}}\"\n      register: r\n    - debug: var=r.stdout\n    - fail: msg=\"{{{{ admin_password }}}}\"\n"
    );
    place.write("site.yml", &text);
    place.write("vars.yml", "admin_password: Sw0rdf1sh-42\n");
    let run = place.run(&["play", "site.yml", "-i", "localhost,", "-c", "local", "-e", "@vars.yml", "-vvvv", "--diff"]);
    run.code(2).hides("Sw0rdf1sh").says("********");
    assert!(!fs::read_to_string(place.journal()).unwrap().contains("Sw0rdf1sh"));
    place.run(&["show", "-vvv"]).code(0).hides("Sw0rdf1sh");
}

#[test]
fn called_as_ansible_playbook() {
    let place = Place::new();
    place.write("site.yml", &format!("{HEAD}    - debug: msg=hi\n"));
    let link = place.dir.path().join("ansible-playbook");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_stx-upgrade"), &link).unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(&link);
        command.args(args).current_dir(place.dir.path()).env("XDG_STATE_HOME", place.dir.path().join("state"));
        Run(command.stdin(Stdio::null()).output().unwrap())
    };
    run(&["-i", "localhost,", "site.yml"]).code(0).says("PLAY RECAP");
    run(&["--list-tasks", "-i", "localhost,", "site.yml"]).code(0).says("play #1 (localhost)");
    run(&["-i", "localhost,", "--syntax-check", "site.yml"]).code(0).says("playbook: site.yml");
    run(&["--list-tasks", "-i", "localhost,", "precheck.yml"]).code(0).says("to which release");
    // A module that cannot be run here may be read, and keeps a run from beginning.
    fs::create_dir(place.dir.path().join("library")).unwrap();
    place.write("library/theirs.py", "#!/usr/bin/python\nfrom ansible.module_utils.basic import AnsibleModule\n");
    place.write("site.yml", &format!("{HEAD}    - command: touch ran\n    - theirs: {{a: b}}\n"));
    let why = "library/theirs.py cannot be run here: it is a Python module that imports Ansible's own Python";
    run(&["-i", "localhost,", "--syntax-check", "site.yml"]).code(0).says("playbook: site.yml").says(why);
    run(&["-i", "localhost,", "--list-tasks", "site.yml"]).code(0).says("      theirs\tTAGS: []").says(why);
    run(&["-i", "localhost,", "site.yml"]).code(4).says("there is no module `theirs` here").says(why);
    assert!(!place.dir.path().join("ran").exists());
}

#[test]
fn facts_are_kept_between_runs_where_the_settings_say_so() {
    let place = Place::new();
    place.write(
        "ansible.cfg",
        "[defaults]\nfact_caching = jsonfile\nfact_caching_connection = kept\nfact_caching_prefix = f_\n",
    );
    place
        .play(&format!(
            "{HEAD}    - set_fact: {{first: !unsafe 'a {{{{ b', cacheable: true}}\n    - set_fact: {{second: 1}}\n"
        ))
        .code(0);
    assert_eq!(place.read("kept/f_localhost"), r#"{"first":"a {{ b"}"#);
    let seen =
        format!("{HEAD}    - debug: msg=\"{{{{ first | default('gone') }}}} {{{{ second | default('gone') }}}}\"\n");
    place.play(&seen).code(0).says("a {{ b gone");
    // Facts that were set are no gathered ones: a play that gathers them once still does.
    place.write("ansible.cfg", &(place.read("ansible.cfg") + "gathering = smart\n"));
    place.play("- hosts: all\n  tasks:\n    - debug: var=ansible_system\n").code(0).says("Gathering Facts");
    let again = place.play("- hosts: all\n  tasks:\n    - debug: var=ansible_system\n").code(0).says("Linux");
    assert!(!again.text().contains("Gathering Facts"), "{}", again.text());
    place.write("site.yml", &seen);
    place.run(&["play", "site.yml", "-i", "localhost,", "-c", "local", "--flush-cache"]).code(0).says("gone gone");
    place.write("ansible.cfg", "[defaults]\nfact_caching = jsonfile\n");
    place.play(&seen).code(1).says("set `fact_caching_connection`");
}

/// What is evaluated must be so in a resumed run too: the journal knows what the user wrote.
#[test]
fn what_the_user_wrote_is_known_as_such_after_a_resume() {
    let place = Place::new();
    place.write(
        "site.yml",
        &format!(
            "{HEAD}    - set_fact: {{written: 1 == 1, made: \"{{{{ '1 == ' ~ 1 }}}}\"}}\n\
             \x20   - command: cat needed\n\
             \x20   - assert: {{that: '{{{{ written }}}}'}}\n\
             \x20   - assert: {{that: '{{{{ made }}}}'}}\n"
        ),
    );
    place.run(&["play", "site.yml", "-i", "localhost,", "-c", "local"]).code(2);
    place.write("needed", "");
    place.run(&["resume"]).code(2).says("Encountered untrusted template or expression").says("ok=3");
}

#[test]
fn a_setting_says_what_a_key_is_that_stands_twice() {
    let place = Place::new();
    place.write(
        "site.yml",
        "- hosts: localhost\n  gather_facts: false\n  vars: {a: 1, a: 2}\n  tasks: [{debug: {var: a}}]\n",
    );
    let play = |word: &str| {
        let args = ["play", "site.yml", "-i", "localhost,", "-c", "local"];
        Run(place.command(&args).env("ANSIBLE_DUPLICATE_YAML_DICT_KEY", word).output().unwrap())
    };
    play("warn").code(0).says("Found duplicate mapping key 'a'").says("\"a\": 2");
    play("ignore").code(0).hides("Found duplicate mapping key");
    play("error").code(4).says("error: Found duplicate mapping key 'a'");
}

#[test]
fn a_setting_lets_a_condition_give_anything() {
    let place = Place::new();
    place.write(
        "site.yml",
        &format!("{HEAD}    - debug: {{msg: went}}\n      when: \"'text'\"\n    - fail:\n      when: \"''\"\n"),
    );
    let play = |word: &str| {
        let args = ["play", "site.yml", "-i", "localhost,", "-c", "local"];
        Run(place.command(&args).env("ANSIBLE_ALLOW_BROKEN_CONDITIONALS", word).output().unwrap())
    };
    play("0").code(2).says("the condition gives a string, not true or false");
    play("1").code(0).says("went").says("skipped=1");
}

/// Ansible makes text of it, and a cron table of that.
#[test]
fn a_list_that_is_written_for_a_text_is_a_mistake() {
    let place = Place::new();
    place
        .play(&format!("{HEAD}    - cron: {{name: [nightly], job: backup}}\n"))
        .code(4)
        .says("parameter `name` of module `cron` must be a string, not a list");
}

/// Where `ansible-galaxy` puts them.
#[test]
fn roles_are_found_where_ansible_keeps_them() {
    let place = Place::new();
    place.write("home/.ansible/roles/kept/tasks/main.yml", "- debug: {msg: from the home}\n");
    place.write("site.yml", "- hosts: localhost\n  gather_facts: false\n  roles: [kept]\n");
    let args = ["play", "site.yml", "-i", "localhost,", "-c", "local"];
    let home = place.dir.path().join("home");
    Run(place.command(&args).env("HOME", home).output().unwrap()).code(0).says("from the home");
    place.run(&args).code(4).says("the role `kept` was not found").says("/etc/ansible/roles");
}
