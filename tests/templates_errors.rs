//! Templates that are wrong: what is said, where, and the way there; and what bounds a template.

use std::sync::Arc;
use std::time::{Duration, Instant};

use stx_upgrade::dict;
use stx_upgrade::model::source::{Source, Span, Spanned};
use stx_upgrade::model::value::{Dict, Value};
use stx_upgrade::vars::template::{Kind, Scope, Templar, TemplateErrorKind, TextOptions};

fn templar() -> Templar {
    Templar::new(|_| Err("no YAML here".into()))
}

/// A value written in a file, at the place where its text stands.
fn at(source: &Arc<Source>, text: &str) -> Value {
    let start = source.text.find(text).expect("the text is in the source") as u32;
    Value::written(text, &Span::new(source, start, start + text.len() as u32))
}

#[test]
fn undefined_names_itself_its_place_and_the_way() {
    let source = Source::new("play.yml", "vars:\n  url: http://{{ site.host }}/x\n  msg: \"go to {{ url }}\"\n");
    let vars = dict! {
        "url" => at(&source, "http://{{ site.host }}/x"),
        "site" => Value::dict(Dict::new()),
    };
    let error = templar().render(&at(&source, "go to {{ url }}"), &vars).expect_err("undefined");
    assert_eq!(error.kind, TemplateErrorKind::Undefined("site.host".into()));
    let place = error.span.as_ref().expect("a place").place();
    assert_eq!((place.file.as_str(), place.line, place.column), ("play.yml", 2, 18));
    assert_eq!(error.expression, "site.host");
    assert_eq!(
        error.to_string(),
        "'site.host' is undefined: object of type 'dict' has no attribute 'host'; while rendering variable 'url' (play.yml:2:8)"
    );
}

#[test]
fn a_place_is_found_in_folded_and_quoted_text() {
    let source = Source::new("p.yml", "a: >-\n  one {{ one }}\n  two {{ two }}\n");
    let span = Span::new(&source, 3, source.text.len() as u32);
    let value = Value::written("one {{ one }} two {{ two }}", &span);
    let error = templar().render(&value, &dict! {"one" => 1}).expect_err("undefined");
    let place = error.span.as_ref().expect("a place").place();
    assert_eq!((place.line, place.column), (3, 10));
}

#[test]
fn a_loop_of_variables_is_named() {
    let source = Source::new("p.yml", "a: \"{{ b }}\"\nb: \"{{ c }}\"\nc: \"{{ b }}\"\n");
    let vars = dict! {"b" => at(&source, "{{ c }}"), "c" => at(&source, "{{ b }}")};
    let error = templar().render(&Value::written("{{ b }}", &Span::of_text("x", "")), &vars).expect_err("a loop");
    assert!(error.message.contains("variable 'b' uses variable 'c' uses variable 'b'"), "{error}");
}

#[test]
fn what_cannot_be_known_says_so() {
    let result = dict! {"skipped" => true, "not_knowable" => "the host is not there yet"};
    let vars = dict! {"r" => Value::dict(result)};
    let t = templar();
    let span = Span::of_text("x", "");
    let error = t.render(&Value::written("{{ r.stdout }}", &span), &vars).expect_err("not knowable");
    assert_eq!(error.not_knowable(), Some("the host is not there yet"));
    assert!(!error.is_undefined());
    let given = t.render(&Value::written("{{ r.stdout | default('x') }}", &span), &vars).expect("a default");
    assert_eq!(given, Value::str("x"));
}

#[test]
fn conditions_must_be_boolean_and_the_fix_is_printed() {
    let vars = dict! {"names" => Value::list(vec!["a".into()]), "n" => 3};
    let t = templar();
    let ask = |text: &str| {
        let span = Span::of_text("when", text);
        t.condition(&Spanned::new(Value::written(text, &span), span), &vars)
    };
    let error = ask("names").expect_err("a list");
    assert_eq!(error.message, "the condition gives a list, not true or false");
    assert!(error.help.iter().any(|h| h.contains("names | length > 0")), "{:?}", error.help);
    assert!(ask("n").expect_err("a number").help.iter().any(|h| h.contains("n != 0")));
    assert!(ask("names | length > 0").expect("true"));
}

