//! Drives a plan: who runs what when, the life of a task, the journal, signals.
