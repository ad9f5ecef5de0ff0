//! Colours and the terminal's abilities. They mean what they mean in Ansible: green ok, yellow changed, red failed, cyan
//! skipped. Decides nothing about what is shown.

/// SGR parameters of one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style(&'static str);

impl Style {
    pub const ERROR: Style = Style("1;31");
    pub const WARNING: Style = Style("1;33");
    pub const FRAME: Style = Style("1;34");
    pub const BOLD: Style = Style("1");
}

/// Paints text, or leaves it as it is.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    color: bool,
}

impl Paint {
    pub fn new(color: bool) -> Paint {
        Paint { color }
    }

    /// The text in this style.
    pub fn on(self, style: Style, text: &str) -> String {
        if self.color && !text.is_empty() { format!("\x1b[{}m{text}\x1b[0m", style.0) } else { text.to_owned() }
    }
}
