//! The `stx-lab` program; everything is in the library, so that tests can ask the rules without a machine.

fn main() {
    stx_lab::main()
}
