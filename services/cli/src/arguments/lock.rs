//! Options of `holdfast lock`.

use std::ffi::OsString;

use clap::Args;
use holdfast_schemas::{limits::DEFAULT_LOCK_LEASE_MS, message::LockToken};

use super::{Target, milliseconds::milliseconds};

/// How a lock is asked for.
#[derive(Debug, Clone, Args)]
pub struct Asking {
    /// How long the lock is held unless it is renewed: nobody else gets it within that time, even if its holder is gone
    #[arg(long, default_value_t = DEFAULT_LOCK_LEASE_MS, value_name = "MS", value_parser = milliseconds)]
    pub lease: u64,

    /// Do not wait: fail at once if somebody else holds it
    #[arg(long)]
    pub no_wait: bool,

    /// Who holds it, for those who list locks [default: user@host]
    #[arg(long, value_name = "TEXT")]
    pub holder: Option<String>,
}

/// Options of `holdfast lock acquire`.
#[derive(Debug, Args)]
pub struct AcquireOptions {
    #[command(flatten)]
    pub target: Target,

    #[command(flatten)]
    pub asking: Asking,

    /// Renew: hold on to the acquisition that got this token, for another lease from now on
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<u64>,

    /// Give up after this many milliseconds, 60000 at most [default: 5000]
    #[arg(long, value_name = "MS", value_parser = milliseconds)]
    pub deadline: Option<u64>,

    /// Identity of this acquisition: asked for again under the same one, it gets the same token [default: a new one]
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,

    /// The lock: any name, up to 128 printable ASCII characters without blanks
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// Options of `holdfast lock release`.
#[derive(Debug, Args)]
pub struct ReleaseOptions {
    #[command(flatten)]
    pub target: Target,

    /// Identity of this release: sent again under the same one, it gets the first answer [default: a new one]
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,

    /// The lock
    #[arg(value_name = "NAME")]
    pub name: String,

    /// The token of the acquisition, as `acquire` printed it; a later acquisition is left alone
    #[arg(value_name = "TOKEN")]
    pub token: u64,
}

/// Options of `holdfast lock list`.
#[derive(Debug, Args)]
pub struct LockListOptions {
    #[command(flatten)]
    pub target: Target,
}

/// Options of `holdfast lock run`.
#[derive(Debug, Args)]
pub struct RunOptions {
    #[command(flatten)]
    pub target: Target,

    #[command(flatten)]
    pub asking: Asking,

    /// Wait for the lock no longer than this [default: for as long as it takes]
    #[arg(long, value_name = "MS", value_parser = milliseconds, conflicts_with = "no_wait")]
    pub deadline: Option<u64>,

    /// The lock
    #[arg(value_name = "NAME")]
    pub name: String,

    /// The command and its arguments, behind --
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// Reads `NAME:TOKEN`. The name may hold colons itself, the token cannot.
pub fn parse_held(text: &str) -> Result<LockToken, String> {
    let (name, token) = text.rsplit_once(':').ok_or("write it as name:token")?;
    let token = token.parse().map_err(|_| "the token behind the last : is a number, as `lock acquire` printed it")?;
    if name.is_empty() {
        return Err("the name before : is empty".to_owned());
    }
    Ok(LockToken { name: name.to_owned(), token })
}

#[cfg(test)]
mod tests {
    use holdfast_schemas::message::LockToken;

    use super::parse_held;

    #[test]
    fn a_held_lock_is_a_name_and_a_token() {
        let held = |name: &str, token| Ok(LockToken { name: name.to_owned(), token });
        assert_eq!(parse_held("stock:17"), held("stock", 17));
        assert_eq!(parse_held("stock:7:17"), held("stock:7", 17));
        for odd in ["stock", "stock:", ":17", "stock:x", "stock:-1"] {
            assert!(parse_held(odd).is_err(), "{odd}");
        }
    }
}
