//! `FIELD=VALUE`: a policy of supervision as it is given on the command line. What is not named is as by default.

use holdfast_schemas::message::{PolicyError, SupervisionPolicy};

/// Why a policy cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum UnreadablePolicy {
    /// It is not of that form.
    #[error("--policy {0:?} is no FIELD=VALUE with a whole number: write for example heartbeat_interval_ms=200")]
    Form(String),
    /// There is no such field.
    #[error("the policy of supervision {0}")]
    Field(#[from] PolicyError),
}

/// The policy that is the default but for these fields.
///
/// # Errors
/// One of them cannot be understood.
pub fn policy(settings: &[String]) -> Result<SupervisionPolicy, UnreadablePolicy> {
    let mut policy = SupervisionPolicy::default();
    for setting in settings {
        let form = || UnreadablePolicy::Form(setting.clone());
        let (field, value) = setting.split_once('=').ok_or_else(form)?;
        policy.set(field.trim(), value.trim().parse().map_err(|_| form())?)?;
    }
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[&str]) -> Result<SupervisionPolicy, UnreadablePolicy> {
        policy(&settings.iter().map(|setting| (*setting).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn fields_are_set_by_name_and_the_rest_stays() {
        let wanted =
            SupervisionPolicy { heartbeat_interval_ms: 50, heartbeats_missed: 8, ..SupervisionPolicy::default() };
        assert_eq!(read(&["heartbeat_interval_ms=50", "heartbeats_missed = 8"]).unwrap(), wanted);
        assert!(read(&[]).unwrap().is_default());
    }

    #[test]
    fn what_cannot_be_understood_says_what_can() {
        for odd in ["heartbeats_missed", "heartbeats_missed=many", "heartbeats_missed=-1"] {
            assert!(read(&[odd]).unwrap_err().to_string().contains("FIELD=VALUE"), "{odd}");
        }
        let unknown = read(&["patience=5"]).unwrap_err().to_string();
        assert!(unknown.contains("\"patience\"") && unknown.contains("heartbeat_interval_ms"), "{unknown}");
    }
}
