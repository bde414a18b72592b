//! Waits until the copies serve: all of them, or those that can.

use std::time::Duration;

use holdfast_schemas::ErrorCode;
use holdfast_schemas::message::{CspState, CspView, GroupDefinition, GroupStatusReply, Replication, UpdateRefusal};
use tokio::time::{Instant, sleep};

use super::{
    directory::DataDirectory,
    keeper::{Condition, Keeper},
    plan::Stage,
    terminal::Terminal,
};
use crate::{
    client::Client,
    error::CliError,
    model::outlook::{CopyState, Outlook, outlook},
};

/// How long a copy that has started may take to say something of itself.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
/// Where a copy is out, the others may refuse updates on its word: they have heard it by then.
const HEARD_WITHIN: Duration = Duration::from_secs(1);

/// How the group is when nobody is waited for any more.
pub struct Served {
    /// The names of the copies that do not serve.
    pub missing: Vec<String>,
    /// Why updates are refused, if they are.
    pub refused: Option<UpdateRefusal>,
}

/// Who waits, and for whom.
pub struct Waiting<'a> {
    /// Asks administration.
    pub client: &'a Client,
    /// The group.
    pub definition: &'a GroupDefinition,
    /// The copies' keepers, among others.
    pub keepers: &'a [Keeper],
    /// Where the copies are.
    pub directory: &'a DataDirectory,
    /// Where it is told which copy does not come.
    pub terminal: Terminal,
}

impl Waiting<'_> {
    /// Waits, and gives how the group is then. Each copy that does not serve is told, with the reason and a way out.
    ///
    /// # Errors
    /// No copy serves, and none is going to.
    pub async fn until_they_serve(&self) -> Result<Served, CliError> {
        let deadline = Instant::now() + PATIENCE;
        let mut ready_since = None;
        let mut told: Vec<String> = Vec::new();
        loop {
            let status = self.client.group_status(&self.definition.name).await;
            let views = status.as_ref().map_or(&[][..], |status| status.csps.as_slice());
            let without_log = status.as_ref().is_ok_and(is_without_log);
            let copies: Vec<(&Keeper, CopyState)> = self.copies().map(|keeper| (keeper, copy(keeper, views))).collect();
            for (keeper, _) in copies.iter().filter(|(_, copy)| *copy == CopyState::Out) {
                if keeper.condition() != Condition::Stopped && !told.contains(&keeper.name) {
                    told.push(keeper.name.clone());
                    self.tell(keeper, views, without_log);
                }
            }
            let refused = status.as_ref().ok().and_then(|status| status.updates_refused.clone());
            let states: Vec<CopyState> = copies.iter().map(|(_, copy)| *copy).collect();
            let has_primary = status.as_ref().is_ok_and(|status| takes_updates(self.definition, status));
            match outlook(&states, has_primary, Instant::now() >= deadline) {
                Outlook::Ready => {
                    let missing = copies.into_iter().filter(|(_, copy)| *copy != CopyState::Serves);
                    let missing: Vec<String> = missing.map(|(keeper, _)| keeper.name.clone()).collect();
                    let since: &mut Instant = ready_since.get_or_insert_with(Instant::now);
                    if missing.is_empty() || refused.is_some() || since.elapsed() >= HEARD_WITHIN {
                        return Ok(Served { missing, refused });
                    }
                    sleep(POLL).await;
                }
                // They are whole, and answer what they can: nobody is helped if they are stopped.
                Outlook::Hopeless if without_log => {
                    let missing = self.copies().map(|keeper| keeper.name.clone()).collect();
                    return Ok(Served { missing, refused });
                }
                Outlook::Wait => sleep(POLL).await,
                Outlook::Hopeless => return Err(self.hopeless(status)),
            }
        }
    }

    fn copies(&self) -> impl Iterator<Item = &Keeper> {
        self.keepers.iter().filter(|keeper| keeper.stage == Stage::Csps)
    }

    fn tell(&self, keeper: &Keeper, views: &[CspView], without_log: bool) {
        let (name, data) = (&keeper.name, self.directory.root().display());
        let copy = self.directory.copy(name);
        // What it says of itself, where it is there to say it; else the end of its log tells more than that it does not answer.
        let answers = |view: &&CspView| view.csp == *name && view.last_heartbeat_ms_ago.is_some();
        let own = views.iter().find(answers).and_then(|view| view.reason.clone());
        let why = own.unwrap_or_else(|| keeper.last_word());
        if without_log {
            let advice = without_log_advice(name, self.directory);
            let line = format!("answers only what needs no log ({why}): its copy is kept as it is. {advice}");
            return self.terminal.say(name, &line);
        }
        self.terminal.say(
            name,
            &format!(
                "does not serve ({why}), the others go on without it and it is tried again now and then; if its copy is \
                 damaged: `holdfast csp stop {name} --data {data}`, move {} away, `holdfast csp start {name} --data {data}`, \
                 and it is built anew from the log; {} says more",
                copy.display(),
                self.directory.log(name).display()
            ),
        );
    }

    fn hopeless(&self, status: Result<GroupStatusReply, CliError>) -> CliError {
        match status {
            Err(error) => CliError::Unavailable(format!("the group's state is not known ({error})")),
            Ok(_) => {
                let words: Vec<String> = self.copies().map(Keeper::complaint).collect();
                CliError::Machine(format!("no copy of group {} serves: {}", self.definition.name, words.join("; ")))
            }
        }
    }
}

