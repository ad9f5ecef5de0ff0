//! Parses arguments, runs, and gives the exit code.

fn main() -> std::process::ExitCode {
    stx_upgrade::cli::main()
}
