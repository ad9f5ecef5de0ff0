//! The strategies `free` and `host_pinned`: each host at its own pace.

use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Semaphore;

use super::PlayState;
use crate::engine::cursor::Next;
use crate::engine::run::{Halt, Run};
use crate::plan::PlayPlan;

impl PlayState {
    /// Each host at its own pace.
    pub(super) async fn free(self: &Arc<Self>, run: &Arc<Run>) -> Result<bool, Halt> {
        let gate = Arc::new(Semaphore::new(run.options.forks.max(1)));
        let mut running: FuturesUnordered<_> = self
            .hosts
            .iter()
            .map(|host| {
                let gate = gate.clone();
                async move {
                    let _permit = gate.acquire().await;
                    self.alone(run, host).await
                }
            })
            .collect();
        let mut halt = None;
        let mut fatal = false;
        while let Some(result) = running.next().await {
            match result {
                Ok(over) => fatal |= over,
                Err(h) => halt = Some(h),
            }
        }
        halt.map_or(Ok(fatal), Err)
    }

    async fn alone(self: &Arc<Self>, run: &Arc<Run>, host: &str) -> Result<bool, Halt> {
        let one = [host.to_owned()];
        loop {
            let next = self.nexts().into_iter().find(|(h, _, _)| h == host);
            match next {
                None | Some((_, _, Next::End { .. })) => {
                    let due = self.failed_and_notified(run).iter().any(|h| h == host);
                    return if due { self.flush(run, &one).await } else { Ok(false) };
                }
                Some((_, _, Next::Flush)) => {
                    self.with(|s| s.get_mut(host).into_iter().for_each(|h| h.cursor.advance()));
                    self.flush(run, &one).await?;
                }
                Some((_, _, Next::Task(task))) => {
                    if self.round(run, &task, &one).await? {
                        return Ok(true);
                    }
                }
            }
        }
    }
}

/// The strategy of a play, without its collection.
pub(super) fn strategy(plan: &PlayPlan, run: &Arc<Run>) -> String {
    let written =
        plan.play.strategy.as_ref().map(|w| {
            run.templar.render(&w.value, &run.play_scope(plan)).unwrap_or_else(|_| w.value.clone()).to_string()
        });
    let written = written.unwrap_or_else(|| run.options.strategy.clone());
    written.rsplit('.').next().unwrap_or_default().to_owned()
}

/// Whether each host goes at its own pace.
pub fn is_free(plan: &PlayPlan, run: &Arc<Run>) -> bool {
    matches!(strategy(plan, run).as_str(), "free" | "host_pinned")
}