/// What to do about a copy and a log that do not belong together. Which of the two is the wrong one only people can know.
fn without_log_advice(name: &str, directory: &DataDirectory) -> String {
    let (data, copy, store) = (directory.root().display(), directory.copy(name), directory.root().join("nats"));
    format!(
        "Do not remove it. If the log is the wrong one, or has lost its end: put the store of the log's NATS servers back as it was \
         ({}, or where they keep it), and everything goes on. Only if the log is the right one and has lost nothing, and `holdfast \
         status` shows the other copies available and in step with it, so that this copy alone differs, it is this copy that \
         followed another log: `holdfast csp stop {name} --data {data}`, move {} away and keep it, `holdfast csp start {name} \
         --data {data}`, and it is made anew from the log",
        store.display(),
        copy.display()
    )
}

/// Whether the log is gone, or is another one than that of the copies.
fn is_without_log(status: &GroupStatusReply) -> bool {
    let refused = status.updates_refused.as_ref();
    refused.is_some_and(|refused| matches!(refused.code, ErrorCode::LogLost | ErrorCode::LogMismatch))
}

fn copy(keeper: &Keeper, views: &[CspView]) -> CopyState {
    let view = views.iter().find(|view| view.csp == keeper.name);
    // Only what it says itself: what supervision wrote down about a silent one may be of an earlier run.
    let own = view.filter(|view| view.last_heartbeat_ms_ago.is_some()).map(|view| view.state);
    match (keeper.condition(), own) {
        (Condition::Stopped, _) | (_, Some(CspState::Quarantined)) => CopyState::Out,
        (condition, _) if condition.is_hopeless() => CopyState::Out,
        (_, Some(CspState::Available)) => CopyState::Serves,
        (_, Some(CspState::CatchingUp)) => CopyState::CatchesUp,
        _ => CopyState::Starts,
    }
}

fn takes_updates(definition: &GroupDefinition, status: &GroupStatusReply) -> bool {
    let serving = || status.csps.iter().filter(|view| view.state == CspState::Available);
    definition.replication == Replication::Peer || serving().any(|view| view.primary)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{DataDirectory, without_log_advice};

    #[test]
    fn a_copy_without_its_log_is_kept_unless_it_alone_is_wrong() {
        let directory = DataDirectory::new(Path::new("/srv/data")).unwrap();
        let advice = without_log_advice("csp-2", &directory);
        let place = |words: &str| advice.find(words).unwrap_or_else(|| panic!("{words}: {advice}"));
        assert!(place("Do not remove it") < place("servers back as it was (/srv/data/nats"), "{advice}");
        assert!(place("servers back as it was") < place("Only if the log is the right one"), "{advice}");
        assert!(place("Only if") < place("holdfast csp stop csp-2 --data /srv/data`"), "{advice}");
        assert!(place("holdfast csp stop") < place("away and keep it"), "{advice}");
    }
}
