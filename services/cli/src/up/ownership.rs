//! Makes this system the one that runs its group, before any of its services starts.
//!
//! The record is a key in a bucket, written by compare-and-set: of two that start at the same time, one finds the other's. Whoever
//! finds a record asks its owner, on a subject of that very start, whether it runs. So the subject is subscribed to before the
//! record is written. A system that runs looks now and then whether the record is still its own.

use std::time::Duration;

use async_nats::jetstream::kv;
use futures::future::join_all;
use holdfast_foundation::{
    bus::{Bus, RequestError},
    config::host_name,
};
use holdfast_schemas::{
    Message,
    message::{GroupOwner, StatusReply, StatusRequest},
    subject,
};
use tokio::{task::JoinSet, time::sleep};

use super::{agent::now_ms, directory::DataDirectory, plan::csp_names};
use crate::{
    arguments::up::UpOptions,
    client::Client,
    error::CliError,
    model::owner::{Life, Verdict, is_same_place, judge, judge_csp, read, run_by},
};

/// How long the owner on record may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// Between two attempts when somebody else wrote the record.
const RETRY: Duration = Duration::from_millis(100);
/// How often a CSP is asked that gives no answer: NATS may just have started.
const ASKED_MAX: u32 = 3;
/// Others can come in between; more often than this, they do it all the time.
const ATTEMPTS_MAX: u32 = 20;
/// How often it is looked whether the record is still ours.
const LOOK: Duration = Duration::from_secs(5);

/// The group is this system's; it says so to whoever asks for as long as this lives.
pub struct Owned {
    own: GroupOwner,
    bucket: kv::Store,
    _answering: JoinSet<()>,
}

/// Claims the group for this system.
///
/// # Errors
/// Another system runs it, or its CSPs run without one; or the record cannot be read or written.
pub async fn claim(client: &Client, options: &UpOptions, directory: &DataDirectory) -> Result<Owned, CliError> {
    let own = GroupOwner {
        group: options.group.clone(),
        system: directory.system_id()?,
        host: host_name(),
        folder: directory.root().display().to_string(),
        incarnation: ulid::Ulid::generate().to_string(),
        since_ms: now_ms(),
    };
    let bus = client.bus();
    let answering = answer(bus, &own).await.map_err(|error| unavailable(&error))?;
    let bucket = bucket(bus, options.log_replicas()).await?;
    for _ in 0..ATTEMPTS_MAX {
        let found = bucket.entry(own.group.as_str()).await.map_err(|error| unavailable(&error))?;
        let revision = found.as_ref().map_or(0, |entry| entry.revision);
        let found = found.filter(|entry| entry.operation == kv::Operation::Put);
        let found = found.map(|entry| read(&own.group, &entry.value)).transpose().map_err(CliError::Owned)?;
        let life = match &found {
            Some(owner) => life(bus, owner, &own).await,
            None => Life::Gone,
        };
        match judge(found.as_ref(), &own, life, options.take_over) {
            Verdict::Held => return Ok(Owned { own, bucket, _answering: answering }),
            Verdict::Refuse(sentence) => return Err(CliError::Owned(sentence)),
            Verdict::Claim => {
                let same_place = found.is_some_and(|found| is_same_place(&found, &own));
                nobody_else_runs(bus, options, same_place).await?;
            }
        }
        // Whatever became of it, the next look tells: others may have been faster, or the answer may be lost.
        if bucket.update(&own.group, own.encode().into(), revision).await.is_err() {
            sleep(RETRY).await;
        }
    }
    Err(CliError::Unavailable(format!("others claim group {} at the same time: try again", own.group)))
}

impl Owned {
    /// Waits until another system has taken the group over; that happens only when an operator wanted it, and this one could not
    /// be reached.
    pub async fn until_lost(&self) -> CliError {
        loop {
            sleep(LOOK).await;
            // No answer says nothing: the record is looked at again.
            let Ok(Some(found)) = self.bucket.entry(self.own.group.as_str()).await else { continue };
            match read(&self.own.group, &found.value) {
                Ok(owner) if owner.incarnation == self.own.incarnation => {}
                // Of an earlier start of this very folder, which only one process has at a time: NATS went back to an older store.
                // If it cannot be written now, the next look tries again.
                Ok(owner) if is_same_place(&owner, &self.own) => {
                    let _ = self.bucket.update(&self.own.group, self.own.encode().into(), found.revision).await;
                }
                Ok(owner) => return CliError::Owned(format!("{} since then: this system ends", run_by(&owner))),
                // Ours can be read, so it is somebody else's.
                Err(sentence) => return CliError::Owned(format!("this system ends: {sentence}")),
            }
        }
    }
}

async fn answer(bus: &Bus, own: &GroupOwner) -> Result<JoinSet<()>, async_nats::Error> {
    let mut requests = bus.requests(subject::owner(&own.group, &own.incarnation)).await?;
    let (client, body) = (bus.client().clone(), own.encode());
    let mut answering = JoinSet::new();
    answering.spawn(async move {
        while let Some(request) = requests.next().await {
            if let Some(reply) = request.reply {
                // Whoever asked runs into a time-out, which does not mean that nobody is there.
                let _ = client.publish(reply, body.clone().into()).await;
            }
        }
    });
    bus.settle().await?;
    Ok(answering)
}

async fn bucket(bus: &Bus, replicas: u8) -> Result<kv::Store, CliError> {
    let name = subject::owners_bucket();
    if let Ok(bucket) = bus.jetstream().get_key_value(&name).await {
        return Ok(bucket);
    }
    let config = kv::Config { bucket: name, history: 1, num_replicas: replicas.into(), ..kv::Config::default() };
    bus.jetstream().create_key_value(config).await.map_err(|error| unavailable(&error))
}

async fn life(bus: &Bus, owner: &GroupOwner, own: &GroupOwner) -> Life {
    let to = subject::owner(&owner.group, &owner.incarnation);
    life_by(&bus.request::<GroupOwner, GroupOwner>(to, own, ANSWER_MAX).await)
}

/// Any answer is one of somebody who runs, and only NATS knows that nobody listens.
fn life_by<R>(answer: &Result<R, RequestError>) -> Life {
    match answer {
        Ok(_) | Err(RequestError::Refused(_) | RequestError::Malformed(_)) => Life::Answers,
        Err(RequestError::NoResponders) => Life::Gone,
        Err(RequestError::TimedOut | RequestError::Closed(_)) => Life::Silent,
    }
}

/// CSPs can run without `holdfast up`, too: then their group has no record.
async fn nobody_else_runs(bus: &Bus, options: &UpOptions, same_place: bool) -> Result<(), CliError> {
    let asked = csp_names(options).into_iter().map(async |csp| {
        let to = subject::csp_status(&options.group, &csp);
        let ask =
            async || bus.request::<StatusRequest, StatusReply>(to.clone(), &StatusRequest::default(), ANSWER_MAX).await;
        let mut answer = ask().await;
        for _ in 1..ASKED_MAX {
            if life_by(&answer) != Life::Silent {
                break;
            }
            answer = ask().await;
        }
        let node = answer.as_ref().ok().map(|answer| answer.heartbeat.node.as_str());
        judge_csp(&options.group, &csp, life_by(&answer), node, same_place)
    });
    match join_all(asked).await.into_iter().flatten().next() {
        None => Ok(()),
        Some(sentence) => Err(CliError::Owned(sentence)),
    }
}

fn unavailable(error: &dyn std::fmt::Display) -> CliError {
    CliError::Unavailable(format!("it is not known who runs the group ({error}): see that NATS works and try again"))
}
