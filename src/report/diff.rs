//! Differences as `--diff` shows them: unified, three lines of context, in Ansible's words.

use similar::{Algorithm, ChangeTag, TextDiff};

use super::lines::clean;
use super::style::{Paint, Style};
use crate::model::outcome::Diff;

const CONTEXT: usize = 3;

/// All differences of a result; empty where nothing differs. Ends with a blank line as Ansible's does.
pub fn render(diffs: &[Diff], paint: Paint) -> String {
    diffs.iter().map(|d| one(d, paint)).collect()
}

fn one(diff: &Diff, paint: Paint) -> String {
    match diff {
        Diff::Prepared(text) => clean(text).into_owned(),
        Diff::Text { before_name, after_name, before, after } => {
            let name = |word: &str, name: &str| {
                if name.is_empty() { word.to_owned() } else { format!("{word}: {name}") }
            };
            unified(&name("before", before_name), &name("after", after_name), before, after, paint)
        }
    }
}

fn unified(before_name: &str, after_name: &str, before: &str, after: &str, paint: Paint) -> String {
    let (old, new) = (lines(before), lines(after));
    let (old_refs, new_refs): (Vec<&str>, Vec<&str>) =
        (old.iter().map(String::as_str).collect(), new.iter().map(String::as_str).collect());
    let diff = TextDiff::configure().algorithm(Algorithm::Myers).diff_slices(&old_refs, &new_refs);
    let mut out = String::new();
    for group in diff.grouped_ops(CONTEXT) {
        if out.is_empty() {
            out += &format!("{}\n", paint.on(Style::REMOVED, &format!("--- {before_name}")));
            out += &format!("{}\n", paint.on(Style::ADDED, &format!("+++ {after_name}")));
        }
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let old = range(first.old_range().start, last.old_range().end);
        let new = range(first.new_range().start, last.new_range().end);
        out += &format!("{}\n", paint.on(Style::HUNK, &format!("@@ -{old} +{new} @@")));
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let line = change.value();
            match change.tag() {
                ChangeTag::Equal => out += &format!(" {line}"),
                ChangeTag::Delete => out += &paint.on(Style::REMOVED, &format!("-{line}")),
                ChangeTag::Insert => out += &paint.on(Style::ADDED, &format!("+{line}")),
            }
        }
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

/// Lines with their ends; a last one that has none says so.
fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(|l| clean(l).into_owned()).collect();
    if let Some(last) = lines.last_mut()
        && !last.ends_with('\n')
    {
        last.push_str("\n\\ No newline at end of file\n");
    }
    lines
}

/// A hunk's range as unified diffs write it: from 1, the length left out if it is 1; an empty one names the line before.
fn range(start: usize, end: usize) -> String {
    match end - start {
        1 => format!("{}", start + 1),
        0 => format!("{start},0"),
        length => format!("{},{length}", start + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(before: &str, after: &str) -> String {
        let name = "/tmp/out.txt".to_owned();
        let diff = Diff::Text {
            before_name: if before.is_empty() { String::new() } else { name.clone() },
            after_name: name,
            before: before.into(),
            after: after.into(),
        };
        render(&[diff], Paint::new(false))
    }

    #[test]
    fn as_ansible_prints_them() {
        assert_eq!(text("", "a\nb\n"), "--- before\n+++ after: /tmp/out.txt\n@@ -0,0 +1,2 @@\n+a\n+b\n\n");
        assert_eq!(
            text("a\nb\n", "a\nc"),
            "--- before: /tmp/out.txt\n+++ after: /tmp/out.txt\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n\\ No newline at end of file\n\n"
        );
        assert_eq!(
            text("x\n", "x\ny\n"),
            "--- before: /tmp/out.txt\n+++ after: /tmp/out.txt\n@@ -1 +1,2 @@\n x\n+y\n\n"
        );
        assert_eq!(text("same\n", "same\n"), "");
    }
}
