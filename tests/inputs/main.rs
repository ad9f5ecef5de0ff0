//! Wrong and right texts against the readers: what PyYAML makes of scalars, snapshots of mistakes, and properties.

mod arguments;
mod inventories;
mod language;
mod mistakes;
mod scalars;
mod vaults;
mod words;
