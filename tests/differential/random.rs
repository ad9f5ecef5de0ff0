//! Plays made by chance, always the same ones: host patterns, YAML scalars, and which of many places a variable is taken from.
//! What `ansible-playbook` answered to them lies beside the other answers.

use std::fmt::Write;

/// Numbers that look random and are the same everywhere.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

/// The name of a play and its files: their names and texts.
pub type Made = (&'static str, Vec<(String, String)>);

pub fn plays() -> Vec<Made> {
    vec![("random_patterns", patterns()), ("random_precedence", precedence()), ("random_scalars", scalars())]
}

fn file(name: &str, text: impl Into<String>) -> (String, String) {
    (name.to_owned(), text.into())
}

const HOSTS: &str = "\
lone
[red]
h1
h2
h3
[blue]
h3
h4
[green]
h5
web[1:3]
[warm:children]
red
green
[cold:children]
blue
[every:children]
warm
cold
";

fn patterns() -> Vec<(String, String)> {
    const TERMS: &[&str] = &[
        "h1",
        "h3",
        "web2",
        "lone",
        "red",
        "blue",
        "green",
        "warm",
        "cold",
        "every",
        "all",
        "*",
        "ungrouped",
        "h*",
        "web?",
        "*1",
        "[hl]*",
        "re*",
        "*e*",
        "~h[12]",
        "~(red|blue)",
        "~web.*[23]$",
        "red[0]",
        "red[-1]",
        "red[1:2]",
        "blue[0:]",
        "green[:1]",
        "green[1:-1]",
        "green[-2:]",
        "none",
    ];
    let mut chance = Chance(1);
    let mut play = "- hosts: localhost\n  gather_facts: false\n  tasks:\n    - debug:\n        \
                    msg: \"{{ query('inventory_hostnames', item) | sort | join(' ') }}\"\n      loop:\n"
        .to_owned();
    for _ in 0..120 {
        let mut pattern = String::new();
        for n in 0..=chance.below(4) {
            let between = if n == 0 { "" } else { chance.of(&[":", ":", ","]) };
            let sign = chance.of(&["", "", "!", "&"]);
            let _ = write!(pattern, "{between}{sign}{}", chance.of(TERMS));
        }
        let _ = writeln!(play, "        - '{pattern}'");
    }
    vec![file("hosts", HOSTS), file("site.yml", play)]
}

/// Each variable stands in some of these places, the name of the place as its value; the play shows which one counts where.
fn precedence() -> Vec<(String, String)> {
    const PLACES: &[&str] = &[
        "role_defaults",
        "inventory_all",
        "beside_all",
        "inventory_parent",
        "beside_parent",
        "inventory_child",
        "beside_child",
        "inventory_host",
        "beside_host",
        "play_vars",
        "vars_file",
        "role_vars",
        "block_vars",
        "task_vars",
        "included",
        "set_fact",
        "role_params",
        "entry_vars",
        "extra",
    ];
    const COUNT: usize = 60;
    let mut chance = Chance(2);
    let mut places: Vec<Vec<usize>> = vec![Vec::new(); PLACES.len()];
    for variable in 0..COUNT {
        for _ in 0..=chance.below(6) {
            let at = chance.below(places.len());
            if !places[at].contains(&variable) {
                places[at].push(variable);
            }
        }
    }
    let held = |place: &str, indent: &str, sign: &str| -> String {
        let at = PLACES.iter().position(|p| *p == place).unwrap_or_else(|| panic!("{place}"));
        let none = if places[at].is_empty() { format!("{indent}nothing{sign}0\n") } else { String::new() };
        none + &places[at].iter().map(|v| format!("{indent}v{v}{sign}{place}\n")).collect::<String>()
    };
    let show = |name: &str, indent: &str| -> String {
        let lines = (0..COUNT).map(|v| format!("{indent}      - \"v{v}: {{{{ v{v} | default('-') }}}}\"\n"));
        format!("{indent}- name: {name}\n{indent}  debug:\n{indent}    msg:\n") + &lines.collect::<String>()
    };
    let site = format!(
        "# args: -e @extra.yml\n- hosts: a\n  gather_facts: false\n  vars:\n{}  vars_files: [vars_file.yml]\n  roles:\n    - role: r\n      \
         vars:\n{}{}  tasks:\n{}    - block:\n{}          vars:\n{}      vars:\n{}    - include_vars: included.yml\n{}    - set_fact:\n{}{}",
        held("play_vars", "    ", ": "),
        held("entry_vars", "        ", ": "),
        held("role_params", "      ", ": "),
        show("in the play", "    "),
        show("in a block", "        "),
        held("task_vars", "            ", ": "),
        held("block_vars", "        ", ": "),
        show("after include_vars", "    "),
        held("set_fact", "        ", ": "),
        show("after set_fact", "    "),
    );
    let hosts = format!(
        "[child]\na{} ansible_connection=local\n[child:vars]\n{}[parent:children]\nchild\n[parent:vars]\n{}[all:vars]\n{}",
        held("inventory_host", " ", "=").replace('\n', ""),
        held("inventory_child", "", "="),
        held("inventory_parent", "", "="),
        held("inventory_all", "", "="),
    );
    let vars = |place: &str| held(place, "", ": ");
    vec![
        file("site.yml", site),
        file("hosts", hosts),
        file("extra.yml", vars("extra")),
        file("vars_file.yml", vars("vars_file")),
        file("included.yml", vars("included")),
        file("group_vars/all.yml", vars("beside_all")),
        file("group_vars/parent.yml", vars("beside_parent")),
        file("group_vars/child.yml", vars("beside_child")),
        file("host_vars/a.yml", vars("beside_host")),
        file("roles/r/defaults/main.yml", vars("role_defaults")),
        file("roles/r/vars/main.yml", vars("role_vars")),
        file("roles/r/tasks/main.yml", show("in the role", "")),
    ]
}

/// Scalars of all styles, put together from what makes trouble.
fn scalars() -> Vec<(String, String)> {
    const PLAIN: &[&str] = &[
        "a", "0", "1", "7", "9", "x", "_", ".", "-", "+", "e", "E", ":", "~", "yes", "No", "true", "null", "0x", "0o",
        "0b", "inf", "nan", " ", "#", "é",
    ];
    const QUOTED: &[&str] = &["a", "1", " ", "  ", ":", " #", "'", "''", "-", "{", "]", "é", "\n\n  ", "\n  "];
    const ESCAPES: &[&str] =
        &["a", " ", "\\n", "\\t", "\\\\", "\\\"", "\\x41", "\\u00e9", "\\/", "\\_", "\\\n  ", "\n  ", "'", "#"];
    const LINES: &[&str] = &["word", "two words", "", " more", "- item", "a: b", "# no comment", "end "];
    let mut chance = Chance(3);
    let mut text = String::new();
    for n in 0..160 {
        let parts = |list: &[&str], most: usize, chance: &mut Chance| -> String {
            (0..=chance.below(most)).map(|_| chance.of(list)).collect()
        };
        let value = match chance.below(8) {
            0..=3 => {
                let plain = parts(PLAIN, 5, &mut chance);
                // What no plain scalar may begin with or hold.
                let plain = plain
                    .trim()
                    .replace(": ", ":")
                    .trim_end_matches(':')
                    .trim_start_matches(['#', '-', ':'])
                    .to_owned();
                plain.replace(" #", "#").trim().to_owned()
            }
            4 => format!("'{}'", parts(QUOTED, 5, &mut chance).replace('\'', "''")),
            5 => format!("\"{}\"", parts(ESCAPES, 6, &mut chance)),
            _ => {
                let head = format!("{}{}", chance.of(&["|", ">"]), chance.of(&["", "-", "+"]));
                let lines: String = (0..=chance.below(4)).map(|_| format!("\n    {}", chance.of(LINES))).collect();
                format!("{head}\n    first{lines}")
            }
        };
        let _ = writeln!(text, "  k{n:03}: {value}");
    }
    let play = "- hosts: a\n  gather_facts: false\n  vars_files: [scalars.yml]\n  tasks:\n    - debug:\n        var: scalars\n    \
                - debug:\n        msg: \"{{ scalars | dict2items | map(attribute='value') | map('type_debug') | join(' ') }}\"\n";
    vec![file("site.yml", play), file("scalars.yml", format!("scalars:\n{text}"))]
}
