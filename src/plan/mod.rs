//! Playbook and inventory to a plan, with every check that needs no host.
