//! Changes texts of a corpus as a fuzzer does: the same ones in each run, so that what fails here fails everywhere.

/// A generator of numbers that needs no dependency and no luck.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `end`; 0 for 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % end.max(1)
    }
}

/// One to four changes: bytes turned, cut out, repeated, taken from another text, or words put in that mean something.
pub fn mutated(text: &[u8], corpus: &[Vec<u8>], words: &[&str], dice: &mut Dice) -> Vec<u8> {
    let mut out = text.to_vec();
    for _ in 0..=dice.below(4) {
        let from = dice.below(out.len() + 1);
        let to = (from + 1 + dice.below(16)).min(out.len());
        match dice.below(7) {
            0 if from < out.len() => out[from] ^= 1 << dice.below(8),
            1 if from < out.len() => out[from] = dice.below(256) as u8,
            2 => drop(out.drain(from..to)),
            3 => {
                let piece = out[from..to].repeat(1 + dice.below(40));
                out.splice(from..from, piece);
            }
            4 => {
                let other = &corpus[dice.below(corpus.len())];
                let start = dice.below(other.len());
                let end = (start + dice.below(64)).min(other.len());
                out.splice(from..to, other[start..end].iter().copied());
            }
            5 => out.truncate(from),
            _ => drop(out.splice(from..from, words[dice.below(words.len())].bytes())),
        }
    }
    out
}

/// Tries `count` changed texts of a corpus; `STX_FUZZ=100` in the environment tries a hundred times as many, and so others.
/// What panics is shown with its bytes.
pub fn fuzz(name: &str, count: usize, corpus: &[Vec<u8>], words: &[&str], run: impl Fn(&[u8])) {
    assert!(corpus.len() > 2, "{name}: the corpus is there");
    let times = std::env::var("STX_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let count = count * times;
    let mut dice = Dice::new(count as u64);
    for text in corpus {
        run(text);
    }
    for n in 0..count {
        let bytes = mutated(&corpus[n % corpus.len()], corpus, words, &mut dice);
        let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&bytes)));
        assert!(tried.is_ok(), "{name}: change {n} breaks it:\n{:?}", String::from_utf8_lossy(&bytes));
    }
}
