//! The states of a Kubernetes upgrade and the order of its steps, which differs between releases. Pure.

use std::fmt;

use crate::stx::state::Dialect;

/// A step that the platform takes by itself once it was told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Images,
    Networking,
    FirstControlPlane,
    SecondControlPlane,
    Kubelets,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Running,
    Failed,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Started,
    At(Step, Phase),
    Complete,
    Unknown,
}

/// A state by the platform's word for it; a word of a newer release is kept as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeState {
    word: String,
    place: Place,
}

/// Each step with the platform's words for it: at work (`-failed` is added to it) and done.
const STEPS: [(Step, &str, &str); 5] = [
    (Step::Images, "downloading-images", "downloaded-images"),
    (Step::Networking, "upgrading-networking", "upgraded-networking"),
    (Step::FirstControlPlane, "upgrading-first-master", "upgraded-first-master"),
    (Step::SecondControlPlane, "upgrading-second-master", "upgraded-second-master"),
    // There is no word for all kubelets being done: the hosts' own status tells.
    (Step::Kubelets, "upgrading-kubelets", "upgrading-kubelets"),
];

pub const STARTED: &str = "upgrade-started";
pub const COMPLETE: &str = "upgrade-complete";

impl KubeState {
    /// Takes the platform's word.
    pub fn of(word: &str) -> KubeState {
        let at = |(step, work, done): &(Step, &str, &str)| {
            let phase = match word.strip_suffix("-failed") {
                Some(failed) => (failed == *work).then_some(Phase::Failed)?,
                None if word == *work => Phase::Running,
                None => (word == *done).then_some(Phase::Done)?,
            };
            Some(Place::At(*step, phase))
        };
        let place = match word {
            STARTED => Place::Started,
            COMPLETE => Place::Complete,
            _ => STEPS.iter().find_map(at).unwrap_or(Place::Unknown),
        };
        KubeState { word: word.to_owned(), place }
    }

    /// The platform's word.
    pub fn word(&self) -> &str {
        &self.word
    }

    pub fn complete(&self) -> bool {
        self.place == Place::Complete
    }

    /// The step that it is at, and how that stands.
    pub fn step(&self) -> Option<(Step, Phase)> {
        match self.place {
            Place::At(step, phase) => Some((step, phase)),
            Place::Started | Place::Complete | Place::Unknown => None,
        }
    }
}

impl fmt::Display for KubeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.word)
    }
}

impl Step {
    /// The word of the state that it ends in.
    pub fn done(self) -> &'static str {
        STEPS.iter().find(|(step, ..)| *step == self).map_or("", |(.., done)| *done)
    }
}

/// In which order the steps come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Networking after the first control plane (stx 4 and 5); before it from stx 6 on.
    pub networking_late: bool,
    /// There is no second control plane.
    pub simplex: bool,
}

/// How a step stands, seen from the state of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Steps before it are not done.
    TooEarly,
    Ready,
    Running,
    Failed,
    Done,
    /// In a state that this tool does not know.
    Unknown,
}

impl Order {
    /// By the release's dialect; none where the platform upgrades Kubernetes in another way.
    pub fn of(version: &str, simplex: bool) -> Option<Order> {
        match Dialect::of(version)? {
            Dialect::LegacyA => Some(Order { networking_late: true, simplex }),
            Dialect::LegacyB => Some(Order { networking_late: false, simplex }),
            Dialect::Usm => None,
        }
    }

    /// `a` or `b`, as the platform's documentation is divided.
    pub fn word(self) -> &'static str {
        if self.networking_late { "a" } else { "b" }
    }

    fn steps(self) -> impl Iterator<Item = Step> {
        use Step::*;
        let all = if self.networking_late {
            [Images, FirstControlPlane, Networking, SecondControlPlane, Kubelets]
        } else {
            [Images, Networking, FirstControlPlane, SecondControlPlane, Kubelets]
        };
        all.into_iter().filter(move |step| !(self.simplex && *step == SecondControlPlane))
    }

    /// How a step stands while the whole is in a state.
    pub fn standing(self, state: &KubeState, step: Step) -> Standing {
        let place = |wanted: Step| self.steps().position(|s| s == wanted).map(|at| at + 1);
        let (Some(here), Some((now, phase))) = (
            place(step),
            match state.place {
                Place::Started => Some((0, Phase::Done)),
                Place::At(step, phase) => place(step).map(|at| (at, phase)),
                Place::Complete => Some((usize::MAX, Phase::Done)),
                Place::Unknown => None,
            },
        ) else {
            return Standing::Unknown;
        };
        match (now.cmp(&here), phase) {
            (std::cmp::Ordering::Greater, _) | (std::cmp::Ordering::Equal, Phase::Done) => Standing::Done,
            (std::cmp::Ordering::Equal, Phase::Running) => Standing::Running,
            (std::cmp::Ordering::Equal, Phase::Failed) => Standing::Failed,
            (std::cmp::Ordering::Less, Phase::Done) if now + 1 == here => Standing::Ready,
            (std::cmp::Ordering::Less, _) => Standing::TooEarly,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_their_steps() {
        assert_eq!(KubeState::of("downloading-images-failed").step(), Some((Step::Images, Phase::Failed)));
        assert_eq!(KubeState::of("upgraded-second-master").step(), Some((Step::SecondControlPlane, Phase::Done)));
        assert_eq!(KubeState::of("upgrading-kubelets").step(), Some((Step::Kubelets, Phase::Running)));
        assert!(KubeState::of("upgrade-complete").complete());
        assert_eq!(KubeState::of("cordon-started").step(), None);
        assert_eq!(KubeState::of("cordon-started").word(), "cordon-started");
    }

    #[test]
    fn networking_comes_where_the_release_has_it() {
        let (a, b) = (Order::of("21.05", false).unwrap(), Order::of("21.12", false).unwrap());
        let standing = |order: Order, state: &str, step| order.standing(&KubeState::of(state), step);
        assert_eq!(standing(a, "downloaded-images", Step::Networking), Standing::TooEarly);
        assert_eq!(standing(a, "downloaded-images", Step::FirstControlPlane), Standing::Ready);
        assert_eq!(standing(a, "upgraded-networking", Step::FirstControlPlane), Standing::Done);
        assert_eq!(standing(a, "upgraded-networking", Step::SecondControlPlane), Standing::Ready);
        assert_eq!(standing(b, "downloaded-images", Step::Networking), Standing::Ready);
        assert_eq!(standing(b, "upgraded-networking", Step::FirstControlPlane), Standing::Ready);
        assert_eq!(standing(b, "upgrading-networking-failed", Step::Networking), Standing::Failed);
        assert_eq!(standing(b, "upgrade-complete", Step::Kubelets), Standing::Done);
        assert_eq!(standing(b, "upgrade-aborting", Step::Kubelets), Standing::Unknown);
        let simplex = Order::of("21.05", true).unwrap();
        assert_eq!(standing(simplex, "upgraded-networking", Step::Kubelets), Standing::Ready);
        assert_eq!(Order::of("24.09", false), None);
    }
}
