//! What a run came to, as far as no fault may change it.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Counts of a host's recap that a fault leaves alone. `changed` is not among them: a step that is run again after a
/// doubt counts as changed, so that its handlers run.
const RECAP: [&str; 6] = ["ok", "unreachable", "failed", "skipped", "rescued", "ignored"];

/// The end of a run, with everything that was observed of it on the hosts and in the lab.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct End {
    /// None: it was still running at its deadline, or died of a signal.
    pub code: Option<i32>,
    pub recap: BTreeMap<String, [u64; RECAP.len()]>,
    /// How often each handler ran, by host and name.
    pub handlers: BTreeMap<String, usize>,
    /// What cannot be done twice unnoticed: lines that tasks appended to /srv/effects.
    pub effects: BTreeMap<String, usize>,
    /// Changes of the platform by name.
    pub changes: BTreeMap<String, usize>,
    /// Digests of the hosts' files below /srv.
    pub files: BTreeMap<String, String>,
    /// Steps that failed and were not done again, by host and name; not compared.
    pub failures: BTreeSet<String>,
}

impl End {
    /// The exit in words.
    pub fn exit(&self) -> String {
        self.code.map_or("it did not end by itself".into(), |code| format!("exit code {code}"))
    }

    /// Takes in the recap and the handlers from the JSON lines of the whole story.
    pub fn take_story(&mut self, story: &str) {
        for event in story.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            match event["event"].as_str() {
                Some("run_done") => self.recap = recap(&event["stats"]),
                Some("host_done")
                    if event["step"]["handler"] == true && event["result"]["outcome"]["status"] != "skipped" =>
                {
                    let name = format!("{}: {}", text(&event["host"]), text(&event["step"]["name"]));
                    *self.handlers.entry(name).or_default() += 1;
                }
                Some("host_done") => {
                    let name = format!("{}: {}", text(&event["host"]), text(&event["step"]["name"]));
                    match event["result"]["outcome"]["status"] == "failed" {
                        true => self.failures.insert(name),
                        false => self.failures.remove(&name),
                    };
                }
                _ => {}
            }
        }
    }

    /// In what the other is not the same, in words.
    pub fn differences(&self, other: &End) -> Vec<String> {
        let mut out = Vec::new();
        if self.code != other.code {
            out.push(format!("{}, not {}", other.exit(), self.exit()));
        }
        differing("recap", &self.recap, &other.recap, &mut out);
        differing("handler", &self.handlers, &other.handlers, &mut out);
        differing("effect", &self.effects, &other.effects, &mut out);
        differing("change", &self.changes, &self.known(&other.changes), &mut out);
        differing("file", &self.files, &other.files, &mut out);
        out
    }

    /// Those changes that the clean run made too: what else there is, is the platform's answer to the fault.
    fn known(&self, theirs: &BTreeMap<String, usize>) -> BTreeMap<String, usize> {
        theirs.iter().filter(|(name, _)| self.changes.contains_key(*name)).map(|(n, c)| (n.clone(), *c)).collect()
    }

    /// How many effects the other had too often, and how many effects and handlers it lacks.
    pub fn twice_and_lost(&self, other: &End) -> (usize, usize) {
        let over = |mine: &BTreeMap<String, usize>, theirs: &BTreeMap<String, usize>| -> usize {
            mine.iter().map(|(name, count)| count.saturating_sub(theirs.get(name).copied().unwrap_or(0))).sum()
        };
        let changes = self.known(&other.changes);
        (
            over(&other.effects, &self.effects) + over(&changes, &self.changes),
            over(&self.effects, &other.effects) + over(&self.handlers, &other.handlers) + over(&self.changes, &changes),
        )
    }
}

fn recap(stats: &Value) -> BTreeMap<String, [u64; RECAP.len()]> {
    let hosts = stats.as_array().into_iter().flatten();
    hosts.map(|host| (text(&host["host"]), RECAP.map(|count| host[count].as_u64().unwrap_or(0)))).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

fn differing<T: PartialEq + std::fmt::Debug>(
    what: &str,
    wanted: &BTreeMap<String, T>,
    found: &BTreeMap<String, T>,
    out: &mut Vec<String>,
) {
    for (name, value) in wanted {
        match found.get(name) {
            Some(other) if other == value => {}
            Some(other) => out.push(format!("{what} {name:?} is {other:?}, not {value:?}")),
            None => out.push(format!("{what} {name:?} is missing")),
        }
    }
    out.extend(
        found.keys().filter(|name| !wanted.contains_key(*name)).map(|name| format!("{what} {name:?} is too much")),
    );
}

#[cfg(test)]
mod tests {
    use super::End;

    fn end(effects: &[(&str, usize)], handlers: &[(&str, usize)]) -> End {
        let map = |pairs: &[(&str, usize)]| pairs.iter().map(|(name, n)| ((*name).to_string(), *n)).collect();
        End { code: Some(0), effects: map(effects), handlers: map(handlers), ..End::default() }
    }

    #[test]
    fn twice_and_lost_are_counted_and_named() {
        let clean = end(&[("a", 1), ("b", 1)], &[("h: reload", 1)]);
        assert_eq!(clean.twice_and_lost(&clean), (0, 0));
        assert!(clean.differences(&clean).is_empty());
        let bad = end(&[("a", 3)], &[]);
        assert_eq!(clean.twice_and_lost(&bad), (2, 2));
        assert_eq!(
            clean.differences(&bad),
            ["handler \"h: reload\" is missing", "effect \"a\" is 3, not 1", "effect \"b\" is missing"]
        );
    }

    #[test]
    fn a_story_tells_recap_and_handlers() {
        let mut end = End::default();
        end.take_story(
            "{\"event\":\"host_done\",\"host\":\"h\",\"step\":{\"handler\":true,\"name\":\"reload\"},\"result\":{\"outcome\":{\"status\":\"ok\"}}}\n\
             {\"event\":\"run_done\",\"stats\":[{\"host\":\"h\",\"ok\":3,\"failed\":0,\"changed\":2}]}\n",
        );
        assert_eq!(end.handlers["h: reload"], 1);
        assert_eq!(end.recap["h"], [3, 0, 0, 0, 0, 0]);
    }
}
