//! What StarlingX's command lines print, as data: prettytable objects and lists (wrapped cells included), the ruled
//! tables of `sw-patch`, and the text of the health checks. Runs nothing and judges nothing: see `platform`, `state`.
//!
//! Shapes: the `system` client prints single objects as a `Property | Value` table, lists with their column names, and
//! neither a header nor a rule for an empty list.

/// Why a text could not be read as a table.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("expected {expected}, and found {found}")]
pub struct Unreadable {
    pub expected: &'static str,
    /// What stands there instead; its first line.
    pub found: String,
}

impl Unreadable {
    fn new(expected: &'static str, text: &str) -> Unreadable {
        let first = text.lines().find(|l| !l.trim().is_empty()).unwrap_or_default().trim();
        let found = if first.is_empty() { "nothing".into() } else { format!("`{}`", shorten(first)) };
        Unreadable { expected, found }
    }
}

fn shorten(line: &str) -> String {
    if line.chars().count() <= 120 { line.to_owned() } else { line.chars().take(117).chain("...".chars()).collect() }
}

/// A cell: the lines it was printed on, without padding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    lines: Vec<String>,
    /// Width of its column in characters.
    width: usize,
}

impl Cell {
    /// The lines as printed: for values that hold line breaks, like the required patches of a load.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str).filter(|l| !l.is_empty())
    }

    /// The value with its wrapping undone. A line that fills its column or ends with a hyphen was cut in a word;
    /// elsewhere a space was dropped. (A word as long as its column is therefore joined to the next: `--nowrap` avoids it.)
    pub fn text(&self) -> String {
        let mut out = String::new();
        for (i, line) in self.lines.iter().enumerate() {
            out.push_str(line);
            let cut = line.ends_with('-') || line.chars().count() >= self.width;
            if i + 1 < self.lines.len() && !line.is_empty() && !cut {
                out.push(' ');
            }
        }
        out.truncate(out.trim_end().len());
        out
    }

    /// The value, unless it is empty or the word `None`.
    pub fn some(&self) -> Option<String> {
        Some(self.text()).filter(|t| !t.is_empty() && t != "None")
    }
}

/// A single object: its properties in the order printed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object(Vec<(String, Cell)>);

impl Object {
    /// Reads the `Property | Value` table in a text; what stands before it (a warning, a prompt, dots) is passed over.
    pub fn parse(text: &str) -> Result<Object, Unreadable> {
        let table = grid(text).ok_or_else(|| Unreadable::new("a table of properties", text))?;
        let [property, value] = &table.header[..] else {
            return Err(Unreadable::new("a table of properties", text));
        };
        if property.text() != "Property" || value.text() != "Value" {
            return Err(Unreadable::new("a table of properties", text));
        }
        let pairs = table.rows.into_iter().filter_map(|row| {
            let mut cells = row.into_iter();
            Some((cells.next()?.text(), cells.next()?))
        });
        Ok(Object(pairs.collect()))
    }

    /// A property's value with its wrapping undone; `None` also for an empty one and for the word `None`.
    pub fn get(&self, property: &str) -> Option<String> {
        self.cell(property)?.some()
    }

    pub fn cell(&self, property: &str) -> Option<&Cell> {
        self.0.iter().find(|(name, _)| name == property).map(|(_, cell)| cell)
    }

    /// A property that must be there, if only as `None`.
    pub fn need(&self, property: &'static str) -> Result<String, Unreadable> {
        match self.cell(property) {
            Some(cell) => Ok(cell.text()),
            None => Err(Unreadable {
                expected: property,
                found: format!(
                    "the properties {}",
                    self.0.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>().join(", ")
                ),
            }),
        }
    }
}

/// A list: its column names and rows. Columns are looked up by name, never by place: options insert columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct List {
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl List {
    /// Reads the table in a text. An empty list prints a blank line only.
    pub fn parse(text: &str) -> Result<List, Unreadable> {
        if text.trim().is_empty() {
            return Ok(List::default());
        }
        let table = grid(text).ok_or_else(|| Unreadable::new("a table", text))?;
        Ok(List { columns: table.header.iter().map(Cell::text).collect(), rows: table.rows })
    }

    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|cells| Row { columns: &self.columns, cells })
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// One row of a [`List`].
#[derive(Clone, Copy, Debug)]
pub struct Row<'t> {
    columns: &'t [String],
    cells: &'t [Cell],
}

