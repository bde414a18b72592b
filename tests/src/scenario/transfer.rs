//! Many clients that move amounts between accounts, and readers that add them up all the while.

use std::time::Duration;

use futures::future::try_join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::client::{Client, Outcome, Request};

const PATIENCE: Duration = Duration::from_secs(120);
const BALANCE: i64 = 100;

/// Clients that move amounts between accounts.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    /// How many clients.
    pub clients: u64,
    /// Transfers by each.
    pub transfers: u64,
    /// Accounts, each with the same balance at first.
    pub accounts: u64,
    /// Decides who pays whom.
    pub seed: u64,
}

impl Transfer {
    /// Moves amounts, and demands that the sum never changes, on no copy, and that nobody owes.
    pub async fn run(self, client: &Client) -> anyhow::Result<()> {
        let setup = "DEFINE TABLE account; FOR $number IN 0..$accounts { CREATE type::record('account', $number) SET amount = $balance }";
        let setup = Request::new(setup).var("accounts", self.accounts).var("balance", BALANCE);
        let position = client.commit(setup, PATIENCE).await?.position;
        let (ended, end) = tokio::sync::watch::channel(false);
        let reader = tokio::spawn(self.watch(client.clone(), position, end));
        let payers = (0..self.clients).map(|number| tokio::spawn(self.pay(client.clone(), number)));
        let committed: Vec<u64> = try_join_all(payers).await?.into_iter().collect::<anyhow::Result<_>>()?;
        ended.send_replace(true);
        let looks = reader.await??;
        self.look(client, Request::new(SUM).strong()).await?;
        eprintln!("{} transfers, looked at {looks} times", committed.iter().sum::<u64>());
        Ok(())
    }

    async fn pay(self, client: Client, number: u64) -> anyhow::Result<u64> {
        let mut random = StdRng::seed_from_u64(self.seed ^ (number << 32));
        let mut committed = 0;
        for _ in 0..self.transfers {
            let from = random.random_range(0..self.accounts);
            let to = (from + random.random_range(1..self.accounts)) % self.accounts;
            let mut request =
                Request::new(transfer(from, to, random.random_range(1..=40))).deadline(Duration::from_secs(20));
            loop {
                match client.settle(&request, PATIENCE).await {
                    Outcome::Done(_) => committed += 1,
                    Outcome::Refused(refusal) if refusal.code == "conflict" => {
                        request = request.renewed();
                        continue;
                    }
                    Outcome::Refused(refusal) if refusal.message.contains("not enough") => {}
                    other => anyhow::bail!("transfer: {other}"),
                }
                break;
            }
        }
        Ok(committed)
    }

    /// Looks at any copy, again and again.
    async fn watch(
        self,
        client: Client,
        position: u64,
        end: tokio::sync::watch::Receiver<bool>,
    ) -> anyhow::Result<u64> {
        let mut looks = 0;
        while !*end.borrow() {
            self.look(&client, Request::new(SUM).after(position)).await?;
            looks += 1;
        }
        Ok(looks)
    }

    async fn look(self, client: &Client, request: Request) -> anyhow::Result<()> {
        let reply = client.read(&request, PATIENCE).await.done()?;
        let amounts: Vec<i64> = serde_json::from_value(reply.results[0].clone())?;
        let (sum, least) = (amounts.iter().sum::<i64>(), amounts.iter().min().copied().unwrap_or_default());
        let wanted = BALANCE * self.accounts.cast_signed();
        anyhow::ensure!(sum == wanted && least >= 0, "at {}: sum {sum} of {wanted}, least {least}", reply.position);
        Ok(())
    }
}

const SUM: &str = "SELECT VALUE amount FROM account";

fn transfer(from: u64, to: u64, amount: i64) -> String {
    format!(
        "IF (SELECT VALUE amount FROM ONLY account:{from}) < {amount} {{ THROW 'not enough' }};
         UPDATE account:{from} SET amount -= {amount} RETURN NONE;
         UPDATE account:{to} SET amount += {amount} RETURN NONE;"
    )
}
