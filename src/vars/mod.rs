//! Variables and templates: layers and precedence, Jinja as Ansible means it, filters, tests, lookups.
