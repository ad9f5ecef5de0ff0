//! Which tasks `--tags` and `--skip-tags` select, with Ansible's special words.

/// The selection of the command line.
#[derive(Clone, Debug, Default)]
pub struct TagSelection {
    pub only: Vec<String>,
    pub skip: Vec<String>,
}

impl TagSelection {
    /// Reads `-t a,b` and `--skip-tags c`.
    pub fn new(only: &[String], skip: &[String]) -> TagSelection {
        let split = |list: &[String]| {
            list.iter().flat_map(|t| t.split(',')).map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).collect()
        };
        TagSelection { only: split(only), skip: split(skip) }
    }

    /// Whether a task with these tags runs.
    pub fn selects(&self, tags: &[String]) -> bool {
        let has = |t: &str| tags.iter().any(|x| x == t);
        let any_of = |list: &[String]| list.iter().any(|t| has(t));
        let in_list = |list: &[String], t: &str| list.iter().any(|x| x == t);
        let tagged = !tags.is_empty();
        let mut run = if self.only.is_empty() || in_list(&self.only, "all") {
            !has("never") || any_of(&self.only)
        } else {
            (has("always") && !in_list(&self.skip, "always"))
                || any_of(&self.only)
                || (in_list(&self.only, "tagged") && tagged && !has("never"))
                || (in_list(&self.only, "untagged") && !tagged)
        };
        if run && !self.skip.is_empty() {
            let skipped = if in_list(&self.skip, "all") {
                !has("always") || in_list(&self.skip, "always")
            } else {
                any_of(&self.skip)
                    || (in_list(&self.skip, "tagged") && tagged)
                    || (in_list(&self.skip, "untagged") && !tagged)
            };
            run = !skipped;
        }
        run
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(only: &str, skip: &str, tags: &str) -> bool {
        let list = |s: &str| s.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        TagSelection::new(&list(only), &list(skip)).selects(&list(tags))
    }

    #[test]
    fn the_special_words() {
        assert!(selects("", "", ""));
        assert!(!selects("", "", "never"));
        assert!(!selects("", "", "never debug"));
        assert!(selects("debug", "", "never debug"));
        assert!(selects("a", "", "always"));
        assert!(!selects("a", "always", "always"));
        assert!(!selects("a", "", "b"));
        assert!(selects("tagged", "", "b"));
        assert!(selects("untagged", "", ""));
        assert!(!selects("", "b", "a b"));
        assert!(selects("", "all", "always"));
        assert!(selects("a,b", "", "b"));
    }
}
