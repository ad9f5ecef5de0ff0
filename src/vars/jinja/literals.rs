//! Backslashes in text constants. minijinja reads them as JSON does and refuses `'\d'`; Python keeps what it does not
//! know, and Ansible keeps every backslash inside `{{ }}` of a playbook. So they are hidden from the reader here, and the
//! constants are unescaped by the right rule afterwards.

use minijinja::syntax::SyntaxConfig;

/// A text whose constants the reader takes verbatim, and the way back to positions in the original.
pub struct Guarded {
    pub text: String,
    /// Where bytes were put in (offset in `text` behind them), and how many so far.
    inserted: Vec<(u32, u32)>,
}

impl Guarded {
    /// The original offset of an offset in the guarded text.
    pub fn original(&self, offset: u32) -> u32 {
        let i = self.inserted.partition_point(|(at, _)| *at <= offset);
        offset - if i == 0 { 0 } else { self.inserted[i - 1].1 }
    }
}

/// Hides the backslashes of every text constant. `expression`: the whole text is inside delimiters already.
pub fn guard(text: &str, syntax: &SyntaxConfig, expression: bool) -> Guarded {
    let mut g = Guarded { text: String::with_capacity(text.len() + 8), inserted: Vec::new() };
    if !text.contains('\\') {
        g.text.push_str(text);
        return g;
    }
    let mut scan = Scan { rest: text, out: &mut g, total: 0 };
    if expression {
        scan.inside("");
        return g;
    }
    let starts = [
        (syntax.variable_delimiters().0, syntax.variable_delimiters().1, 'v'),
        (syntax.block_delimiters().0, syntax.block_delimiters().1, 'b'),
        (syntax.comment_delimiters().0, syntax.comment_delimiters().1, 'c'),
    ];
    loop {
        // The nearest delimiter; of two at one place the longer, as the reader does.
        let next = starts
            .iter()
            .filter_map(|s| scan.rest.find(s.0).map(|i| (i, std::cmp::Reverse(s.0.len()), s)))
            .min_by_key(|(i, len, _)| (*i, *len));
        let Some((i, _, (start, end, kind))) = next else {
            scan.copy(scan.rest.len());
            return g;
        };
        scan.copy(i + start.len());
        match kind {
            'c' => scan.copy_behind(end),
            'b' if scan.raw_block(end) => {
                while let Some(i) = scan.rest.find(start) {
                    scan.copy(i + start.len());
                    let tag = scan.rest.trim_start_matches(['-', '+']).trim_start();
                    if tag.starts_with("endraw") {
                        break;
                    }
                }
                scan.copy_behind(end);
            }
            _ => scan.inside(end),
        }
    }
}

struct Scan<'t, 'g> {
    rest: &'t str,
    out: &'g mut Guarded,
    total: u32,
}

impl Scan<'_, '_> {
    fn copy(&mut self, bytes: usize) {
        let (head, tail) = self.rest.split_at(bytes);
        self.out.text.push_str(head);
        self.rest = tail;
    }

    fn copy_behind(&mut self, end: &str) {
        let bytes = self.rest.find(end).map_or(self.rest.len(), |i| i + end.len());
        self.copy(bytes);
    }

    fn raw_block(&self, end: &str) -> bool {
        let Some(tag) = self.rest.trim_start_matches(['-', '+']).trim_start().strip_prefix("raw") else { return false };
        tag.trim_start().trim_start_matches(['-', '+']).starts_with(end)
    }

    /// From behind a start delimiter to behind its end, or to the end of the text.
    fn inside(&mut self, end: &str) {
        let mut depth = 0i32;
        while let Some(c) = self.rest.chars().next() {
            if depth == 0 && !end.is_empty() && self.rest.starts_with(end) {
                return self.copy(end.len());
            }
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                '\'' | '"' => {
                    self.copy(1);
                    self.constant(c);
                    continue;
                }
                _ => {}
            }
            self.copy(c.len_utf8());
        }
    }

    fn constant(&mut self, quote: char) {
        while let Some(c) = self.rest.chars().next() {
            if c == quote {
                return self.copy(1);
            }
            self.copy(c.len_utf8());
            if c == '\\' {
                self.insert("\\");
                // The escaped character must neither end the constant nor escape the next one.
                match self.rest.chars().next() {
                    Some('\\') => {
                        self.copy(1);
                        self.insert("\\");
                    }
                    Some(q @ ('\'' | '"')) => {
                        self.rest = &self.rest[1..];
                        self.out.text.push_str(if q == '"' { "\\u0022" } else { "\\u0027" });
                        self.total += 5;
                        self.out.inserted.push((self.out.text.len() as u32, self.total));
                    }
                    _ => {}
                }
            }
        }
    }

    fn insert(&mut self, text: &str) {
        self.out.text.push_str(text);
        self.total += text.len() as u32;
        self.out.inserted.push((self.out.text.len() as u32, self.total));
    }
}

/// Python's escapes in a text constant; unknown ones stay as they are.
pub fn unescape(raw: &str) -> Result<String, String> {
    if !raw.contains('\\') {
        return Ok(raw.to_owned());
    }
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let Some(c) = chars.next() else {
            out.push('\\');
            break;
        };
        match c {
            '\n' => {}
            '\\' | '\'' | '"' => out.push(c),
            'a' => out.push('\x07'),
            'b' => out.push('\x08'),
            'f' => out.push('\x0c'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'v' => out.push('\x0b'),
            'x' | 'u' | 'U' => {
                let digits = match c {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                let code: String = chars.by_ref().take(digits).collect();
                let point =
                    u32::from_str_radix(&code, 16).ok().filter(|_| code.len() == digits).and_then(char::from_u32);
                out.push(point.ok_or_else(|| format!("'\\{c}{code}' is not a valid escape sequence"))?);
            }
            '0'..='7' => {
                let mut code = c.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    if let Some(d) = chars.peek().and_then(|c| c.to_digit(8)) {
                        code = code * 8 + d;
                        chars.next();
                    }
                }
                out.push(char::from_u32(code).unwrap_or('\u{fffd}'));
            }
            other => {
                out.push('\\');
                out.push(other);
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_constants_are_guarded_and_positions_come_back() {
        let text = r"a\b {{ 'it\'s \d' ~ x }} {% raw %}'\d'{% endraw %} {# '\d' #}";
        let g = guard(text, &SyntaxConfig::default(), false);
        assert_eq!(g.text, r"a\b {{ 'it\\\u0027s \\d' ~ x }} {% raw %}'\d'{% endraw %} {# '\d' #}");
        let x = g.text.find("~ x").map(|i| i as u32 + 2);
        assert_eq!(x.map(|i| g.original(i)), text.find("~ x").map(|i| i as u32 + 2));
    }

    #[test]
    fn python_escapes() {
        assert_eq!(unescape(r"a\nb\d\1\x41\\").as_deref(), Ok("a\nb\\d\x01A\\"));
        assert!(unescape(r"\x4").is_err());
    }
}
