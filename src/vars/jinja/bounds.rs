//! What bounds a template: steps, the size of one result, and what all results of one rendering cost together.

use super::eval::Cx;
use super::val::Res;
use crate::vars::error::fail;

/// Most items of a list, and most bytes of a text, that a template may make.
const MOST_ITEMS: usize = 2 << 20;
const MOST_BYTES: usize = 64 << 20;

impl Cx<'_> {
    /// One more step; an endless template ends here.
    pub fn step(&mut self) -> Res<()> {
        self.spend(1)
    }

    /// As many steps as a result costs that no loop of the template makes.
    pub fn spend(&mut self, steps: usize) -> Res<()> {
        self.steps = self.steps.saturating_add(steps as u64);
        if self.steps > self.engine.most_steps {
            return fail(format!("the template did not end within {} steps", self.engine.most_steps));
        }
        Ok(())
    }

    /// Refuses a list that would eat the memory.
    pub fn fits(&self, items: usize) -> Res<()> {
        if items <= MOST_ITEMS {
            return Ok(());
        }
        fail(format!("the template makes a list of {items} items; the limit is {MOST_ITEMS}"))
    }

    /// The same for a list that is made now: many of them would eat it together.
    pub fn bounded(&mut self, items: usize) -> Res<()> {
        self.fits(items)?;
        self.spend(items / 2)
    }

    /// Refuses a text that would eat the memory.
    pub fn fits_text(&self, bytes: usize) -> Res<()> {
        if bytes <= MOST_BYTES {
            return Ok(());
        }
        fail(format!("the template makes a text of {bytes} bytes; the limit is {MOST_BYTES}"))
    }

    /// The same for a text that is made now.
    pub fn bounded_text(&mut self, bytes: usize) -> Res<()> {
        self.fits_text(bytes)?;
        self.spend(bytes / 64)
    }
}
