//! How deep the tree of a template can become, told from its words before it is read. The reader follows chains
//! (`a + b + …`, `x | f | g …`, `elif`) without a bound, and every walk over such a tree needs stack for each link.

use minijinja::machinery::{Span, Token, tokenize};
use minijinja::syntax::SyntaxConfig;

/// Words of one chain, with those around it: twice what Python's own stack lets Jinja read.
pub const MOST: usize = 2000;

/// A bound of the tree's depth, or the place at which it becomes more than [`MOST`].
pub fn of(text: &str, expression: bool, syntax: &SyntaxConfig) -> Result<usize, Span> {
    // A link takes a byte at least.
    if text.len() < 64 {
        return Ok(text.len());
    }
    let mut deepest = 0;
    let (mut chains, mut branches) = (vec![0usize], vec![0usize]);
    let mut opens = false;
    // What cannot be read is for the reader to say.
    for (token, span) in tokenize(text, expression, syntax.clone()).map_while(Result::ok) {
        match token {
            Token::TemplateData(_) | Token::VariableStart | Token::BlockStart => chains = vec![0],
            Token::BracketOpen | Token::ParenOpen | Token::BraceOpen => {
                *last(&mut chains) += 1;
                chains.push(1);
            }
            Token::BracketClose | Token::ParenClose | Token::BraceClose if chains.len() > 1 => {
                chains.pop();
            }
            Token::Comma => *last(&mut chains) = 0,
            Token::Ident("if") if opens => branches.push(1),
            Token::Ident("elif") if opens => *last(&mut branches) += 1,
            Token::Ident("endif") if opens && branches.len() > 1 => {
                branches.pop();
            }
            _ => *last(&mut chains) += 1,
        }
        opens = matches!(token, Token::BlockStart);
        deepest = deepest.max(chains.iter().sum::<usize>() + branches.iter().sum::<usize>());
        if deepest > MOST {
            return Err(span);
        }
    }
    Ok(deepest)
}

/// There is always one.
fn last(counts: &mut Vec<usize>) -> &mut usize {
    if counts.is_empty() {
        counts.push(0);
    }
    let end = counts.len() - 1;
    &mut counts[end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(text: &str) -> Result<usize, Span> {
        of(text, false, &SyntaxConfig::default())
    }

    #[test]
    fn chains_are_deep_and_lists_are_not() {
        assert!(depth(&format!("{{{{ [{}] }}}}", "1, ".repeat(50_000))).is_ok_and(|d| d < 10));
        assert!(depth(&"{{ a.b | int }} text ".repeat(10_000)).is_ok_and(|d| d < 10));
        assert!(depth(&format!("{{{{ 1{} }}}}", " + 1".repeat(900))).is_ok_and(|d| d > 900));
        for deep in ["+ 1", "| int", ".a", "if 1 else 1", "+ f(1, 2)", "and a", "[0]", "(1, 2)"] {
            assert!(depth(&format!("{{{{ 1 {} }}}}", deep.repeat(3000))).is_err(), "{deep}");
        }
        assert!(depth(&format!("{{% if a %}}{}{{% endif %}}", "{% elif b %}".repeat(3000))).is_err());
        assert!(depth(&"{% if a %}{% elif b %}{% endif %}".repeat(3000)).is_ok());
    }
}
