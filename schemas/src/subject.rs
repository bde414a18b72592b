//! Every subject, stream, bucket and queue group name of Holdfast. Nowhere else may one be spelled out, so that
//! permissions, documents and code cannot drift apart.
//!
//! Arguments are names that [`crate::name::validate`] accepted: they hold no dot, no blank and no wildcard.

/// The first token of every subject.
pub const PREFIX: &str = "holdfast";

/// Clients ask for one transaction: all of its statements or none.
pub fn update(group: &str) -> String {
    format!("{PREFIX}.{group}.update")
}

/// Clients ask for reads only.
pub fn query(group: &str) -> String {
    format!("{PREFIX}.{group}.query")
}

/// Clients carry on a transaction over several messages: `begin`, `execute`, `commit`, `abort`, `status`.
pub fn transaction(group: &str, verb: &str) -> String {
    format!("{PREFIX}.{group}.transaction.{verb}")
}

/// A message of a transaction for the CSP that holds it, or that is to say what became of it.
pub fn csp_transaction(group: &str, csp: &str, verb: &str) -> String {
    csp_verb(group, csp, &format!("transaction-{verb}"))
}

/// Clients take turns by locks: `acquire`, `release`, `list`.
pub fn lock(group: &str, verb: &str) -> String {
    format!("{PREFIX}.{group}.lock.{verb}")
}

/// A message about locks for one CSP.
pub fn csp_lock(group: &str, csp: &str, verb: &str) -> String {
    csp_verb(group, csp, &format!("lock-{verb}"))
}

/// Updates for one CSP, from the router or from a client that routes by itself.
pub fn csp_update(group: &str, csp: &str) -> String {
    csp_verb(group, csp, "update")
}

/// Queries for one CSP.
pub fn csp_query(group: &str, csp: &str) -> String {
    csp_verb(group, csp, "query")
}

/// Asks one CSP how it is.
pub fn csp_status(group: &str, csp: &str) -> String {
    csp_verb(group, csp, "status")
}

/// Tells one CSP what to do (shut down, ...).
pub fn csp_control(group: &str, csp: &str) -> String {
    csp_verb(group, csp, "control")
}

/// A subscriber hands the commit of a write to the primary.
pub fn csp_commit(group: &str, csp: &str) -> String {
    csp_verb(group, csp, "commit")
}

/// Asks one CSP for the digest of its copy, to compare copies.
pub fn csp_digest(group: &str, csp: &str) -> String {
    csp_verb(group, csp, "digest")
}

/// All verbs of one CSP.
pub fn csp_all(group: &str, csp: &str) -> String {
    csp_verb(group, csp, "*")
}

fn csp_verb(group: &str, csp: &str, verb: &str) -> String {
    format!("{PREFIX}.{group}.csp.{csp}.{verb}")
}

/// Live query notifications of one CSP.
pub fn live(group: &str, csp: &str) -> String {
    format!("{PREFIX}.{group}.live.{csp}")
}

/// The one subject of the group's log stream.
pub fn log(group: &str) -> String {
    format!("{PREFIX}.{group}.log")
}

/// Where one CSP says that it lives.
pub fn heartbeat(group: &str, csp: &str) -> String {
    format!("{PREFIX}.{group}.heartbeat.{csp}")
}

/// The heartbeats of all CSPs of a group.
pub fn heartbeats(group: &str) -> String {
    format!("{PREFIX}.{group}.heartbeat.*")
}

/// The heartbeats of all CSPs of all groups.
pub fn all_heartbeats() -> String {
    format!("{PREFIX}.*.heartbeat.*")
}

/// An event of a group, by kind (such as [`EVENT_CSP_STATE`]).
pub fn event(group: &str, kind: &str) -> String {
    format!("{PREFIX}.{group}.event.{kind}")
}

/// All events of a group.
pub fn events(group: &str) -> String {
    format!("{PREFIX}.{group}.event.*")
}

/// Event kind: the state of a CSP changed.
pub const EVENT_CSP_STATE: &str = "csp-state";

/// Event kind: a node was judged to be gone, or came back.
pub const EVENT_NODE_STATE: &str = "node-state";

/// Event kind: a task has another holder.
pub const EVENT_ASSIGNMENT: &str = "assignment";

/// The events of all groups.
pub fn all_events() -> String {
    format!("{PREFIX}.*.event.*")
}

