//! What supervision doubted before this process began to listen: read once from its bucket, before requests are taken. Without it
//! a CSP that works badly would get its share of the requests until something new is said of it.

use crate::assignment::states;
use crate::perform::Performer;
use async_nats::jetstream;
use std::time::Duration;

/// How long the bucket may take: requests are not kept waiting for it.
const BOUND: Duration = Duration::from_secs(1);

/// Tells the router what the bucket says, as far as it can be read in time.
pub async fn recall(performer: &Performer, jetstream: &jetstream::Context) {
    let router = &performer.router;
    let told = states::each(jetstream, router.csps(), |change| router.judged_before(&change));
    if tokio::time::timeout(BOUND, told).await.is_err() {
        tracing::warn!("not all that supervision doubted before was read in time");
    }
}
