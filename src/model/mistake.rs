//! A mistake in what the user wrote, found before any host is touched. Drawing it with its line and caret is `report`'s.

use super::source::Span;

/// One mistake: where, what, and what to do about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Mistake {
    /// Where the caret goes; none for a mistake that has no text, as a missing file on the command line.
    pub span: Option<Span>,
    /// What is wrong, in one line without a full stop: ``unknown parameter `contnt` for module `copy` ``.
    pub message: String,
    /// Beside the caret, short: ``did you mean `content`?``.
    pub label: String,
    /// What to do next, a line each; may be empty.
    pub help: Vec<String>,
    /// True for what the run can live with (an unused setting); a warning stops nothing.
    pub warning: bool,
    /// The setting that may make an error of this warning, or ignore it.
    pub setting: Option<&'static str>,
}

impl Mistake {
    /// A mistake at a place.
    pub fn at(span: &Span, message: impl Into<String>) -> Mistake {
        Mistake { span: Some(span.clone()), ..Mistake::plain(message) }
    }

    /// A mistake without a place.
    pub fn plain(message: impl Into<String>) -> Mistake {
        Mistake {
            span: None,
            message: message.into(),
            label: String::new(),
            help: Vec::new(),
            warning: false,
            setting: None,
        }
    }

    /// Words beside the caret.
    pub fn label(mut self, label: impl Into<String>) -> Mistake {
        self.label = label.into();
        self
    }

    /// A line of what to do next.
    pub fn help(mut self, help: impl Into<String>) -> Mistake {
        self.help.push(help.into());
        self
    }

    /// ``did you mean `x`?`` beside the caret, where one of `known` is near `word`.
    pub fn suggest<'a>(self, word: &str, known: impl IntoIterator<Item = &'a str>) -> Mistake {
        match nearest(word, known) {
            Some(near) => {
                let label = format!("did you mean `{near}`?");
                self.label(label)
            }
            None => self,
        }
    }
}

/// The known word nearest to `word`, if near enough to be meant: at most a third of its letters differ. Of two that are
/// equally near the longer one: a letter is forgotten more often than mistaken.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|k| (distance(word, k), k))
        .filter(|(d, _)| *d <= limit)
        .min_by_key(|(d, k)| (*d, std::cmp::Reverse(k.len()), *k))
        .map(|(_, k)| k)
}

/// Edit distance in which a swap of neighbours counts one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.to_lowercase().chars().collect(), b.to_lowercase().chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            let mut best =
                (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]));
            if swap {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_or_none() {
        let known = ["content", "dest", "mode"];
        assert_eq!(nearest("contnt", known), Some("content"));
        assert_eq!(nearest("dset", known), Some("dest"));
        assert_eq!(nearest("owner", known), None);
        assert_eq!(nearest("taks", ["tags", "tasks"]), Some("tasks"));
    }
}
