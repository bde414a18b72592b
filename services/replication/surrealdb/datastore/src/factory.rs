//! Hands our storage engine to SurrealDB, which asks for it by path.

use parking_lot::Mutex;
use surrealdb_core::kvs::{TransactionBuilderFactory, TransactionBuilderParts};
use surrealdb_kvs::TransactionBuilder;
use tokio_util::sync::CancellationToken;

/// Gives out one storage engine, once.
pub(crate) struct Given(Mutex<Option<Box<dyn TransactionBuilder>>>);

impl Given {
    pub(crate) fn new(engine: Box<dyn TransactionBuilder>) -> Self {
        Self(Mutex::new(Some(engine)))
    }
}

impl TransactionBuilderFactory for Given {
    type RouterState = ();

    async fn new_transaction_builder(
        &self,
        _path: &str,
        _canceller: CancellationToken,
        _config: surrealdb_cnf::ConfigMap,
    ) -> anyhow::Result<TransactionBuilderParts<()>> {
        let engine = self.0.lock().take().ok_or_else(|| anyhow::anyhow!("the storage engine was given out already"))?;
        Ok(TransactionBuilderParts::without_router_state(engine))
    }

    fn path_valid(&self, path: &str) -> anyhow::Result<String> {
        Ok(path.to_owned())
    }
}
