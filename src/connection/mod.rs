//! The link from the engine to the agent on a host: OpenSSH or this machine.
