//! What somebody who wishes us ill can hand in: files, names, output, an agent's words; and whether a secret gets out.

mod files;
mod fuzz;
mod liars;
mod mutate;
mod names;
mod place;
mod secrets;