#[test]
fn data_never_becomes_code() {
    let vars = dict! {"out" => "{{ lookup('pipe', 'touch /tmp/never') }}", "cond" => "lookup('pipe', 'id') == ''"};
    let t = templar();
    let value = Value::written("{{ out }}", &Span::of_text("x", ""));
    assert_eq!(t.render(&value, &vars).expect("text"), Value::str("{{ lookup('pipe', 'touch /tmp/never') }}"));
    let written = Spanned::new(Value::written("{{ cond }}", &Span::of_text("x", "")), Span::of_text("x", ""));
    let error = t.condition(&written, &vars).expect_err("data");
    assert!(error.message.contains("untrusted template or expression"), "{error}");
    let bare = Spanned::new(Value::str("1 == 1"), Span::of_text("x", ""));
    assert!(t.condition(&bare, &vars).is_err(), "data as a condition of its own");
}

#[test]
fn omit_drops_what_holds_it() {
    let t = templar();
    let omitted = Value::written("{{ zz | default(omit) }}", &Span::of_text("x", ""));
    let args = Value::dict(dict! {"a" => 1, "b" => omitted.clone()});
    assert_eq!(t.render(&args, &Dict::new()).expect("rendered"), Value::dict(dict! {"a" => 1}));
    assert_eq!(t.render_or_omit(&omitted, &Dict::new()).expect("omitted"), None);
    assert!(t.render(&omitted, &Dict::new()).is_err());
}

#[test]
fn load_time_checks_name_what_is_near() {
    let t = templar();
    let check = |text: &str, kind| -> Vec<String> {
        let found = t.check(text, &Span::of_text("x.yml", text), kind);
        found
            .iter()
            .map(|m| format!("{} {} {}", m.span.as_ref().map_or(0, |s| s.place().column), m.message, m.help.join(" ")))
            .collect()
    };
    assert_eq!(check("{{ a | defualt(1) }}", Kind::Text), ["8 there is no filter 'defualt' did you mean 'default'?"]);
    assert_eq!(check("x is defind", Kind::Expression), ["1 there is no test 'defind' did you mean 'defined'?"]);
    assert_eq!(check("{{ lookup('fil', 'x') }}", Kind::Text).len(), 1);
    assert_eq!(check("{{ a | regex_replace(patern='x') }}", Kind::Text).len(), 1);
    assert_eq!(check("{{ a | combine(b, recursive=true) }}", Kind::Text).len(), 0);
    assert!(check("{% if a %}", Kind::Text)[0].contains("syntax error"));
    let octal = t.check("{{ a | default(0644) }}", &Span::of_text("x", "{{ a | default(0644) }}"), Kind::Text);
    assert!(octal.len() == 1 && octal[0].warning);
    assert_eq!(t.names("{% for i in list %}{{ i + n }}{{ now() }}{% endfor %}", Kind::Text), ["list", "n"]);
}

#[test]
fn template_files_have_their_options() {
    let t = templar();
    let text = "#jinja2: variable_start_string:'[%', variable_end_string:'%]', trim_blocks: False\n[% a %] {{ a }}\n";
    assert_eq!(t.render_text(text, &TextOptions::default(), &dict! {"a" => 1}).expect("text"), "1 {{ a }}\n");
    let error = t.render_text("#jinja2: bogus:'x'\n", &TextOptions::default(), &Dict::new()).expect_err("unknown");
    assert!(error.message.contains("bogus"), "{error}");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("base.j2"), "<{% block b %}base{% endblock %}>").expect("written");
    std::fs::write(folder.path().join("m.j2"), "{% macro hi(x) %}hi {{ x }} {{ a is defined }}{% endmacro %}")
        .expect("written");
    std::fs::write(folder.path().join("part.j2"), "part {{ a }}{{ local }}\n").expect("written");
    let options = TextOptions { search: vec![folder.path().to_owned()], ..TextOptions::default() };
    let run = |text: &str| t.render_text(text, &options, &dict! {"a" => 1}).expect("text");
    assert_eq!(run("{% extends 'base.j2' %}x{% block b %}[{{ super() }}{{ a }}]{% endblock %}"), "<[base1]>");
    assert_eq!(run("{% import 'm.j2' as m %}{{ m.hi('x') }}"), "hi x False");
    assert_eq!(run("{% from 'm.j2' import hi as h with context %}{{ h('x') }}"), "hi x True");
    assert_eq!(run("{% set local = 2 %}{% include 'part.j2' %}|{% include 'no.j2' ignore missing %}"), "part 12|");
    let error = t.render_text("{% include 'no.j2' %}", &options, &Dict::new()).expect_err("not there");
    assert!(error.message.contains("'no.j2' not found"), "{error}");
}

