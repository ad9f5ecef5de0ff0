//! Where one host stands in the tree of a play: a stack of lists, blocks with their rescue and always parts, and what
//! dynamic includes put in between. Pure: it is told what happened and says what is next.

use std::collections::HashSet;
use std::sync::Arc;

use crate::plan::{BlockPlan, Kind, Node, TaskPlan};

/// A host's place. Places of two hosts compare by [`Cursor::position`], so that a play goes in lockstep.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    frames: Vec<Frame>,
    /// Roles of which a task has run here (not been skipped), and those of them that lie behind: see
    /// [`RolePlan::once`](crate::plan::RolePlan::once).
    begun: HashSet<String>,
    done: HashSet<String>,
}

#[derive(Clone, Debug)]
struct Frame {
    nodes: Arc<Vec<Node>>,
    next: usize,
    part: Part,
    block: Option<Arc<BlockPlan>>,
    /// A failure waits for the `always` part to end.
    failing: bool,
    /// Orders what several includes of one task brought.
    ordinal: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Plain,
    Block,
    Rescue,
    Always,
}

/// What a host does next.
#[derive(Clone, Debug)]
pub enum Next {
    Task(Arc<TaskPlan>),
    Flush,
    /// The play is over for it.
    End {
        failed: bool,
    },
}

/// What came of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caught {
    /// A `rescue` around it goes on.
    Rescued,
    /// Nothing rescues; `always` parts may still run, then the host is out.
    Lost,
}

impl Cursor {
    /// At the start of a play.
    pub fn new(nodes: Arc<Vec<Node>>) -> Cursor {
        let mut cursor = Cursor::default();
        cursor.frames.push(Frame { nodes, next: 0, part: Part::Plain, block: None, failing: false, ordinal: 0 });
        cursor
    }

    /// What is next; goes down into blocks and up out of ended ones, but past no task.
    pub fn peek(&mut self) -> Next {
        loop {
            let Some(top) = self.frames.last_mut() else { return Next::End { failed: false } };
            match top.nodes.get(top.next) {
                Some(Node::Task(task)) if task.task_of().is_some_and(|r| r.once && self.done.contains(&r.mark)) => {
                    top.next += 1
                }
                Some(Node::Task(task)) => return Next::Task(task.clone()),
                Some(Node::Flush) => return Next::Flush,
                Some(Node::RoleEnd(role)) => {
                    if self.begun.contains(&role.mark) {
                        self.done.insert(role.mark.clone());
                    }
                    top.next += 1;
                }
                Some(Node::Block(block)) => {
                    let block = block.clone();
                    top.next += 1;
                    self.enter(block, Part::Block, false);
                }
                None => {
                    if let Some(end) = self.leave() {
                        return end;
                    }
                }
            }
        }
    }

    /// What is next, and where that is.
    pub fn peek_at(&mut self) -> (Vec<u32>, Next) {
        let next = self.peek();
        (self.position(), next)
    }

    fn enter(&mut self, block: Arc<BlockPlan>, part: Part, failing: bool) {
        let nodes = match part {
            Part::Rescue => &block.rescue,
            Part::Always => &block.always,
            Part::Block | Part::Plain => &block.block,
        };
        let nodes = Arc::new(nodes.clone());
        self.frames.push(Frame { nodes, next: 0, part, block: Some(block), failing, ordinal: 0 });
    }

    /// Leaves the ended list on top.
    fn leave(&mut self) -> Option<Next> {
        let ended = self.frames.pop()?;
        match (ended.part, ended.block) {
            (Part::Block | Part::Rescue, Some(block)) => {
                if !block.always.is_empty() {
                    self.enter(block, Part::Always, false);
                }
                None
            }
            (Part::Always, _) if ended.failing => {
                self.unwind();
                self.frames.is_empty().then_some(Next::End { failed: true })
            }
            _ => None,
        }
    }

    /// The task ran here: it was not skipped.
    pub fn ran(&mut self, task: &TaskPlan) {
        if let (Some(role), false) = (task.task_of(), matches!(task.kind, Kind::Meta)) {
            self.begun.insert(role.mark.clone());
        }
    }

    /// The task was done (or skipped): go on behind it.
    pub fn advance(&mut self) {
        if let Some(top) = self.frames.last_mut() {
            top.next += 1;
        }
    }

    /// The task failed and that is not ignored: go to what rescues it, else to `always`, else out.
    pub fn fail(&mut self) -> Caught {
        let caught = if self
            .frames
            .iter()
            .any(|f| f.part == Part::Block && f.block.as_ref().is_some_and(|b| !b.rescue.is_empty()))
        {
            Caught::Rescued
        } else {
            Caught::Lost
        };
        self.unwind();
        caught
    }

    fn unwind(&mut self) {
        while let Some(frame) = self.frames.pop() {
            let Some(block) = frame.block else { continue };
            match frame.part {
                Part::Block if !block.rescue.is_empty() => return self.enter(block, Part::Rescue, false),
                Part::Block | Part::Rescue if !block.always.is_empty() => return self.enter(block, Part::Always, true),
                _ => {}
            }
        }
    }

