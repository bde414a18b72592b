//! What routing and supervision cannot do without is kept by as many NATS servers as the log, without anybody setting that: else the
//! loss of one server would end all failover.

use std::time::Duration;

use async_nats::jetstream;
use holdfast_schemas::subject;
use holdfast_tests::client::Request;
use holdfast_tests::system::{Options, System};
use holdfast_tests::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);
const SERVERS: usize = 3;

fn streams() -> [String; 4] {
    let bucket = |name| format!("KV_{name}");
    [
        bucket(subject::definitions_bucket()),
        bucket(subject::states_bucket()),
        bucket(subject::assignments_bucket()),
        subject::events_stream(),
    ]
}

/// Waits until all servers keep all of them, and hold all that is in them; gives the server that leads the assignments.
async fn until_kept_by_all(system: &System) -> anyhow::Result<String> {
    let jetstream = jetstream::new(system.client().nats().clone());
    let leader = async |name: String| {
        let stream = jetstream.get_stream(&name).await.map_err(|error| format!("{name}: {error}"))?;
        let info = stream.cached_info();
        let cluster = info.cluster.clone().unwrap_or_default();
        let is_kept = info.config.num_replicas == SERVERS
            && cluster.replicas.len() + 1 == SERVERS
            && cluster.replicas.iter().all(|replica| replica.current && !replica.offline);
        let replicas = info.config.num_replicas;
        cluster
            .leader
            .filter(|_| is_kept)
            .ok_or_else(|| format!("{name} has {replicas} replicas: {:?}", cluster.replicas))
    };
    until("all servers to keep all buckets", PATIENCE, async || {
        for name in streams() {
            leader(name).await?;
        }
        leader(format!("KV_{}", subject::assignments_bucket())).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn are_those_of_the_log_and_failover_outlives_a_server() -> anyhow::Result<()> {
    let options = Options { nats_servers: SERVERS, told_bucket_replicas: false, supervisions: 3, ..Options::primary() };
    System::run(options, async |system| {
        let client = system.client();
        client.commit(Request::new("CREATE item:1"), PATIENCE).await?;
        let leader = until_kept_by_all(&system).await?;
        let primary = system.primary().await?;
        system.kill9(&leader);
        system.kill9(&primary);
        client.commit(Request::new("CREATE item:2"), PATIENCE).await?;
        system.heal().await?;
        let read = client.read(&Request::new("RETURN array::len(SELECT VALUE id FROM item)").strong(), PATIENCE).await;
        let read = read.done()?;
        anyhow::ensure!(read.results[0] == 2, "{read:?}");
        system.equal_digests(&system.csps()).await.map(drop)
    })
    .await
}
