//! Random numbers: with a seed those that Python draws from the same seed, so that what a playbook picked once under Ansible
//! (a minute for cron, a password) it picks again here. Not for secrets without a seed of their own.

use sha2::{Digest, Sha512};

/// Matsumoto's and Nishimura's MT19937, which Python's `random` is.
const N: usize = 624;
const M: usize = 397;

/// A source of random numbers.
pub struct Chance {
    state: [u32; N],
    at: usize,
}

impl Chance {
    /// Python's `random.Random(text)`.
    pub fn of_text(text: &str) -> Chance {
        let mut bytes = text.as_bytes().to_vec();
        bytes.extend(Sha512::digest(text.as_bytes()));
        // The bytes are one big-endian number; its words go in from the least.
        bytes.reverse();
        let words = bytes.chunks(4).map(|c| c.iter().rev().fold(0u32, |w, b| (w << 8) | u32::from(*b)));
        let mut words: Vec<u32> = words.collect();
        while words.len() > 1 && words.last() == Some(&0) {
            words.pop();
        }
        Chance::of_words(&words)
    }

    /// Python's `random.Random(number)`.
    pub fn of_number(number: i64) -> Chance {
        let n = number.unsigned_abs();
        match u32::try_from(n) {
            Ok(low) => Chance::of_words(&[low]),
            Err(_) => Chance::of_words(&[n as u32, (n >> 32) as u32]),
        }
    }

    /// Another one each time.
    pub fn unseeded() -> Chance {
        Chance::of_number(std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0u8) as i64)
    }

    fn of_words(key: &[u32]) -> Chance {
        let mut s = [0u32; N];
        s[0] = 19_650_218;
        for i in 1..N {
            s[i] = 1_812_433_253u32.wrapping_mul(s[i - 1] ^ (s[i - 1] >> 30)).wrapping_add(i as u32);
        }
        let (mut i, mut j) = (1, 0);
        for _ in 0..N.max(key.len()) {
            let mixed = (s[i - 1] ^ (s[i - 1] >> 30)).wrapping_mul(1_664_525);
            s[i] = (s[i] ^ mixed).wrapping_add(key[j]).wrapping_add(j as u32);
            (i, j) = (i + 1, (j + 1) % key.len());
            if i == N {
                (s[0], i) = (s[N - 1], 1);
            }
        }
        for _ in 1..N {
            let mixed = (s[i - 1] ^ (s[i - 1] >> 30)).wrapping_mul(1_566_083_941);
            s[i] = (s[i] ^ mixed).wrapping_sub(i as u32);
            i += 1;
            if i == N {
                (s[0], i) = (s[N - 1], 1);
            }
        }
        s[0] = 0x8000_0000;
        Chance { state: s, at: N }
    }

    fn word(&mut self) -> u32 {
        if self.at == N {
            let s = &mut self.state;
            for i in 0..N {
                let y = (s[i] & 0x8000_0000) | (s[(i + 1) % N] & 0x7fff_ffff);
                s[i] = s[(i + M) % N] ^ (y >> 1) ^ if y & 1 == 1 { 0x9908_b0df } else { 0 };
            }
            self.at = 0;
        }
        let mut y = self.state[self.at];
        self.at += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// A number from 0 to `n - 1`; `n` is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        let bits = 64 - n.leading_zeros();
        loop {
            let r = match bits {
                0..=32 => u64::from(self.word() >> (32 - bits.max(1))),
                _ => u64::from(self.word()) | (u64::from(self.word() >> (64 - bits)) << 32),
            };
            if r < n {
                return r;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Drawn by CPython 3.11: `random.Random(seed).randrange(n)`, three times.
    #[test]
    fn the_numbers_that_python_draws() {
        let three = |mut c: Chance, n| [c.below(n), c.below(n), c.below(n)];
        assert_eq!(three(Chance::of_text("host1"), 60), [31, 15, 57]);
        assert_eq!(three(Chance::of_text(""), 1000), [983, 465, 609]);
        assert_eq!(three(Chance::of_number(42), 60), [40, 7, 1]);
        assert_eq!(three(Chance::of_number(-7), 1000000000000), [434439589175, 54335349840, 902254243635]);
        assert_eq!(three(Chance::of_number(1099511627781), 7), [4, 4, 2]);
        assert_eq!(three(Chance::of_text("Zażółć"), 8589934592), [5610884363, 4474298408, 3961224731]);
    }
}
