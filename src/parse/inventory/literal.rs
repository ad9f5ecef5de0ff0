//! Values in INI inventories: Python literals where they parse as such (`5`, `True`, `[1, 'a']`), else text.

use crate::model::source::Span;
use crate::model::value::{Dict, Key, Value};

/// How deep lists may lie in one another.
const MAX_DEPTH: usize = 100;

/// The value of a text; text that Python would not take for a literal stays text, and is a template if it holds Jinja.
pub(super) fn value(text: &str, span: &Span) -> Value {
    let mut reader = Literal { text, at: 0, span };
    match reader.whole() {
        Some(value) if reader.ends() => value,
        _ => Value::written(text, span),
    }
}

struct Literal<'a> {
    text: &'a str,
    at: usize,
    span: &'a Span,
}

impl Literal<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n']).len();
    }

    /// Whether nothing but a comment is left.
    fn ends(&mut self) -> bool {
        self.space();
        self.rest().is_empty() || self.rest().starts_with('#')
    }

    fn eat(&mut self, c: char) -> bool {
        self.space();
        let found = self.rest().starts_with(c);
        self.at += if found { c.len_utf8() } else { 0 };
        found
    }

    /// One literal; several with commas between them are a tuple, which is a list here.
    fn whole(&mut self) -> Option<Value> {
        let mut items = vec![self.any(0)?];
        let mut comma = self.eat(',');
        if !comma {
            return items.pop();
        }
        while comma && !self.ends() {
            items.push(self.any(0)?);
            comma = self.eat(',');
        }
        Some(Value::list(items))
    }

    fn any(&mut self, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.space();
        match self.rest().chars().next()? {
            '[' => {
                self.at += 1;
                self.items(']', depth).map(|(items, _)| Value::list(items))
            }
            '(' => {
                self.at += 1;
                let (mut items, comma) = self.items(')', depth)?;
                // One thing in parentheses is that thing; tuples are lists here.
                if items.len() == 1 && !comma { items.pop() } else { Some(Value::list(items)) }
            }
            '{' => {
                self.at += 1;
                self.braces(depth)
            }
            '\'' | '"' => self.strings(),
            // What Python knows as a literal and JSON does not is text.
            '.' if self.rest().starts_with("...") => {
                self.at += "...".len();
                Some(Value::str("..."))
            }
            '-' | '+' | '.' | '0'..='9' => self.number(),
            's' if self.rest().starts_with("set()") => {
                self.at += "set()".len();
                Some(Value::list(Vec::new()))
            }
            _ => self.word(),
        }
    }

    /// Items up to `end`, and whether a comma stood among them.
    fn items(&mut self, end: char, depth: usize) -> Option<(Vec<Value>, bool)> {
        let (mut items, mut comma) = (Vec::new(), false);
        loop {
            if self.eat(end) {
                return Some((items, comma));
            }
            if !items.is_empty() && !comma {
                return None;
            }
            items.push(self.any(depth + 1)?);
            comma = self.eat(',');
            if !comma {
                return self.eat(end).then_some((items, false));
            }
        }
    }

    /// A dictionary, or a set, which becomes a list.
    fn braces(&mut self, depth: usize) -> Option<Value> {
        let mut dict = Dict::new();
        let mut set = Vec::new();
        loop {
            if self.eat('}') {
                return Some(if set.is_empty() { Value::dict(dict) } else { Value::list(set) });
            }
            let first = self.any(depth + 1)?;
            if set.is_empty() && self.eat(':') {
                let value = self.any(depth + 1)?;
                dict.insert(Key::from_value(&first)?, value);
            } else if dict.is_empty() {
                set.push(first);
            } else {
                return None;
            }
            if !self.eat(',') {
                return self.eat('}').then(|| if set.is_empty() { Value::dict(dict) } else { Value::list(set) });
            }
        }
    }

    fn word(&mut self) -> Option<Value> {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if after.starts_with(['\'', '"']) {
            // Prefixes of strings; raw ones keep their backslashes.
            return match word.to_ascii_lowercase().as_str() {
                "u" | "r" | "b" | "br" | "rb" => self.strings(),
                _ => None,
            };
        }
        let value = match word {
            "None" => Value::Null,
            "True" => Value::Bool(true),
            "False" => Value::Bool(false),
            _ => return None,
        };
        self.at += end;
        Some(value)
    }

    /// One string, or several side by side, which are one.
    fn strings(&mut self) -> Option<Value> {
        let mut out = String::new();
        let mut met = false;
        loop {
            self.space();
            let rest = self.rest();
            let prefix = rest.find(['\'', '"']).filter(|at| {
                *at <= 2 && matches!(rest[..*at].to_ascii_lowercase().as_str(), "" | "u" | "r" | "b" | "br" | "rb")
            });
            match prefix {
                Some(at) => {
                    let raw = rest[..at].to_ascii_lowercase().contains('r');
                    self.at += at;
                    self.string(raw, &mut out)?;
                    met = true;
                }
                None if met => return Some(Value::written(&out, self.span)),
                None => return None,
            }
        }
    }

    fn string(&mut self, raw: bool, out: &mut String) -> Option<()> {
        let quote = self.rest().chars().next()?;
        let triple: String = std::iter::repeat_n(quote, 3).collect();
        let end = if self.rest().starts_with(&triple) { triple } else { quote.to_string() };
        self.at += end.len();
        loop {
            if self.rest().starts_with(&end) {
                self.at += end.len();
                return Some(());
            }
            let c = self.rest().chars().next()?;
            self.at += c.len_utf8();
            match c {
                '\n' if end.len() == 1 => return None,
                '\\' => {
                    let next = self.rest().chars().next()?;
                    self.at += next.len_utf8();
                    if raw {
                        out.extend(['\\', next]);
                    } else {
                        self.escape(next, out)?;
                    }
                }
                c => out.push(c),
            }
        }
    }

    fn escape(&mut self, c: char, out: &mut String) -> Option<()> {
        let made = match c {
            '\n' => return Some(()),
            '\\' | '\'' | '"' => c,
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            'x' => self.code(2, 16)?,
            'u' => self.code(4, 16)?,
            'U' => self.code(8, 16)?,
            '0'..='7' => {
                self.at -= 1;
                let digits = self.rest().bytes().take(3).take_while(|b| matches!(b, b'0'..=b'7')).count();
                self.code(digits, 8)?
            }
            // Python keeps an escape that it does not know.
            other => {
                out.push('\\');
                other
            }
        };
        out.push(made);
        Some(())
    }

    fn code(&mut self, digits: usize, radix: u32) -> Option<char> {
        let text = self.rest().get(..digits)?;
        let code = text.chars().all(|c| c.is_digit(radix)).then(|| u32::from_str_radix(text, radix).ok())??;
        self.at += digits;
        char::from_u32(code)
    }

    fn number(&mut self) -> Option<Value> {
        let negative = self.rest().starts_with('-');
        if self.rest().starts_with(['-', '+']) {
            self.at += 1;
            self.space();
        }
        let rest = self.rest();
        let mut end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_').unwrap_or(rest.len());
        // The sign of an exponent.
        if rest[..end].ends_with(['e', 'E']) && !rest.starts_with("0x") && rest[end..].starts_with(['-', '+']) {
            let more = &rest[end + 1..];
            end += 1 + more.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(more.len());
        }
        let word = &rest[..end];
        let bytes = word.as_bytes();
        let lone = |at: usize| {
            let near = |i: Option<usize>| i.and_then(|i| bytes.get(i)).is_some_and(u8::is_ascii_alphanumeric);
            bytes[at] == b'_' && !(near(at.checked_sub(1)) && near(Some(at + 1)))
        };
        if word.is_empty() || (0..bytes.len()).any(lone) {
            return None;
        }
        let clean = word.replace('_', "");
        let lower = clean.to_ascii_lowercase();
        let signed = |digits: &str, radix| {
            let text = if negative { format!("-{digits}") } else { digits.to_owned() };
            i64::from_str_radix(&text, radix).ok().map(Value::Int)
        };
        let value = if let Some(hex) = lower.strip_prefix("0x") {
            signed(hex, 16)?
        } else if let Some(octal) = lower.strip_prefix("0o") {
            signed(octal, 8)?
        } else if let Some(binary) = lower.strip_prefix("0b") {
            signed(binary, 2)?
        } else if clean.bytes().all(|b| b.is_ascii_digit()) {
            // Python 3 refuses `0644`: it stays text.
            if clean.len() > 1 && clean.starts_with('0') && clean.bytes().any(|b| b != b'0') {
                return None;
            }
            signed(&clean, 10)?
        } else if lower.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'-' | b'+'))
            && lower.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        {
            let x = clean.parse::<f64>().ok()?;
            Value::Float(if negative { -x } else { x })
        } else if lower.strip_suffix('j').is_some_and(|d| d.bytes().all(|b| b.is_ascii_digit())) && !negative {
            // An imaginary number.
            Value::str(&lower)
        } else {
            return None;
        };
        self.at += end;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match value(text, &Span::of_text("x", text)) {
            Value::Str(s) => format!("text {s}"),
            other => other.to_string(),
        }
    }

    /// Each as ansible-inventory of ansible-core 2.19 shows it.
    #[test]
    fn python_literals_and_else_text() {
        for (text, shown) in [
            ("5", "5"),
            ("0644", "text 0644"),
            ("1_000", "1000"),
            ("0x1F", "31"),
            ("1e5", "100000.0"),
            ("--5", "text --5"),
            ("True", "True"),
            ("true", "text true"),
            ("None", "None"),
            ("yes", "text yes"),
            ("[1, 'a', (2,), {'b': None}]", "[1, 'a', [2], {'b': None}]"),
            ("1,2", "[1, 2]"),
            ("a,b", "text a,b"),
            ("'a' \"b\"", "text ab"),
            ("5 # five", "5"),
            ("five # five", "text five # five"),
            ("r'\\n'", "text \\n"),
            ("'\\x41\\101'", "text AA"),
            ("'un", "text 'un"),
            ("10.0.0.1", "text 10.0.0.1"),
            ("['{{ x }}']", "['{{ x }}']"),
            ("{1, 2}", "[1, 2]"),
            ("set()", "[]"),
            ("set(1)", "text set(1)"),
            ("1+2", "text 1+2"),
            ("", "text "),
        ] {
            assert_eq!(read(text), shown, "{text}");
        }
        let deep = "[".repeat(10_000);
        assert_eq!(read(&deep), format!("text {deep}"));
    }
}
