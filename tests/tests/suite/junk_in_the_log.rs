//! Whatever anybody writes into the log of a group, every copy passes over it alike, counts it, and goes on: also when it is
//! killed and reads the log again, and when it reads all of it for the first time.

use std::time::Duration;

use bytes::Bytes;
use holdfast_schemas::subject;
use holdfast_tests::client::{Client, Request};
use holdfast_tests::system::{GROUP, Options, System};
use holdfast_tests::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);

/// A plausible outside, as an entry begins: magic, version, checksum, flags, storage version, numbers. Noise follows.
fn plausible() -> Vec<u8> {
    let mut message = vec![0xB7, 1, 0x12, 0x34, 0x56, 0x78, 0, 3, 0, 1, 1, 1, 1, 0, 1];
    message.extend((0..300_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8));
    message
}

async fn write(client: &Client, message: impl Into<Bytes>) -> anyhow::Result<()> {
    let context = async_nats::jetstream::new(client.nats().clone());
    context.publish(subject::log(GROUP), message.into()).await?.await?;
    Ok(())
}

/// Each kind, with an update between them, so that the copies go on in between.
async fn write_junk(client: &Client) -> anyhow::Result<u64> {
    let own = own_entry(client).await?;
    let flipped = [&own[..own.len() - 1], &[own[own.len() - 1] ^ 1]].concat();
    let newer_than_its_checksum = [&[own[0], own[1] + 1], &own[2..]].concat();
    let kinds: [Vec<u8>; 9] = [
        br#"{"kind":"x"}"#.to_vec(),
        Vec::new(),
        vec![0; 40],
        plausible(),
        b"[]".to_vec(),
        br#"{"kind":"epoch","epoch":-1}"#.to_vec(),
        b"\xB7\x02".to_vec(),
        flipped,
        newer_than_its_checksum,
    ];
    let count = kinds.len() as u64;
    for junk in kinds {
        write(client, junk).await?;
        client.commit(Request::new("UPDATE counter:one SET number += 1"), PATIENCE).await?;
    }
    Ok(count)
}

/// A whole entry of the group's own.
async fn own_entry(client: &Client) -> anyhow::Result<Bytes> {
    let position = client.commit(Request::new("CREATE counter:one SET number = 0"), PATIENCE).await?.position;
    let context = async_nats::jetstream::new(client.nats().clone());
    let stream = context.get_stream(subject::log_stream(GROUP)).await?;
    Ok(stream.get_raw_message(position).await?.payload)
}

async fn all_count(system: &System, csps: &[String], junk: u64) -> anyhow::Result<()> {
    let what = format!("{csps:?} to be available and to have counted {junk}");
    until(&what, PATIENCE, async || {
        let status = system.status().await;
        let counted = csps.iter().all(|csp| status.csps[csp].as_ref().is_some_and(|status| status.junk == junk));
        if counted && status.all_available(csps) { Ok(()) } else { Err(format!("{status}")) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_passed_over_by_every_copy_alike() -> anyhow::Result<()> {
    let options = Options { csps_later: 1, ..Options::primary() };
    System::run(options, async |system| {
        let client = system.client();
        let junk = write_junk(&client).await?;
        all_count(&system, &system.csps(), junk).await?;
        system.equal_digests(&system.csps()).await?;

        for csp in system.csps() {
            system.restart(&csp)?;
        }
        system.start_ready("csp-4").await?;
        let all: Vec<String> = (1..=4).map(|number| format!("csp-{number}")).collect();
        all_count(&system, &all, junk).await?;
        let reply = client.commit(Request::new("UPDATE counter:one SET number += 1"), PATIENCE).await?;
        let answer = system.equal_answers(&all, "SELECT VALUE number FROM counter", reply.position).await?;
        anyhow::ensure!(answer[0][0] == junk + 1, "{answer:?}");
        system.equal_digests(&all).await?;
        system.all_alive()
    })
    .await
}

/// Told once, by each copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_told_once_and_counted_in_the_status() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        let client = system.client();
        let junk = write_junk(&client).await?;
        all_count(&system, &system.csps(), junk).await?;
        for csp in system.csps() {
            let log = std::fs::read_to_string(system.folder().join("log").join(format!("{csp}.log")))?;
            anyhow::ensure!(log.matches("is junk").count() == 1, "{csp}: {log}");
        }
        let status = subject::admin("group", "status");
        let status = client.ask(status, &serde_json::json!({ "group": GROUP }), PATIENCE).await?;
        anyhow::ensure!(status["log"]["junk"] == junk, "{status}");
        system.all_alive()
    })
    .await
}
