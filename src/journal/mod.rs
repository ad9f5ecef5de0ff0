//! The record of a run: written before acting, folded again to resume. Knows nothing of hosts or modules.
