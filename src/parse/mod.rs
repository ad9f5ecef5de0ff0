//! Text to model: YAML with positions, playbooks, roles, inventories, vault. Runs and renders nothing.
