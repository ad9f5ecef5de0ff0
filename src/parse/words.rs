//! What the readers ask about modules, so that they need not know them.

/// The module table as the readers see it.
pub trait Words {
    /// The module of that name, short (`copy`) or whole (`ansible.builtin.copy`); none if there is no such module.
    fn module(&self, name: &str) -> Option<ModuleWords<'_>>;

    /// All short names, from which a near one is proposed for a name that is unknown.
    fn module_names(&self) -> Vec<&str>;

    /// For a name without a module: why there is none, where that is known (left out on purpose, Windows only).
    fn why_not(&self, _name: &str) -> Option<String> {
        None
    }
}

/// What the readers need of a module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleWords<'a> {
    /// Name without collection: `copy`.
    pub short: &'a str,
    /// The parameter that free text stands for (`command: echo hi`); none if the module takes no free text.
    pub free_form: Option<&'a str>,
    /// Names of its parameters.
    pub params: Vec<&'a str>,
}
