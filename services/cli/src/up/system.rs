//! The children of one system, from the first server to the ready line, and back.

use std::{env, path::PathBuf, sync::Arc, time::Duration};

use holdfast_schemas::message::{GroupDefinition, UpdateRefusal};
use tokio::time::{Instant, sleep};

use super::{
    agent::Agent,
    control,
    copies::{Served, Waiting},
    directory::{DataDirectory, SystemCard},
    group,
    keeper::{Keeper, Wish},
    nats_server::{self, Server},
    ownership::{self, Owned},
    plan::{ChildPlan, Planner, Stage, csp_names},
    revive::Reviver,
    terminal::Terminal,
};
use crate::{arguments::up::UpOptions, client::Client, error::CliError};

/// How often it is looked whether a copy is to be stopped or started, and said that this node lives.
const WISH_INTERVAL: Duration = Duration::from_millis(100);

/// A system under one `holdfast up`.
pub struct System<'a> {
    options: &'a UpOptions,
    directory: Arc<DataDirectory>,
    terminal: Terminal,
    keepers: Vec<Keeper>,
    /// The servers that it runs; those that others run are theirs to start again.
    servers: Vec<Server>,
}

impl<'a> System<'a> {
    /// Nothing runs yet.
    #[must_use]
    pub fn new(options: &'a UpOptions, directory: Arc<DataDirectory>, terminal: Terminal) -> Self {
        Self { options, directory, terminal, keepers: Vec::new(), servers: Vec::new() }
    }

    /// Starts everything, then carries out `holdfast csp stop` and `start` for ever.
    ///
    /// # Errors
    /// Something cannot be started, or another system took the group over.
    pub async fn start_and_watch(&mut self) -> Result<(), CliError> {
        let (client, owned) = self.start().await?;
        let client = Arc::new(client);
        tokio::select! {
            error = owned.until_lost() => Err(error),
            () = self.watch(&client) => Ok(()),
        }
    }

    async fn watch(&self, client: &Arc<Client>) {
        let agent = Agent::new();
        let group = self.options.group.clone();
        let (servers, directory) = (self.servers.clone(), Arc::clone(&self.directory));
        let mut reviver = Reviver::new(Arc::clone(client), group, servers, directory, self.terminal);
        loop {
            control::carry_out(&self.keepers, &self.directory);
            reviver.look_after(&self.keepers);
            agent.say_alive(client).await;
            sleep(WISH_INTERVAL).await;
        }
    }

    async fn start(&mut self) -> Result<(Client, Owned), CliError> {
        let started = Instant::now();
        let directory = self.directory.clone();
        let url = self.start_nats().await?;
        let programs = programs()?;
        let planner = Planner { options: self.options, directory: &directory, url: &url, programs: &programs };
        let client = Client::connect(Some(&url)).await?;
        group::wait_for_jetstream(&client).await?;
        // Before any service starts: those of a second system would share the first one's requests.
        let owned = ownership::claim(&client, self.options, &directory).await?;

        let mut plans = planner.services("administration", 1, Stage::Management)?;
        plans.extend(planner.services("supervision", self.options.supervisors, Stage::Management)?);
        plans.extend(planner.services("execution", self.options.executions, Stage::Execution)?);
        self.keep_ready(plans).await?;
        let definition = group::define(&client, self.options, self.terminal).await?;
        let csps = csp_names(self.options);
        directory.write_card(&SystemCard { nats: url.clone(), group: definition.name.clone(), csps: csps.clone() })?;
        let plans = csps.iter().map(|name| planner.csp(name)).collect::<Result<_, _>>()?;
        self.keep(plans);
        let served = self.wait_for_copies(&client, &definition).await?;
        self.say_ready(&url, started, &served);
        Ok((client, owned))
    }

    /// Starts the servers, unless one is there already, and returns where NATS is.
    async fn start_nats(&mut self) -> Result<String, CliError> {
        if let Some(url) = &self.options.nats {
            return Ok(url.clone());
        }
        let binary = nats_server::find(self.options.nats_server.as_deref())?;
        let servers = nats_server::servers(self.options, &self.directory)?;
        let plans = nats_server::plan(&binary, &servers, self.options.sync, &self.directory)?;
        self.keep_ready(plans).await?;
        let url = nats_server::url(&servers);
        self.servers = servers;
        Ok(url)
    }

    /// Starts these children at the same time.
    fn keep(&mut self, plans: Vec<ChildPlan>) {
        for plan in plans {
            self.keepers.push(Keeper::start(plan, self.directory.clone(), self.terminal));
        }
    }

