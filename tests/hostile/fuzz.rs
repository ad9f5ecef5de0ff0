//! Every reader of outside text against changed texts of a saved corpus, the same ones in each run: no panic, no end of the
//! stack, no endless work. The journal's reader is fuzzed in `tests/journal`.

use std::io;
use std::path::{Path, PathBuf};

use stx_upgrade::action::wire::{Frame, FromAgent, ToAgent};
use stx_upgrade::model::mistake::Mistake;
use stx_upgrade::model::source::{Source, Span};
use stx_upgrade::model::value::{Dict, Value};
use stx_upgrade::parse::files::Files;
use stx_upgrade::parse::vault::Vault;
use stx_upgrade::parse::{extra_vars, inventory, vars_file, yaml};
use stx_upgrade::plan::pattern;
use stx_upgrade::report::mistake::render;
use stx_upgrade::vars::template::{Kind, Templar, TextOptions};

use crate::mutate::fuzz;

/// One file, in memory.
struct One<'a>(&'a [u8]);

impl Files for One<'_> {
    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Ok(self.0.to_vec())
    }
    fn is_file(&self, path: &Path) -> bool {
        path.starts_with("/fuzz")
    }
    fn is_dir(&self, _: &Path) -> bool {
        false
    }
    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn is_executable(&self, _: &Path) -> bool {
        false
    }
}

/// The lines of a corpus file, each an entry of its own.
fn lines(text: &str) -> Vec<Vec<u8>> {
    text.lines().filter(|l| !l.is_empty()).map(|l| l.as_bytes().to_vec()).collect()
}

/// The files below a folder that are small enough to be changed many times.
fn below(dir: &str) -> Vec<Vec<u8>> {
    let mut dirs = vec![PathBuf::from(dir)];
    let mut paths = Vec::new();
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { dirs.push(path) } else { paths.push(path) }
        }
    }
    paths.sort();
    paths.iter().map(|p| std::fs::read(p).unwrap()).filter(|b| b.len() < 4000).collect()
}

/// Mistakes are drawn with their place: that must stand any text, too.
fn drawn(mistakes: &[Mistake]) {
    render(mistakes, true);
}

#[test]
fn yaml_is_read_or_refused() {
    let mut corpus = below("tests/inputs/wrong");
    corpus.extend(below("tests/inputs/site"));
    corpus.extend(
        lines(include_str!("corpus/yaml")).iter().map(|l| String::from_utf8_lossy(l).replace("\\n", "\n").into()),
    );
    let words = [
        "\n",
        "  ",
        ": ",
        "- ",
        "&a ",
        "*a",
        "<<: ",
        "!vault |\n  ",
        "? ",
        "|\n",
        "'",
        "\"",
        "[",
        "{",
        "#",
        "\t",
        "---\n",
        "\u{feff}",
        "\u{85}",
        "%",
    ];
    fuzz("yaml", 4000, &corpus, &words, |bytes| {
        let source = Source::new("fuzz.yml", &*String::from_utf8_lossy(bytes));
        let mut mistakes = Vec::new();
        if let Err(mistake) = yaml::read_all(&source, &mut mistakes) {
            mistakes.push(mistake);
        }
        drawn(&mistakes);
        let mut mistakes = Vec::new();
        vars_file::load(&One(bytes), Path::new("/fuzz/vars.yml"), &Vault::default(), &mut mistakes);
        drawn(&mistakes);
    });
}