impl Row<'_> {
    /// The value in a column; `None` also for an empty cell, the word `None`, and a column that is not there. A column's
    /// name is compared without spaces, since wrapping may have lost them.
    pub fn get(&self, column: &str) -> Option<String> {
        let plain = |name: &str| name.replace(' ', "").to_lowercase();
        let at = self.columns.iter().position(|c| plain(c) == plain(column))?;
        self.cells.get(at)?.some()
    }

    /// A value that must be there.
    pub fn need(&self, column: &'static str) -> Result<String, Unreadable> {
        self.get(column).ok_or_else(|| Unreadable {
            expected: column,
            found: format!("a row of the columns {}", self.columns.join(", ")),
        })
    }
}

struct Grid {
    header: Vec<Cell>,
    rows: Vec<Vec<Cell>>,
}

/// The first table in a text: header between its first two rules, rows up to the third. A row whose first cell is empty
/// goes on with the row above it.
fn grid(text: &str) -> Option<Grid> {
    let is_rule = |line: &str| line.len() > 2 && line.starts_with('+') && line.chars().all(|c| c == '+' || c == '-');
    // A prompt without a line break may stand before the first rule.
    let start = text.find("+-")?;
    let mut lines = text[start..].lines().map(str::trim_end);
    let rule = lines.next().filter(|l| is_rule(l))?;
    let widths: Vec<usize> = rule.trim_matches('+').split('+').map(|dashes| dashes.len().saturating_sub(2)).collect();
    let (mut sections, mut rules) = ([Vec::new(), Vec::new()], 1);
    for line in lines {
        if is_rule(line) {
            rules += 1;
            if rules == 3 {
                break;
            }
        } else if line.starts_with('|') {
            sections[rules - 1].push(split(line, &widths)?);
        } else {
            break;
        }
    }
    if rules < 2 {
        return None;
    }
    let [header, rows] = sections;
    Some(Grid { header: merge(header, &widths, true).pop()?, rows: merge(rows, &widths, false) })
}

/// The cells of a printed line, by the widths of the rule: a value may hold `|`.
fn split(line: &str, widths: &[usize]) -> Option<Vec<String>> {
    let mut chars = line.chars();
    let mut cells = Vec::with_capacity(widths.len());
    for width in widths {
        if chars.next()? != '|' {
            return None;
        }
        cells.push(chars.by_ref().take(width + 2).collect::<String>().trim().to_owned());
    }
    Some(cells)
}

fn merge(lines: Vec<Vec<String>>, widths: &[usize], all: bool) -> Vec<Vec<Cell>> {
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for line in lines {
        let goes_on = all || line[0].is_empty();
        match rows.last_mut() {
            Some(row) if goes_on => {
                for (cell, more) in row.iter_mut().zip(line) {
                    cell.lines.push(more);
                }
            }
            _ => rows.push(line.into_iter().zip(widths).map(|(l, w)| Cell { lines: vec![l], width: *w }).collect()),
        }
    }
    for cell in rows.iter_mut().flatten() {
        while cell.lines.len() > 1 && cell.lines.last().is_some_and(String::is_empty) {
            cell.lines.pop();
        }
    }
    rows
}

/// A table of `sw-patch`: names centred over runs of `=`, which give the columns. Without one the list is empty.
pub fn ruled(text: &str) -> Result<List, Unreadable> {
    let lines: Vec<&str> = text.lines().collect();
    let is_rule = |l: &&str| l.contains('=') && l.chars().all(|c| c == '=' || c == ' ');
    let Some(at) = lines.iter().position(is_rule).filter(|at| *at > 0) else {
        return if text.trim().is_empty() { Ok(List::default()) } else { Err(Unreadable::new("a ruled table", text)) };
    };
    let rule: Vec<char> = lines[at].chars().collect();
    let mut spans = Vec::new();
    let mut from = None;
    for (i, c) in rule.iter().chain([&' ']).enumerate() {
        match (c, from) {
            ('=', None) => from = Some(i),
            (' ', Some(start)) => {
                spans.push(start..i);
                from = None;
            }
            _ => {}
        }
    }
    let cells = |line: &str| -> Vec<Cell> {
        let chars: Vec<char> = line.chars().collect();
        spans
            .iter()
            .enumerate()
            .map(|(n, span)| {
                // The last column may be longer than its rule.
                let end = if n + 1 == spans.len() { chars.len() } else { span.end.min(chars.len()) };
                let text: String = chars.get(span.start..end.max(span.start)).unwrap_or_default().iter().collect();
                Cell { lines: vec![text.trim().to_owned()], width: usize::MAX }
            })
            .collect()
    };
    Ok(List {
        columns: cells(lines[at - 1]).iter().map(Cell::text).collect(),
        rows: lines[at + 1..].iter().take_while(|l| !l.trim().is_empty()).map(|l| cells(l)).collect(),
    })
}

