//! For fault tests: the link cut at a chosen call, as bad luck would. `STX_UPGRADE_CUT_LINKS=1` cuts every call once before
//! it is sent and, tried again, once after; `=N:before`, `=N:sent` and `=N:answered` cut the N-th call of the run alone, the
//! last of them when its result is here and the agent does not know that yet.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the run is told.
pub const CUT: &str = "cut by a test";

/// When a call is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    Before,
    Sent,
    Answered,
}

impl Cut {
    /// What is to be done to the call that begins now; counts it.
    pub fn of_this_call() -> Option<Cut> {
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let wanted = std::env::var("STX_UPGRADE_CUT_LINKS").ok()?;
        Cut::wanted(&wanted, CALLS.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn wanted(wanted: &str, call: u64) -> Option<Cut> {
        let Some((number, when)) = wanted.split_once(':') else {
            return Some(if call % 2 == 1 { Cut::Before } else { Cut::Sent });
        };
        if number.parse() != Ok(call) {
            return None;
        }
        match when {
            "before" => Some(Cut::Before),
            "sent" => Some(Cut::Sent),
            "answered" => Some(Cut::Answered),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cut;

    #[test]
    fn one_call_or_all() {
        assert_eq!(Cut::wanted("1", 1), Some(Cut::Before));
        assert_eq!(Cut::wanted("1", 2), Some(Cut::Sent));
        assert_eq!(Cut::wanted("7:answered", 7), Some(Cut::Answered));
        assert_eq!(Cut::wanted("7:answered", 8), None);
    }
}