/// The stream that keeps the events of all groups, so that they can be read later.
pub fn events_stream() -> String {
    "HOLDFAST_EVENTS".to_owned()
}

/// CSPs tell one instance of execution which of the requests that it forwarded are done with.
pub fn completions(instance: &str) -> String {
    format!("{PREFIX}.execution.completion.{instance}")
}

/// One instance of execution says that it lives.
pub fn presence(instance: &str) -> String {
    format!("{PREFIX}.execution.presence.{instance}")
}

/// All instances of execution.
pub fn presences() -> String {
    presence("*")
}

/// One supervisor says that it lives, and which CSPs it holds for gone.
pub fn opinion(instance: &str) -> String {
    format!("{PREFIX}.supervision.opinion.{instance}")
}

/// The opinions of all supervisors.
pub fn opinions() -> String {
    opinion("*")
}

/// Somebody found nobody behind a CSP's name, and asks the supervisors to look at once.
pub fn hint() -> String {
    format!("{PREFIX}.supervision.hint")
}

/// One node says that it lives.
pub fn node_alive(node: &str) -> String {
    format!("{PREFIX}.node.{node}.alive")
}

/// All nodes.
pub fn nodes_alive() -> String {
    node_alive("*")
}

/// Asks execution to hand a task of a group to another CSP.
pub fn assignment_move(group: &str) -> String {
    format!("{PREFIX}.{group}.assignment.move")
}

/// The key-value bucket that says which CSP holds which task, under [`assignment_key`].
pub fn assignments_bucket() -> String {
    "HOLDFAST_ASSIGNMENTS".to_owned()
}

/// The key of a group's task in the assignments bucket.
pub fn assignment_key(group: &str, task: &str) -> String {
    format!("{group}.{task}")
}

/// Administration: `admin("group", "define")`.
pub fn admin(noun: &str, verb: &str) -> String {
    format!("{PREFIX}.admin.{noun}.{verb}")
}

/// The queue group in which the instances of a service share requests.
pub fn queue(service: &str) -> String {
    format!("{PREFIX}-{service}")
}

/// The stream that holds the log of a group.
pub fn log_stream(group: &str) -> String {
    format!("HOLDFAST_{group}_LOG")
}

/// The key-value bucket of group definitions; the key is the group's name.
pub fn definitions_bucket() -> String {
    "HOLDFAST_DEFINITIONS".to_owned()
}

/// The key-value bucket of CSP states, under [`state_key`].
pub fn states_bucket() -> String {
    "HOLDFAST_STATES".to_owned()
}

/// The key of a CSP in the states bucket.
pub fn state_key(group: &str, csp: &str) -> String {
    format!("{group}.{csp}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_what_the_documents_say() {
        assert_eq!(update("shop"), "holdfast.shop.update");
        assert_eq!(query("shop"), "holdfast.shop.query");
        assert_eq!(csp_update("shop", "a"), "holdfast.shop.csp.a.update");
        assert_eq!(csp_commit("shop", "a"), "holdfast.shop.csp.a.commit");
        assert_eq!(lock("shop", "acquire"), "holdfast.shop.lock.acquire");
        assert_eq!(csp_lock("shop", "a", "acquire"), "holdfast.shop.csp.a.lock-acquire");
        assert_eq!(live("shop", "a"), "holdfast.shop.live.a");
        assert_eq!(log("shop"), "holdfast.shop.log");
        assert_eq!(heartbeat("shop", "a"), "holdfast.shop.heartbeat.a");
        assert_eq!(event("shop", EVENT_CSP_STATE), "holdfast.shop.event.csp-state");
        assert_eq!(admin("group", "define"), "holdfast.admin.group.define");
        assert_eq!(queue("execution"), "holdfast-execution");
        assert_eq!(log_stream("shop"), "HOLDFAST_shop_LOG");
        assert_eq!(state_key("shop", "a"), "shop.a");
        assert_eq!(completions("x1"), "holdfast.execution.completion.x1");
        assert_eq!(opinion("s1"), "holdfast.supervision.opinion.s1");
        assert_eq!(node_alive("n1"), "holdfast.node.n1.alive");
        assert_eq!(assignment_move("shop"), "holdfast.shop.assignment.move");
        assert_eq!(assignment_key("shop", "replication"), "shop.replication");
    }
}
