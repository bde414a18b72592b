//! Options of `holdfast update` and `holdfast query`: the fields of the two request messages.

use clap::{Args, ValueEnum};
use holdfast_schemas::message::LockToken;
use serde_json::Value;

use super::{Source, Target, lock::parse_held, milliseconds::milliseconds};

/// What updates and queries have in common.
#[derive(Debug, Clone, Args)]
pub struct RequestOptions {
    #[command(flatten)]
    pub target: Target,

    /// Namespace [default: main]
    #[arg(long, value_name = "NAME")]
    pub ns: Option<String>,

    /// Database [default: main]
    #[arg(long, value_name = "NAME")]
    pub db: Option<String>,

    /// A parameter $k of the SurrealQL; v is JSON, or taken as a string where it is not. Can be repeated
    #[arg(long = "var", value_name = "K=V", value_parser = parse_variable)]
    pub variables: Vec<(String, Value)>,

    /// Give up after this many milliseconds
    #[arg(long, value_name = "MS", value_parser = milliseconds)]
    pub deadline: Option<u64>,

    #[command(flatten)]
    pub source: Source,
}

/// Options of `holdfast update`.
#[derive(Debug, Args)]
pub struct UpdateOptions {
    #[command(flatten)]
    pub request: RequestOptions,

    /// Identity of this update: sent again under the same one, it is not carried out twice [default: a new one]
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,

    /// A lock and its token, as `holdfast lock acquire` printed it: if the lock is not held under it any more, nothing
    /// is written. Can be repeated
    #[arg(long = "lock", value_name = "NAME:TOKEN", value_parser = parse_held)]
    pub locks: Vec<LockToken>,
}

/// Options of `holdfast query`.
#[derive(Debug, Args)]
pub struct QueryOptions {
    #[command(flatten)]
    pub request: RequestOptions,

    /// How new the answer must be
    #[arg(long, value_enum, default_value_t = Consistency::Any)]
    pub consistency: Consistency,

    /// With `session`: the position that must be visible, as printed by an earlier update or query
    #[arg(long, value_name = "POSITION", required_if_eq("consistency", "session"))]
    pub after: Option<u64>,

    /// With `any`: refuse copies that lag more than this
    #[arg(long, value_name = "MS", value_parser = milliseconds)]
    pub max_lag: Option<u64>,

    /// Ask only the copies of this pool of the group; `holdfast group list` shows the pools
    #[arg(long, value_name = "NAME")]
    pub pool: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Consistency {
    /// Any copy, which may lag
    Any,
    /// At least the position given by --after: one's own writes
    Session,
    /// Every update acknowledged before the query was sent
    Strong,
}

fn parse_variable(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("write it as name=value")?;
    let name = key.trim().trim_start_matches('$');
    if name.is_empty() {
        return Err("the name before = is empty".to_owned());
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::parse_variable;

    #[test]
    fn a_variable_is_json_where_it_can_be_and_a_string_otherwise() {
        assert_eq!(parse_variable("n=3"), Ok(("n".into(), json!(3))));
        assert_eq!(parse_variable("$name=Ada"), Ok(("name".into(), json!("Ada"))));
        assert_eq!(parse_variable(r#"o={"a":[1]}"#), Ok(("o".into(), json!({"a": [1]}))));
        assert_eq!(parse_variable("e=a=b"), Ok(("e".into(), json!("a=b"))));
        assert!(parse_variable("nothing").is_err());
        assert!(parse_variable("=3").is_err());
    }
}
