//! Tables as the platform's clients print them: borders, the order of rows, and the client's own word wrap.
//!
//! Widths follow the rules of the client: each column asks for its share of the terminal by average cell width, no
//! column goes below its longest word, and a table that still does not fit is printed unwrapped.

/// A cell: its text, and the width it counts for in the averages (`None` counts 0).
#[derive(Debug, Clone, PartialEq)]
pub struct Cell(pub Option<String>);

impl Cell {
    /// What is printed.
    pub fn text(&self) -> String {
        self.0.clone().unwrap_or_else(|| "None".into())
    }

    fn counted_width(&self) -> usize {
        self.0.as_deref().map_or(0, |text| text.chars().count())
    }
}

impl<T: ToString> From<T> for Cell {
    fn from(value: T) -> Cell {
        Cell(Some(value.to_string()))
    }
}

/// `Property | Value`, rows in the given order; values filled at `wrap` columns if it is not 0.
pub fn properties(rows: &[(&str, Cell)], wrap: usize) -> String {
    let body: Vec<Vec<String>> = rows
        .iter()
        .map(|(name, value)| {
            let text = value.text();
            let text = if wrap == 0 { text } else { fill(&text, wrap) };
            vec![(*name).to_string(), text]
        })
        .collect();
    draw(&["Property".into(), "Value".into()], &body)
}

/// A list with named columns. `width` is the terminal's; `None` means `--nowrap`. No rows: one blank line.
pub fn list(labels: &[&str], fields: &[&str], rows: &[Vec<Cell>], width: Option<usize>) -> String {
    if rows.is_empty() {
        return "\n".into();
    }
    let plain_labels: Vec<String> = labels.iter().map(|label| (*label).to_string()).collect();
    let plain: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(Cell::text).collect()).collect();
    let Some(width) = width else {
        return draw(&plain_labels, &plain);
    };
    let widths = column_widths(labels, fields, rows, width);
    let head: Vec<String> = plain_labels.iter().zip(&widths).map(|(label, &w)| fill(label, w)).collect();
    let body: Vec<Vec<String>> = plain
        .iter()
        .map(|row| {
            row.iter()
                .zip(&widths)
                .map(|(text, &w)| {
                    let wrapped = fill(text, w);
                    // A wrapped cell is followed by a blank line, for the eye.
                    if wrapped == *text { wrapped } else { format!("{wrapped}\n{}", " ".repeat(w.saturating_sub(1))) }
                })
                .collect()
        })
        .collect();
    let drawn = draw(&head, &body);
    let drawn_width = drawn.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    if drawn_width <= width { drawn } else { draw(&plain_labels, &plain) }
}

/// One column's wishes while the table is laid out.
struct Column {
    least: usize,
    wish: usize,
    settled: Option<usize>,
}

impl Column {
    fn now(&self) -> usize {
        self.settled.unwrap_or(self.wish.max(self.least))
    }
}

fn column_widths(labels: &[&str], fields: &[&str], rows: &[Vec<Cell>], terminal: usize) -> Vec<usize> {
    let borders = labels.len() * 3 + 1;
    let averages: Vec<f64> = (0..labels.len())
        .map(|i| {
            if is_uuid(fields[i]) {
                return 0.0;
            }
            rows.iter().map(|row| row[i].counted_width() as f64).sum::<f64>() / rows.len() as f64
        })
        .collect();
    let total: f64 = averages.iter().sum();
    let room = terminal as f64 - borders as f64;
    let mut columns: Vec<Column> = (0..labels.len())
        .map(|i| {
            let share = if total > 0.0 { (room * averages[i] / total).max(0.0) as usize } else { 0 };
            let label = labels[i].chars().count();
            if is_uuid(fields[i]) {
                return Column { least: 36, wish: share, settled: None };
            }
            let texts = rows.iter().map(|row| row[i].text()).chain([labels[i].to_string()]);
            let least = texts.map(|text| longest_word(&text)).max().unwrap_or(0) + 1;
            Column { least, wish: share.max(label), settled: None }
        })
        .collect();
    for i in 0..columns.len() {
        let mut width = columns[i].wish.max(columns[i].least);
        let least = columns[i].least;
        if width > least {
            let others: usize = columns.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, c)| c.now()).sum();
            let left = terminal as i64 - borders as i64 - others as i64;
            if (width as i64) > left && left >= least as i64 {
                width = left as usize;
            }
        }
        columns[i].settled = Some(width);
        let all: usize = borders + columns.iter().map(Column::now).sum::<usize>();
        if terminal < all && width > least {
            columns[i].settled = Some(least);
        }
    }
    columns.iter().map(Column::now).collect()
}

fn is_uuid(field: &str) -> bool {
    field == "UUID" || field.ends_with("uuid")
}

