//! The far side: answers calls by attempt, outlives its link, leaves nothing behind.
