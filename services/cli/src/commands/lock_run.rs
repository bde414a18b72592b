//! `holdfast lock run`: a command that runs while a lock is held, and not a moment longer, nor does anything that it started.
//!
//! The lock is renewed while the command runs. Where that fails the command is ended before the lease is over, so that two
//! holders never run at the same time. That holds as well as clocks and the scheduler allow; what must hold beyond that names
//! the token in its updates, which the log then judges.

use std::{
    os::unix::process::ExitStatusExt,
    process::{ExitCode, ExitStatus},
    time::Duration,
};

use holdfast_schemas::{
    ErrorCode,
    limits::MAX_DEADLINE_MS,
    message::{LockAcquireReply, LockAcquireRequest},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    signal::unix::{Signal as Signals, SignalKind, signal},
    time::{Instant, sleep, timeout},
};

use super::lock;
use crate::{
    arguments::lock::RunOptions,
    client::Client,
    error::{CliError, Exit},
    model::lease::{Lease, Step},
    output,
    up::{guard, guard_all::END_ALL},
};

/// What shells add to the number of the signal that ended a command.
const SIGNALLED: i32 = 128;
/// This part of the time for ending the command is left for noticing that it has ended.
const GUARD_MARGIN: u64 = 8;
/// How much longer a guard may take that has killed everything.
const GUARD_MAX: Duration = Duration::from_secs(1);

/// Waits for the lock, runs the command under it, gives it back, and returns the command's exit code.
///
/// # Errors
/// The lock is not to be had, the command cannot be started, or the lock is lost while it runs.
pub async fn run(options: &RunOptions) -> Result<ExitCode, CliError> {
    let client = Client::connect(options.target.bus.nats.as_deref()).await?;
    let (held, asked_at) = wait_for(&client, options).await?;
    let ended = match start(options, &held) {
        Ok(child) => Watch { client: &client, options, held: &held, child }.until_ended(asked_at).await,
        Err(error) => Err(error),
    };
    let is_lost = matches!(ended, Err(CliError::LockLost { .. }));
    if !is_lost && lock::give_back(&client, &options.target.group, &held.name, held.token, None).await.is_err() {
        output::notice(&format!(
            "nobody confirmed that the lock was given back: it is free when its lease is over, or after `holdfast lock \
             release {} {}`",
            held.name, held.token
        ));
    }
    ended.map(code)
}