    /// The same, and waits until all of them are ready: without any one of them there is no system.
    async fn keep_ready(&mut self, plans: Vec<ChildPlan>) -> Result<(), CliError> {
        let first = self.keepers.len();
        self.keep(plans);
        for keeper in self.keepers.iter_mut().skip(first) {
            keeper.ready().await?;
        }
        Ok(())
    }

    /// Waits until the copies serve, or those that can.
    async fn wait_for_copies(&self, client: &Client, definition: &GroupDefinition) -> Result<Served, CliError> {
        let (keepers, directory) = (&self.keepers, &*self.directory);
        Waiting { client, definition, keepers, directory, terminal: self.terminal }.until_they_serve().await
    }

    fn say_ready(&self, url: &str, started: Instant, served: &Served) {
        let Served { missing, refused } = served;
        let holdfast = env::args().next().unwrap_or_else(|| "holdfast".to_owned());
        let group = &self.options.group;
        let nats = if url == "nats://127.0.0.1:4222" { String::new() } else { format!(" --nats {url}") };
        let target = if group == "demo" { nats } else { format!("{nats} --group {group}") };
        let all = self.options.csps;
        if missing.len() == usize::from(all) {
            let line = format!(
                "runs after {:.1} s at {url}, and group {group} takes no updates, because its copies and the log do not belong \
                 together: {holdfast} status{target} says more",
                started.elapsed().as_secs_f64()
            );
            return self.terminal.say("up", &line);
        }
        let copies = match missing.len() {
            0 => format!("{all} copies"),
            out => format!("{} of {all} copies (without {})", usize::from(all) - out, missing.join(", ")),
        };
        self.terminal.say(
            "up",
            &format!(
                "ready after {:.1} s: group {group} with {copies} at {url}; {}",
                started.elapsed().as_secs_f64(),
                next_steps(&holdfast, &target, refused.as_ref())
            ),
        );
    }

    /// Stops everything in order; a stage is gone before the next is asked.
    pub async fn stop(&mut self) {
        for stage in Stage::STOPPING {
            for keeper in self.keepers.iter().filter(|keeper| keeper.stage == stage) {
                keeper.want(Wish::End);
            }
            for keeper in self.keepers.iter_mut().filter(|keeper| keeper.stage == stage) {
                keeper.gone().await;
            }
        }
        self.terminal.say("up", "stopped");
    }

    /// Ends everything at once.
    pub async fn kill(&mut self) {
        for keeper in &self.keepers {
            keeper.want(Wish::Kill);
        }
        for keeper in &mut self.keepers {
            keeper.gone().await;
        }
    }
}

/// What to do with a group that serves: to try it, or to see why it takes no updates.
fn next_steps(holdfast: &str, target: &str, refused: Option<&UpdateRefusal>) -> String {
    match refused {
        Some(refusal) => format!(
            "updates are refused ({}): {}; queries are answered, and {holdfast} status{target} says more",
            refusal.code, refusal.reason
        ),
        None => format!(
            "in another terminal: {holdfast} update{target} \"CREATE person:ada SET born = 1815\", then {holdfast} query{target} \
             \"SELECT * FROM person\""
        ),
    }
}

/// Where the services' programs are: beside this one, unless the environment says otherwise.
fn programs() -> Result<PathBuf, CliError> {
    if let Some(folder) = env::var_os("HOLDFAST_BIN_DIR") {
        return Ok(folder.into());
    }
    let program = env::current_exe().map_err(CliError::file("find", "this program"))?;
    Ok(program.parent().map(PathBuf::from).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use holdfast_schemas::ErrorCode;

    use super::{UpdateRefusal, next_steps};

    #[test]
    fn nobody_is_told_to_update_a_group_that_refuses_updates() {
        let refusal = UpdateRefusal {
            code: ErrorCode::LogLost,
            reason: "csp-2 says: the log ends at position 3".to_owned(),
            stalled: false,
        };
        let said = next_steps("holdfast", " --group shop", Some(&refusal));
        assert!(said.starts_with("updates are refused (log_lost): csp-2 says: the log ends at position 3;"), "{said}");
        assert!(!said.contains("CREATE") && said.contains("holdfast status --group shop"), "{said}");
        let said = next_steps("holdfast", "", None);
        assert!(said.contains("holdfast update \"CREATE") && !said.contains("refused"), "{said}");
    }
}