/// What a health query printed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    pub checks: Vec<Check>,
    /// Lines that belong to no check, but for the heading: `No imported load found. Unable to test further`.
    pub remarks: Vec<String>,
}

/// One check of a health query.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// As printed, without the colon: `All hosts are provisioned`.
    pub name: String,
    pub ok: bool,
    /// The lines below it.
    pub details: Vec<String>,
}

/// Reads a health query line by line. A text without a single check is not readable: silence is not health.
pub fn health(text: &str) -> Result<Health, Unreadable> {
    let mut health = Health::default();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && *l != "System Health:") {
        let verdict =
            [("[OK]", true), ("[Fail]", false)].into_iter().find_map(|(end, ok)| Some((line.strip_suffix(end)?, ok)));
        match (verdict, health.checks.last_mut()) {
            (Some((name, ok)), _) => {
                let name = name.trim_end().trim_end_matches(':').to_owned();
                health.checks.push(Check { name, ok, details: Vec::new() });
            }
            (None, Some(check)) if !check.ok => check.details.push(line.to_owned()),
            _ => health.remarks.push(line.to_owned()),
        }
    }
    if health.checks.is_empty() { Err(Unreadable::new("health checks", text)) } else { Ok(health) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_joined() {
        let text = "\
+----------+----------------+
| Property | Value          |
+----------+----------------+
| caps     | {'a': 'not-    |
|          | ready', 'b':   |
|          | 'ccccccccccccc |
|          | ddd'}          |
| task     | None           |
| empty    |                |
+----------+----------------+
";
        // The third line fills its column: a word was cut there.
        let object = Object::parse(text).unwrap();
        assert_eq!(object.get("caps").unwrap(), "{'a': 'not-ready', 'b': 'cccccccccccccddd'}");
        assert_eq!(object.get("task"), None);
        assert_eq!(object.need("task").unwrap(), "None");
        assert_eq!(object.get("empty"), None);
        assert!(object.need("gone").unwrap_err().to_string().contains("caps, task, empty"));
    }

    #[test]
    fn values_may_hold_bars_and_line_breaks() {
        let text = "\
dots...\n+------------------+-------+
| Property         | Value |
+------------------+-------+
| required_patches | P1    |
|                  | P2    |
| note             | a | b |
+------------------+-------+";
        let object = Object::parse(text).unwrap();
        assert_eq!(object.cell("required_patches").unwrap().lines().collect::<Vec<_>>(), ["P1", "P2"]);
        assert_eq!(object.get("note").unwrap(), "a | b");
    }

    #[test]
    fn text_that_is_no_table_is_told() {
        let e = Object::parse("No upgrade in progress\n").unwrap_err();
        assert_eq!(e.to_string(), "expected a table of properties, and found `No upgrade in progress`");
        assert!(List::parse("\n").unwrap().is_empty());
        assert!(health("\n").is_err());
    }

    #[test]
    fn ruled_tables() {
        let text = "
  Patch ID   RR  Release  Patch State
===========  ==  =======  ===========
PATCH_0001   N    21.05     Applied
PATCH_0002   Y    21.05    Partial-Apply

";
        let list = ruled(text).unwrap();
        let rows: Vec<_> = list.rows().collect();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1].get("Patch ID").unwrap(), "PATCH_0002");
        assert_eq!(rows[1].get("Patch State").unwrap(), "Partial-Apply");
        assert_eq!(rows[0].get("Release").unwrap(), "21.05");
        assert!(ruled("Error: Command must be run as sudo or root").is_err());
    }
}