#[test]
fn endless_templates_end() {
    let t = templar().limit_steps(200_000);
    let run = |text: &str| {
        t.render(&Value::written(text, &Span::of_text("x", text)), &Dict::new()).expect_err("bounded").message
    };
    assert!(
        run("{% for i in range(1000000) %}{% for j in range(1000000) %}{% endfor %}{% endfor %}")
            .contains("did not end")
    );
    assert!(run("{{ 'x' * 1000000000 }}").contains("limit"));
    assert!(run("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}").contains("levels deep"));
    assert!(
        run("{% set l = [1] %}{% for i in range(60) %}{% set _ = l.extend(l) %}{% endfor %}").contains("did not end")
    );
    // Many results, each of them small enough, and one that stands in itself.
    let grown = |end: &str| {
        run(&format!(
            "{{% set ns = namespace(s=['x']) %}}{{% for i in range(40) %}}{{% set ns.s = [ns.s, ns.s] %}}{{% endfor %}}{end}"
        ))
    };
    for end in ["{{ ns.s | string }}", "{{ ns.s | flatten }}", "{{ ns.s }}", "{{ ns.s | to_json }}"] {
        assert!(grown(end).contains("did not end"), "{end}");
    }
    assert!(
        run("{% set l = [] %}{% for i in range(99) %}{% set _ = l.append('x' * 9000000) %}{% endfor %}")
            .contains("did not end")
    );
    assert!(
        run("{% set l = [] %}{% for i in range(99) %}{% set _ = l.append([1] * 900000) %}{% endfor %}")
            .contains("did not end")
    );
    assert!(run("{% set l = [] %}{% set _ = l.append(l) %}{{ l | string }}").contains("levels deep"));
    assert!(run("{% set l = [] %}{% set _ = l.append(l) %}{{ l }}").contains("levels deep"));
}

/// What no stack could hold is refused where it is read; what is half as long is run.
#[test]
fn chains_are_bounded() {
    let t = templar();
    for (link, end) in [("+ 1 ", ""), ("| int ", ""), ("if 1 else 1 ", ""), (".a", ""), ("~ 1 ", ""), ("and 1 ", "")] {
        let text = format!("{{{{ 1 {}{end} }}}}", link.repeat(5000));
        let said = t.render(&Value::written(&text, &Span::of_text("x", &text)), &Dict::new()).expect_err("bounded");
        assert!(said.message.contains("in one chain"), "{link}: {said}");
        assert!(!t.check(&text, &Span::of_text("x", &text), Kind::Text).is_empty());
    }
    for (link, sum) in [("+ 1 ", 901i64), ("| int ", 1), ("and 1 ", 1)] {
        let text = format!("{{{{ 1 {}}}}}", link.repeat(900));
        let said = t.render(&Value::written(&text, &Span::of_text("x", &text)), &Dict::new()).expect("a number");
        assert_eq!(said, Value::from(sum), "{link}");
    }
    let branches = format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(5000));
    let said = t.render_text(&branches, &TextOptions::default(), &Dict::new()).expect_err("bounded");
    assert!(said.message.contains("in one chain"), "{said}");
}

/// Two hundred variables, fifty of them templates.
struct Many(Dict);

impl Scope for Many {
    fn get(&self, name: &str) -> Option<Value> {
        self.0.get(name).cloned()
    }
    fn names(&self) -> Vec<Arc<str>> {
        self.0.keys().map(|k| Arc::from(k.to_string())).collect()
    }
}

#[test]
fn renders_are_fast() {
    let span = Span::of_text("x", "");
    let mut vars = Dict::new();
    for i in 0..150 {
        vars.insert(format!("v{i}").into(), Value::str(format!("value {i}")));
    }
    for i in 0..50 {
        vars.insert(
            format!("lazy{i}").into(),
            Value::written(&format!("{{{{ v{i} }}}}-{{{{ v{} | upper }}}}", i + 1), &span),
        );
    }
    let text: String =
        (0..150).map(|i| format!("{{{{ v{i} }}}} ")).chain((0..50).map(|i| format!("{{{{ lazy{i} }}}} "))).collect();
    let (t, vars, value) = (templar(), Many(vars), Value::written(&text, &span));
    let start = Instant::now();
    for _ in 0..200 {
        t.render(&value, &vars).expect("rendered");
    }
    // Without optimization; the budget of a release build is 2,000 in 0.3 s.
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    eprintln!("200 renders in {:?}", start.elapsed());
}
