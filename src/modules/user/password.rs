//! Whether a password looks like the hash that it has to be.

/// A warning, in Ansible's words, of a text that no login program would take for a hash.
pub fn warning(password: &str) -> Option<&'static str> {
    // These lock an account on purpose.
    let on_purpose = ["", "*", "!", "*************"].contains(&password);
    (!on_purpose && !is_hash(password)).then_some(
        "The input password appears not to have been hashed. The 'password' argument must be encrypted for this module to work properly.",
    )
}

/// Fields between dollar signs: the method, its options, the hash, which has a length of its own.
fn is_hash(password: &str) -> bool {
    let fields: Vec<&str> = password.split('$').collect();
    let [_, method, .., hash] = fields.as_slice() else { return false };
    let length = match *method {
        "1" => Some(22),
        "5" | "y" => Some(43),
        "6" => Some(86),
        _ => None,
    };
    !password.contains([':', '*', '!'])
        && hash.chars().all(|c| c.is_ascii_alphanumeric() || "./=".contains(c))
        && length.is_none_or(|l| hash.len() == l)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_and_what_is_none() {
        let sha512 = format!("$6$rounds=5000$salt${}", "a".repeat(86));
        for good in ["", "*", "!", "$2b$12$abc", &sha512, &format!("$y$j9T$salt${}", "B".repeat(43))] {
            assert_eq!(warning(good), None, "{good}");
        }
        for bad in ["secret", "$6$salt$short", "$5$a", "!$1$abc", &sha512.replace('a', "+")] {
            assert!(warning(bad).is_some(), "{bad}");
        }
    }
}
