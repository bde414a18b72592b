//! Ends a child with its parent, also when the parent is killed without a chance to say so.
//!
//! The parent holds the other end of the child's standard input. Whatever happens to the parent, the system closes it.

use tokio::io::AsyncReadExt;

/// Set by a parent that holds our standard input open for as long as it lives.
const EXIT_ON_STDIN_EOF: &str = "HOLDFAST_EXIT_ON_STDIN_EOF";

/// Resolves when the parent is gone; never if no parent asked for this.
pub(super) async fn gone() {
    if std::env::var_os(EXIT_ON_STDIN_EOF).is_none_or(|value| value != "1") {
        return std::future::pending().await;
    }
    let mut input = tokio::io::stdin();
    let mut buffer = [0; 64];
    while matches!(input.read(&mut buffer).await, Ok(count) if count > 0) {}
}