    /// Whether anything is left to do after a loss: an `always` part.
    pub fn is_done(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether it stands in a `rescue`, or in an `always` that a failure waits for.
    pub fn is_failing(&self) -> bool {
        self.frames.iter().any(|f| f.failing)
    }

    /// Puts what an include brought behind the current task, in the order of `ordinal`s.
    pub fn include(&mut self, lists: Vec<(u32, Arc<Vec<Node>>)>) {
        for (ordinal, nodes) in lists.into_iter().rev() {
            self.frames.push(Frame { nodes, next: 0, part: Part::Plain, block: None, failing: false, ordinal });
        }
    }

    /// What has failed is forgiven: it goes on behind the `always` part that it stands in.
    pub fn forgive(&mut self) {
        self.frames.iter_mut().for_each(|f| f.failing = false);
    }

    /// Leaves all tasks that `inside` says belong to what ends (a role).
    pub fn skip_while(&mut self, inside: impl Fn(&TaskPlan) -> bool) {
        while let Next::Task(task) = self.peek() {
            if !inside(&task) {
                break;
            }
            self.advance();
        }
    }

    /// Orders hosts: the one with the least position is behind. Two hosts at one position are at the same task.
    pub fn position(&self) -> Vec<u32> {
        let mut position = Vec::with_capacity(self.frames.len() * 3);
        let last = self.frames.len().saturating_sub(1);
        for (i, frame) in self.frames.iter().enumerate() {
            // A later include of the same task, not begun yet.
            if i != last && frame.next == 0 {
                continue;
            }
            // A frame below the top has already stepped over what it entered, except for an include, whose frames lie on
            // the task itself: both give the place of what was entered.
            let index = if i == last { frame.next * 2 } else { (frame.next * 2).saturating_sub(1) };
            position.extend([frame.ordinal, frame.part as u32, index as u32]);
        }
        position
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::source::Span;
    use crate::model::value::Dict;
    use crate::plan::compile::{Inherit, implicit};

    fn task(name: &str) -> Node {
        let span = Span::of_text("t", name);
        let task = implicit(name, "meta", Dict::new(), &span);
        Node::Task(Arc::new(TaskPlan {
            id: name.into(),
            fingerprint: String::new(),
            place: span.place(),
            common: task.common.clone(),
            when: vec![],
            vars: vec![],
            params: vec![],
            tags: vec![],
            role: None,
            kind: Kind::Meta,
            handler: false,
            notify: vec![],
            delegate_to: None,
            delegate_facts: None,
            search: vec![],
            inherit: Arc::new(Inherit::default()),
            task,
        }))
    }

    fn list(names: &str) -> Vec<Node> {
        names.split_whitespace().map(task).collect()
    }

    fn block(block: &str, rescue: &str, always: &str) -> Node {
        Node::Block(Arc::new(BlockPlan { block: list(block), rescue: list(rescue), always: list(always) }))
    }

    /// Runs a play in which the tasks of `failing` fail; the names in the order they ran, and how it ended.
    fn run(nodes: Vec<Node>, failing: &str) -> (String, bool) {
        let mut cursor = Cursor::new(Arc::new(nodes));
        let mut ran = Vec::new();
        loop {
            match cursor.peek() {
                Next::Task(t) => {
                    ran.push(t.id.clone());
                    if failing.split_whitespace().any(|f| f == t.id) {
                        if cursor.fail() == Caught::Lost && cursor.is_done() {
                            return (ran.join(" "), true);
                        }
                    } else {
                        cursor.advance();
                    }
                }
                Next::Flush => cursor.advance(),
                Next::End { failed } => return (ran.join(" "), failed),
            }
        }
    }

    #[test]
    fn blocks_rescue_and_always() {
        let nodes = || {
            let mut n = list("a");
            n.push(block("b c", "r s", "z"));
            n.extend(list("d"));
            n
        };
        assert_eq!(run(nodes(), ""), ("a b c z d".into(), false));
        assert_eq!(run(nodes(), "b"), ("a b r s z d".into(), false));
        assert_eq!(run(nodes(), "b r"), ("a b r z".into(), true));
        assert_eq!(run(nodes(), "z"), ("a b c z".into(), true));
        assert_eq!(run(nodes(), "a"), ("a".into(), true));
    }

    #[test]
    fn a_failure_passes_an_inner_always_to_an_outer_rescue() {
        let inner = block("x", "", "y");
        let outer = Node::Block(Arc::new(BlockPlan { block: vec![inner], rescue: list("r"), always: vec![] }));
        assert_eq!(run(vec![outer], "x"), ("x y r".into(), false));
    }

    #[test]
    fn included_tasks_come_behind_the_include_and_before_the_next() {
        let mut c = Cursor::new(Arc::new(list("inc next")));
        c.peek();
        let before = c.position();
        c.advance();
        c.include(vec![(0, Arc::new(list("p"))), (1, Arc::new(list("q")))]);
        let mut ran = Vec::new();
        let mut positions = vec![before];
        while let Next::Task(t) = c.peek() {
            ran.push(t.id.clone());
            positions.push(c.position());
            c.advance();
        }
        assert_eq!(ran, ["p", "q", "next"]);
        assert!(positions.windows(2).all(|w| w[0] < w[1]), "{positions:?}");
    }
}