/// The lock, and when it was asked for, which is so lately that its lease can be counted from then.
async fn wait_for(client: &Client, options: &RunOptions) -> Result<(LockAcquireReply, Instant), CliError> {
    let began = Instant::now();
    let mut token = None;
    loop {
        let left_ms = options.deadline.map(|deadline| deadline.saturating_sub(millis(began.elapsed())));
        let mut request = lock::request(&options.name, &options.asking);
        request.token = token;
        if request.wait && token.is_none() {
            request.deadline_ms = Some(left_ms.unwrap_or(MAX_DEADLINE_MS).clamp(1, MAX_DEADLINE_MS));
        }
        let asked_at = Instant::now();
        let waits_on = request.wait && left_ms.is_none_or(|left_ms| left_ms > MAX_DEADLINE_MS);
        match lock::ask(client, &options.target.group, request).await {
            Ok(held) if Lease::new(held.lease_ms, 0).is_fresh(millis(asked_at.elapsed())) => {
                return Ok((held, asked_at));
            }
            // It was waited for, so we do not know since when it is held. A renewal is answered at once.
            Ok(held) => token = Some(held.token),
            Err(CliError::Refused(reply)) if reply.error.code == ErrorCode::LockHeld && waits_on => token = None,
            Err(CliError::Refused(reply)) if reply.error.code == ErrorCode::LockLost && token.is_some() => token = None,
            Err(error) if error.exit() == Exit::Unknown => {
                return Err(CliError::Unavailable(
                    "nobody said in time whether the lock was acquired, so nothing was run; if it was, it is free when its \
                     lease is over: look at `holdfast lock list` and run it again"
                        .to_owned(),
                ));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Starts the command under a guard that ends it with us, however we end, and with it all that it started.
fn start(options: &RunOptions, held: &LockAcquireReply) -> Result<Child, CliError> {
    let Some((program, arguments)) = options.command.split_first() else {
        return Err(CliError::Usage("name a command behind --".to_owned()));
    };
    let this = std::env::current_exe().map_err(CliError::file("find", "this program"))?;
    // The guard kills a little before the time that we wait for it.
    let end_ms = Lease::new(held.lease_ms, 0).end_ms();
    Command::new(&this)
        .args(guard::arguments_to_end_all(end_ms - end_ms / GUARD_MARGIN, program.as_ref(), arguments.to_vec()))
        .env("HOLDFAST_LOCK_NAME", &held.name)
        .env("HOLDFAST_LOCK_TOKEN", held.token.to_string())
        .spawn()
        .map_err(CliError::file("start", this))
}

/// A command that runs under a lock. The child is its guard.
struct Watch<'a> {
    client: &'a Client,
    options: &'a RunOptions,
    held: &'a LockAcquireReply,
    child: Child,
}

impl Watch<'_> {
    /// Renews the lock until the command has ended; ends the command if the lock is lost.
    async fn until_ended(mut self, asked_at: Instant) -> Result<ExitStatus, CliError> {
        // Ctrl-C reaches the command by itself. We outlive it, to give the lock back.
        let mut interrupts = signals(SignalKind::interrupt())?;
        let mut terminations = signals(SignalKind::terminate())?;
        let mut lease = Lease::new(self.held.lease_ms, 0);
        loop {
            let now_ms = millis(asked_at.elapsed());
            let (pause, renewal) = match lease.step(now_ms) {
                Step::GiveUp => return Err(self.give_up(&lease, "it could not be renewed in time").await),
                Step::Rest { for_ms } => (for_ms, None),
                Step::Renew { patience_ms } => (patience_ms, Some(self.renewal(patience_ms))),
            };
            let pause = Duration::from_millis(pause);
            tokio::select! {
                ended = self.child.wait() => return ended.map_err(CliError::file("wait for", "the command")),
                _ = interrupts.recv() => {}
                _ = terminations.recv() => self.tell(Signal::SIGTERM),
                answer = renew(self.client, &self.options.target.group, renewal, pause) => match answer {
                    Renewal::None => {}
                    Renewal::Granted => lease.renewed(now_ms),
                    Renewal::Open => lease.failed(millis(asked_at.elapsed())),
                    Renewal::Lost(why) => return Err(self.give_up(&lease, &why).await),
                },
            }
        }
    }

    fn renewal(&self, patience_ms: u64) -> LockAcquireRequest {
        let mut request = lock::request(&self.held.name, &self.options.asking);
        request.token = Some(self.held.token);
        request.wait = false;
        request.deadline_ms = Some(patience_ms.clamp(1, MAX_DEADLINE_MS));
        request
    }

    /// Ends the command with all that it started, and says why.
    async fn give_up(&mut self, lease: &Lease, why: &str) -> CliError {
        self.tell(END_ALL);
        if timeout(Duration::from_millis(lease.end_ms()) + GUARD_MAX, self.child.wait()).await.is_err() {
            self.tell(Signal::SIGKILL);
            let _ = self.child.wait().await;
        }
        CliError::LockLost { name: self.held.name.clone(), why: why.to_owned() }
    }

    /// A command that was collected already has no process id any more, so that a number given to somebody else is never hit.
    fn tell(&self, signal: Signal) {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

/// What became of a renewal.
enum Renewal {
    /// It was not time for one.
    None,
    /// The lease counts anew.
    Granted,
    /// No answer that says anything about the lock.
    Open,
    /// The lock is not ours any more.
    Lost(String),
}

/// Lets that time pass, with a renewal if it is time for one.
async fn renew(client: &Client, group: &str, renewal: Option<LockAcquireRequest>, pause: Duration) -> Renewal {
    let Some(request) = renewal else {
        sleep(pause).await;
        return Renewal::None;
    };
    match timeout(pause, lock::ask(client, group, request)).await {
        Ok(Ok(_)) => Renewal::Granted,
        Ok(Err(CliError::Refused(reply))) if is_loss(reply.error.code) => Renewal::Lost(reply.error.message),
        Ok(Err(_)) | Err(_) => Renewal::Open,
    }
}

/// Somebody else holds it, or nobody holds it under this token.
fn is_loss(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::LockLost | ErrorCode::LockHeld)
}

fn signals(kind: SignalKind) -> Result<Signals, CliError> {
    signal(kind).map_err(|error| {
        CliError::Machine(format!("the machine gives no signals ({error}): close programs and try again"))
    })
}

/// The code that a shell would show.
fn code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| SIGNALLED + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
