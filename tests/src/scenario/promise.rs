//! For how long a group may acknowledge nothing when something is lost: what README promises for one fault at a time, and what
//! follows from it for several. A run fails at twice that.

use std::time::Duration;

use super::plan::{Episode, Fault, Kind};

/// The primary is killed: what the bench of failovers demands of 99 in 100.
const KILLED: Duration = Duration::from_millis(500);
/// The primary hangs or is cut off: the same.
const SILENT: Duration = Duration::from_millis(1_500);
/// An instance of execution is killed: a client's own time-out for what that had, then the repetition is answered.
const TIMED_OUT: Duration = Duration::from_millis(2_200);
/// One of three NATS servers is killed: JetStream elects, and the bench demands no more. Also where nothing shorter is promised: a
/// copy that is slow, gray, late or out of room, a clock that is wrong.
const ELECTED: Duration = Duration::from_secs(10);

impl Episode {
    /// The longest time without an acknowledgement at which a run fails. `servers` is the number of NATS servers.
    pub fn pause_max(&self, servers: usize) -> Duration {
        let promised = match self.faults.as_slice() {
            [fault] if !fault.stops_nats(servers) => fault.promised(),
            // Nobody can promise anything before they are over.
            _ => self.lasts + ELECTED,
        };
        2 * promised
    }
}

impl Fault {
    /// Whether nothing can work for as long as it lasts.
    fn stops_nats(&self, servers: usize) -> bool {
        servers == 1 && (self.victim.starts_with("nats-") || self.kind == Kind::KillMachine)
    }

    fn promised(&self) -> Duration {
        let kind = self.victim.split('-').next().unwrap_or_default();
        match (kind, self.kind) {
            ("csp" | "supervision" | "administration", Kind::Kill | Kind::Restart) => KILLED,
            ("csp" | "supervision" | "administration", Kind::Pause | Kind::Disconnect | Kind::Cut(_)) => SILENT,
            ("execution", Kind::Kill | Kind::Restart | Kind::Pause | Kind::Disconnect | Kind::Cut(_)) => TIMED_OUT,
            _ => ELECTED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_loss_has_the_bound_of_the_bench_and_several_have_to_be_over_first() {
        let fault = |victim: &str, kind| Fault { victim: victim.to_owned(), kind };
        let pause = |faults: &[Fault], servers| {
            let lasts = Duration::from_secs(3);
            Episode { updates_before: 1, faults: faults.to_vec(), lasts }.pause_max(servers).as_millis()
        };
        let primary = fault("csp-1", Kind::Kill);
        assert_eq!(pause(std::slice::from_ref(&primary), 1), 1_000);
        assert_eq!(pause(&[fault("csp-1", Kind::Pause)], 1), 3_000);
        assert_eq!(pause(&[fault("nats-2", Kind::Kill)], 3), 20_000);
        assert_eq!(pause(&[fault("nats-1", Kind::Kill)], 1), 26_000);
        assert_eq!(pause(&[primary, fault("csp-2", Kind::Kill)], 3), 26_000);
    }
}
