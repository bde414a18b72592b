//! Every subject, stream, bucket and queue group name of Holdfast. Nowhere else may one be spelled out, so that
//! permissions, documents and code cannot drift apart.
//!
//! Arguments are names that [`crate::name::validate`] accepted: they hold no dot, no blank and no wildcard.

/// The first token of every subject.
pub const PREFIX: &str = "holdfast";

/// What the inboxes of NATS' clients begin with: their own default, and the prefix of one user (`_INBOX_<user>.`).
pub const INBOX_PREFIXES: &str = "_INBOX.,_INBOX_";

/// Whether an answer may be published there: below one of the prefixes, without wildcards, blanks or empty parts, and never
/// where NATS or Holdfast itself listens. A service answers with its own rights where a client points, so anything else would
/// lend those rights to the client.
pub fn may_be_answered(reply: &str, prefixes: &[String]) -> bool {
    prefixes.iter().any(|prefix| reply.starts_with(prefix.as_str()))
        && !is_reserved(reply)
        && reply.split('.').all(|token| !token.is_empty() && is_plain(token))
}

/// Whether inboxes may begin like this, as far as Holdfast is concerned.
pub fn may_be_inbox_prefix(prefix: &str) -> bool {
    !prefix.is_empty() && is_plain(prefix) && !is_reserved(prefix)
}

/// Subjects of NATS itself, and ours.
fn is_reserved(subject: &str) -> bool {
    subject.starts_with('$') || subject.split('.').next() == Some(PREFIX)
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*' && byte != b'>')
}

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

/// Event kind: a CSP refuses updates because of the log, or takes them again.
pub const EVENT_LOG: &str = "log";

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

/// The key-value bucket that says which system runs a group; the key is the group's name.
pub fn owners_bucket() -> String {
    "HOLDFAST_OWNERS".to_owned()
}

/// Where the system that runs a group says so, under the incarnation that its record in the owners bucket names.
pub fn owner(group: &str, incarnation: &str) -> String {
    format!("{PREFIX}.{group}.owner.{incarnation}")
}

/// Administration: `admin("group", "define")`.
pub fn admin(noun: &str, verb: &str) -> String {
    format!("{PREFIX}.admin.{noun}.{verb}")
}

/// Where NATS' service protocol asks who is there: all, those of a name, or one by its id. Verbs: `PING`, `INFO`, `STATS`.
pub fn discovery(verb: &str, name_and_id: &[&str]) -> String {
    std::iter::once("$SRV").chain([verb]).chain(name_and_id.iter().copied()).collect::<Vec<_>>().join(".")
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
        assert_eq!(owner("shop", "o1"), "holdfast.shop.owner.o1");
        assert_eq!(queue("execution"), "holdfast-execution");
        assert_eq!(discovery("PING", &[]), "$SRV.PING");
        assert_eq!(discovery("INFO", &["holdfast-execution", "x1"]), "$SRV.INFO.holdfast-execution.x1");
        assert_eq!(log_stream("shop"), "HOLDFAST_shop_LOG");
        assert_eq!(state_key("shop", "a"), "shop.a");
        assert_eq!(completions("x1"), "holdfast.execution.completion.x1");
        assert_eq!(opinion("s1"), "holdfast.supervision.opinion.s1");
        assert_eq!(node_alive("n1"), "holdfast.node.n1.alive");
        assert_eq!(assignment_move("shop"), "holdfast.shop.assignment.move");
        assert_eq!(assignment_key("shop", "replication"), "shop.replication");
    }

    #[test]
    fn only_inboxes_are_answered() {
        let prefixes: Vec<String> = INBOX_PREFIXES.split(',').map(str::to_owned).collect();
        for inbox in ["_INBOX.x1", "_INBOX.x1.17", "_INBOX_client.x1", "_INBOX_a-b.x1"] {
            assert!(may_be_answered(inbox, &prefixes), "{inbox}");
        }
        let others = [
            "",
            "_INBOX",
            "_INBOX.",
            "_INBOX..x",
            "_INBOX.x.",
            "_INBOX.>",
            "_INBOX.*",
            "_INBOX.a*b",
            "_INBOX.a b",
            "_INBOX.a\tb",
            "_INBOX.\u{e9}",
            "_inbox.x",
            "INBOX.x",
            "my.inbox",
            "$KV.HOLDFAST_DEFINITIONS.demo",
            "$JS.API.STREAM.PURGE.HOLDFAST_demo_LOG",
            "$JS.ACK.a.b.1.1.1.1.1",
            "$SYS.REQ.SERVER.PING",
            "$SRV.PING",
            "holdfast.demo.log",
            "holdfast.admin.group.define",
        ];
        for other in others {
            assert!(!may_be_answered(other, &prefixes), "{other}");
        }
    }

    #[test]
    fn no_prefix_opens_what_is_reserved() {
        let wide = ["h", "_", "$", "holdfast."].map(str::to_owned);
        for reserved in ["holdfast.demo.log", "$KV.HOLDFAST_DEFINITIONS.demo", "$JS.ACK.x"] {
            assert!(!may_be_answered(reserved, &wide), "{reserved}");
        }
        assert!(may_be_answered("home.x", &wide) && may_be_answered("_R_.x", &wide));
        for odd in ["", "$", "$KV.", "holdfast", "holdfast.", "a b", "a.*.", ">"] {
            assert!(!may_be_inbox_prefix(odd), "{odd}");
        }
        assert!(may_be_inbox_prefix("_R_.") && may_be_inbox_prefix("_INBOX_"));
    }
}
