//! Hieradata: read, migrated by rules, written so that untouched lines stay byte-identical.