/// Length of the longest piece between the client's separators (`.:,;!?\`, space, `=` to `_`, capitals included).
fn longest_word(text: &str) -> usize {
    text.split(|c: char| matches!(c, '.' | ':' | ',' | ';' | '!' | '?' | '\\' | ' ') || ('='..='_').contains(&c))
        .map(|word| word.chars().count())
        .max()
        .unwrap_or(0)
}

/// Greedy fill at `width`, breaking after `,` `=` `.` `:`, at spaces, after hyphens inside words, and inside words
/// that are longer than a line.
pub fn fill(text: &str, width: usize) -> String {
    let width = width.max(1);
    let mut pieces: std::collections::VecDeque<String> = pieces(text).into();
    let mut lines: Vec<String> = Vec::new();
    while !pieces.is_empty() {
        let mut line = String::new();
        let mut used = 0;
        if !lines.is_empty() {
            while pieces.front().is_some_and(|piece| piece.trim().is_empty()) {
                pieces.pop_front();
            }
        }
        while let Some(piece) = pieces.front() {
            let length = piece.chars().count();
            if used + length > width {
                if length > width {
                    let room = width - used;
                    let piece = pieces.pop_front().unwrap_or_default();
                    line.extend(piece.chars().take(room));
                    pieces.push_front(piece.chars().skip(room).collect());
                }
                break;
            }
            used += length;
            line.push_str(&pieces.pop_front().unwrap_or_default());
        }
        let line = line.trim_end().to_string();
        if !line.is_empty() || pieces.is_empty() {
            lines.push(line);
        }
    }
    lines.join("\n")
}

/// The pieces between which a line may break, in order, separators included.
fn pieces(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    let mut out: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut i = 0;
    let flush = |word: &mut String, out: &mut Vec<String>| {
        if !word.is_empty() {
            out.push(std::mem::take(word));
        }
    };
    while i < chars.len() {
        let c = chars[i];
        if c == ' ' {
            flush(&mut word, &mut out);
            let start = i;
            while i < chars.len() && chars[i] == ' ' {
                i += 1;
            }
            out.push(" ".repeat(i - start));
            continue;
        }
        if matches!(c, ',' | '=' | '.' | ':') {
            flush(&mut word, &mut out);
            out.push(c.to_string());
        } else {
            word.push(c);
            if c == '-' && hyphen_breaks(&chars, i) {
                flush(&mut word, &mut out);
            }
        }
        i += 1;
    }
    flush(&mut word, &mut out);
    out
}

/// A hyphen is a place to break between a letter and a word whose second part starts with two word characters, the
/// second no digit.
fn hyphen_breaks(chars: &[char], at: usize) -> bool {
    let letter = |i: usize| chars.get(i).is_some_and(|c| c.is_alphabetic() || *c == '_');
    let word = |i: usize| chars.get(i).is_some_and(|c| c.is_alphanumeric() || *c == '_');
    if at < 2 || !letter(at - 1) || !word(at - 2) || !word(at + 1) {
        return false;
    }
    let mut i = at + 2;
    while word(i) {
        if letter(i) {
            return true;
        }
        i += 1;
    }
    false
}

/// Borders around a head and rows whose cells may hold several lines.
pub fn draw(head: &[String], rows: &[Vec<String>]) -> String {
    let columns = head.len();
    let widths: Vec<usize> = (0..columns)
        .map(|i| {
            std::iter::once(&head[i])
                .chain(rows.iter().map(|row| &row[i]))
                .flat_map(|cell| cell.split('\n'))
                .map(|line| line.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let rule: String = widths.iter().map(|w| format!("+{}", "-".repeat(w + 2))).collect::<String>() + "+\n";
    let mut out = rule.clone();
    let put = |cells: &[String]| {
        let split: Vec<Vec<&str>> = cells.iter().map(|cell| cell.split('\n').collect()).collect();
        let height = split.iter().map(Vec::len).max().unwrap_or(1);
        let mut text = String::new();
        for line in 0..height {
            for (cell, width) in split.iter().zip(&widths) {
                let piece = cell.get(line).copied().unwrap_or("");
                text.push_str(&format!("| {piece}{} ", " ".repeat(width - piece.chars().count())));
            }
            text.push_str("|\n");
        }
        text
    };
    out.push_str(&put(head));
    out.push_str(&rule);
    for row in rows {
        out.push_str(&put(row));
    }
    out.push_str(&rule);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_as_the_client_does() {
        assert_eq!(fill("target_version", 8), "target_v\nersion");
        assert_eq!(fill("control_plane_version", 19), "control_plane_versi\non");
        let capabilities = "{'stor_function': 'monitor', 'is_max_cpu_configurable': 'not-configurable'}";
        assert_eq!(
            fill(capabilities, 72),
            "{'stor_function': 'monitor', 'is_max_cpu_configurable': 'not-\nconfigurable'}"
        );
        assert_eq!(fill("", 10), "");
    }

    #[test]
    fn an_empty_list_is_one_blank_line() {
        assert_eq!(list(&["id"], &["id"], &[], Some(80)), "\n");
    }
}