#[test]
fn templates_are_read_or_refused_and_end() {
    let text = below("tests/cases/templates").concat();
    let mut corpus: Vec<Vec<u8>> = lines(include_str!("corpus/template"));
    let line = |l: &&str| l.contains("{{") || l.contains("{%");
    corpus.extend(String::from_utf8_lossy(&text).lines().filter(line).map(|l| l.trim().into()));
    let words = [
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        " if ",
        " else ",
        "(",
        ")",
        "[",
        "|",
        ".",
        "~",
        "-",
        "not ",
        "*",
        "'",
        "\\",
        "range(9999999)",
        "x",
        "lookup('env', 'x')",
        "9223372036854775807",
        "\u{e9}",
    ];
    let templar = Templar::new(|_| Err("no YAML here".into())).limit_steps(20_000);
    let list = Value::list(vec![1.into(), "two".into(), Value::Null]);
    let vars: Dict = [("x", Value::from("text")), ("n", Value::from(3)), ("l", list)]
        .map(|(k, v)| (k.into(), v))
        .into_iter()
        .collect();
    fuzz("template", 4000, &corpus, &words, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let span = Span::of_text("fuzz", &text);
        for kind in [Kind::Text, Kind::Expression] {
            drawn(&templar.check(&text, &span, kind));
        }
        let _ = templar.render(&Value::written(&text, &span), &vars).map_err(|e| drawn(&[e.to_mistake()]));
        let _ = templar.render_text(&text, &TextOptions::default(), &vars);
        let _ = templar.expression(&text, &span, &vars);
    });
}

#[test]
fn inventories_are_read_or_refused() {
    let mut corpus = below("tests/inputs/inventory");
    corpus.extend(
        lines(include_str!("corpus/inventory")).iter().map(|l| String::from_utf8_lossy(l).replace("\\n", "\n").into()),
    );
    let words = [
        "[",
        "]",
        ":vars]",
        ":children]\n",
        "=",
        "\n",
        "[1:9]",
        "[a:z]",
        "[001:99999]",
        "'",
        "{",
        "(",
        "0x",
        "1e999",
        ": ",
        "- ",
        "#",
        "[[",
        "hosts",
    ];
    for name in ["/fuzz/hosts", "/fuzz/hosts.yml", "/fuzz/hosts.toml", "/fuzz/hosts.ini"] {
        fuzz(name, 1000, &corpus, &words, |bytes| {
            let mut mistakes = Vec::new();
            let found = inventory::load(&[name.to_owned()], &One(bytes), &Vault::default(), &mut mistakes);
            assert!(found.hosts.len() <= 1_000_000);
            drawn(&mistakes);
        });
    }
}

#[test]
fn patterns_and_words_of_the_command_line() {
    let found = inventory::load(&["web1,web2,db1,::1,c-0".to_owned()], &One(b""), &Vault::default(), &mut Vec::new());
    let corpus = lines(include_str!("corpus/pattern"));
    let words = [
        ":",
        "!",
        "&",
        "~",
        "[",
        "]",
        "*",
        "?",
        "(",
        "+",
        "-",
        ",",
        "9999999999999999999",
        "[-1]",
        "[1:",
        "all",
        "\u{e9}",
    ];
    fuzz("pattern", 4000, &corpus, &words, |bytes| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let _ = pattern::matches(std::slice::from_ref(&text), &found);
        let _ = inventory::load(&[format!("{text},")], &One(b""), &Vault::default(), &mut Vec::new());
        let _ = extra_vars::parse(&[text], &One(b"a: b"), &Vault::default());
    });
}

#[test]
fn frames_are_read_or_refused() {
    for (name, messages) in [("to", include_str!("corpus/to_agent")), ("from", include_str!("corpus/from_agent"))] {
        let corpus: Vec<Vec<u8>> = lines(messages).into_iter().map(|l| Frame::Json(l).encode()).collect();
        for frame in &corpus {
            let (frame, _) = Frame::decode(frame).unwrap().unwrap();
            let right =
                if name == "to" { frame.parse::<ToAgent>().is_ok() } else { frame.parse::<FromAgent>().is_ok() };
            assert!(right, "{frame:?}");
        }
        let words =
            ["{", "}", "[", "]", "\"", ":", "null", "-1", "1e99", "18446744073709551616", "\\ud800", "\0\0\0\u{1}J"];
        fuzz(name, 8000, &corpus, &words, |bytes| {
            let mut rest = bytes;
            while let Ok(Some(frame)) = Frame::read(&mut rest) {
                let _ = frame.parse::<ToAgent>();
                let _ = frame.parse::<FromAgent>();
            }
            if let Ok(Some((frame, used))) = Frame::decode(bytes) {
                assert_eq!(frame.encode(), bytes[..used]);
            }
        });
    }
}
