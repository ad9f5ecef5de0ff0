//! One file per subcommand; wires the rest.
