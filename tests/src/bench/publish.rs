//! How long one acknowledged JetStream publish takes: what no replicated update can be faster than.

use std::time::Duration;

use async_nats::jetstream;

use super::Row;
use super::measure::measure;
use crate::system::System;

const STREAM: &str = "BENCH_REFERENCE";
const SUBJECT: &str = "bench.reference";
const PAYLOAD_BYTES: usize = 500;

/// Publishes one message after the other to a file stream on the system's own servers.
pub async fn publish_row(system: &System, duration: Duration) -> anyhow::Result<Row> {
    let context = jetstream::new(system.client().nats().clone());
    let config = jetstream::stream::Config {
        name: STREAM.into(),
        subjects: vec![SUBJECT.into()],
        num_replicas: system.options().nats_servers,
        ..Default::default()
    };
    context.create_stream(config).await?;
    let before = system.usage();
    let payload = bytes::Bytes::from(vec![b'x'; PAYLOAD_BYTES]);
    let measured = measure(1, duration, {
        let context = context.clone();
        move |_, _| {
            let (context, payload) = (context.clone(), payload.clone());
            async move {
                context.publish(SUBJECT, payload).await?.await?;
                Ok(())
            }
        }
    })
    .await?;
    let cpu = system.usage().since(&before).total();
    context.delete_stream(STREAM).await?;
    Ok(Row {
        case: "one JetStream publish".into(),
        clients: 1,
        ops_per_s: measured.per_second(),
        p50_ms: measured.at_ms(0.5),
        p99_ms: measured.at_ms(0.99),
        mean_ms: measured.mean_ms(),
        longest_ms: measured.at_ms(1.0),
        cpu_us_per_op: measured.per_operation(cpu.as_micros() as f64),
        log_bytes_per_op: PAYLOAD_BYTES as f64,
        load_cpu_us_per_op: None,
        ratio_to_plain: None,
        cpu_ratio_to_plain: None,
    })
}
