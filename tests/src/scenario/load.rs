//! Plain load: many records, quickly.

use std::time::Duration;

use crate::client::{Client, Request};

const CLIENTS: usize = 32;
const PATIENCE: Duration = Duration::from_secs(60);

/// Creates `count` records of a table in as many transactions, over several clients. Returns the highest position.
pub async fn create_many(client: &Client, table: &str, count: usize) -> anyhow::Result<u64> {
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (client, table) = (client.clone(), table.to_owned());
            tokio::spawn(async move {
                let mut position = 0;
                for record in (number..count).step_by(CLIENTS) {
                    let request = Request::new(format!("CREATE {table}:{record} SET number = {record} RETURN NONE"));
                    position = client.commit(request, PATIENCE).await?.position.max(position);
                }
                anyhow::Ok(position)
            })
        })
        .collect();
    let mut position = 0;
    for task in tasks {
        position = task.await??.max(position);
    }
    Ok(position)
}
