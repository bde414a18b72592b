//! The smallest service: it is ready at once, and ends when it is told to. With `stubborn` it takes longer than anybody
//! waits, as the tests of the life cycle need.

use std::process::ExitCode;

use holdfast_foundation::{BoxError, Context, Service};
use serde::{Deserialize, Serialize};

struct Tiny;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TinyConfig {
    stubborn: bool,
}

impl Service for Tiny {
    const NAME: &'static str = "execution";
    type Config = TinyConfig;

    async fn start(config: TinyConfig, ctx: Context) -> Result<(), BoxError> {
        ctx.ready("nothing is done, gladly");
        ctx.shutdown.requested().await;
        if config.stubborn {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    holdfast_foundation::run::<Tiny>()
}
