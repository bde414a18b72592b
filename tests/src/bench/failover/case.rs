//! What is lost, and what may come of it.

use super::Limits;
use crate::system::{Cut, Options, System};

/// One kind of loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// kill -9 of the primary.
    PrimaryKilled,
    /// SIGSTOP of the primary.
    PrimaryStopped,
    /// The primary's network is cut, silently.
    PrimaryCut,
    /// The primary's network is cut in one direction: it is heard, and hears nothing.
    PrimaryHearsNothing,
    /// kill -9 of a subscriber.
    SubscriberKilled,
    /// kill -9 of one of three supervisors.
    SupervisionKilled,
    /// kill -9 of one of two instances of execution.
    ExecutionKilled,
    /// kill -9 of administration.
    AdministrationKilled,
    /// kill -9 of the one of three NATS servers that orders the log.
    NatsKilled,
}

impl Case {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::PrimaryKilled,
        Self::PrimaryStopped,
        Self::PrimaryCut,
        Self::PrimaryHearsNothing,
        Self::SubscriberKilled,
        Self::SupervisionKilled,
        Self::ExecutionKilled,
        Self::AdministrationKilled,
        Self::NatsKilled,
    ];

    /// What it is called on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::PrimaryKilled => "primary-kill",
            Self::PrimaryStopped => "primary-stop",
            Self::PrimaryCut => "primary-cut",
            Self::PrimaryHearsNothing => "primary-hears-nothing",
            Self::SubscriberKilled => "subscriber-kill",
            Self::SupervisionKilled => "supervision-kill",
            Self::ExecutionKilled => "execution-kill",
            Self::AdministrationKilled => "administration-kill",
            Self::NatsKilled => "nats-kill",
        }
    }

    /// What it is called in the table.
    pub fn title(self) -> &'static str {
        match self {
            Self::PrimaryKilled => "kill -9 of the primary",
            Self::PrimaryStopped => "SIGSTOP of the primary",
            Self::PrimaryCut => "network cut of the primary",
            Self::PrimaryHearsNothing => "network cut towards the primary only",
            Self::SubscriberKilled => "kill -9 of a subscriber",
            Self::SupervisionKilled => "kill -9 of 1 of 3 supervisions",
            Self::ExecutionKilled => "kill -9 of 1 of 2 executions",
            Self::AdministrationKilled => "kill -9 of administration",
            Self::NatsKilled => "kill -9 of 1 of 3 NATS servers",
        }
    }

    /// What has to hold.
    pub fn limits(self) -> Limits {
        let none = Limits::default();
        match self {
            Self::PrimaryKilled => Limits { p50_ms: Some(150), p99_ms: Some(500), ..none },
            Self::PrimaryStopped | Self::PrimaryCut | Self::PrimaryHearsNothing => {
                Limits { p99_ms: Some(1_500), ..none }
            }
            Self::SubscriberKilled => {
                Limits { max_ms: Some(100), query_max_ms: Some(100), failed_queries: Some(0), ..none }
            }
            Self::NatsKilled => Limits { max_ms: Some(10_000), ..none },
            Self::SupervisionKilled | Self::ExecutionKilled | Self::AdministrationKilled => none,
        }
    }

    /// How often, of so many runs: JetStream takes its time to elect a leader and to be whole again.
    pub fn runs(self, asked: usize) -> usize {
        if self == Self::NatsKilled { asked.div_ceil(5) } else { asked }
    }

    /// Clients that query, besides the one that updates. A machine of few cores has to notice the loss of a primary with
    /// this load on it, so where queries are not looked at there are none; README says so beside the figures.
    pub fn queries(self) -> usize {
        match self {
            Self::PrimaryKilled | Self::PrimaryStopped | Self::PrimaryCut | Self::PrimaryHearsNothing => 0,
            _ => 2,
        }
    }

    /// The system that it is measured on.
    pub fn options(self) -> Options {
        let options = Options::primary().redundant();
        match self {
            Self::PrimaryCut | Self::PrimaryHearsNothing => Options { proxied: true, ..options },
            Self::NatsKilled => Options { nats_servers: 3, ..options },
            _ => options,
        }
    }

    /// Whom it hits this time.
    pub async fn victim(self, system: &System, run: usize) -> anyhow::Result<String> {
        match self {
            Self::PrimaryKilled | Self::PrimaryStopped | Self::PrimaryCut | Self::PrimaryHearsNothing => {
                system.primary().await
            }
            Self::SubscriberKilled => {
                let primary = system.primary().await?;
                let subscribers: Vec<String> = system.csps().into_iter().filter(|csp| *csp != primary).collect();
                Ok(subscribers[run % subscribers.len()].clone())
            }
            Self::SupervisionKilled => Ok(format!("supervision-{}", run % system.options().supervisions + 1)),
            Self::ExecutionKilled => Ok(format!("execution-{}", run % system.options().executions + 1)),
            Self::AdministrationKilled => Ok("administration-1".to_owned()),
            Self::NatsKilled => system.log_leader().await,
        }
    }

    /// Does it.
    pub fn strike(self, system: &System, victim: &str) -> anyhow::Result<()> {
        match self {
            Self::PrimaryStopped => system.pause(victim)?,
            Self::PrimaryCut => system.network(victim)?.cut(Cut::Both),
            Self::PrimaryHearsNothing => system.network(victim)?.cut(Cut::FromNats),
            _ => system.kill9(victim),
        }
        Ok(())
    }
}
