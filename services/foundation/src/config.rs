//! Configuration in layers: defaults, then `holdfast.toml`, then `HOLDFAST_<SECTION>__<FIELD>` of the environment.
//!
//! Every service reads the same file and takes the common sections and its own. Unknown fields of these are refused, and
//! unknown sections, so a misspelt setting is an error and not a silent default. Loading binds and connects nothing.

use std::collections::HashMap;
use std::path::PathBuf;

use config::Source;
use holdfast_schemas::subject;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::telemetry::TelemetryConfig;

/// Section `[nats]`: the only thing that Holdfast depends on at run time.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NatsConfig {
    /// Address of a server, or several with commas between.
    pub url: String,
    /// User name.
    pub user: Option<String>,
    /// Password of the user.
    pub password: Option<String>,
    /// Token, instead of a user.
    pub token: Option<String>,
    /// Credentials file, instead of a user.
    pub credentials_file: Option<PathBuf>,
    /// Certificate of the authority that signed the servers' certificates.
    pub tls_ca: Option<PathBuf>,
    /// Prefix of this process's inboxes, where permissions demand one.
    pub inbox_prefix: Option<String>,
    /// What the reply subjects begin with that are answered, with commas between. The same for all services.
    pub reply_prefixes: String,
    /// How long a server may take to answer a request of ours.
    pub request_timeout_ms: u64,
}

impl Default for NatsConfig {
    fn default() -> Self {
        Self {
            url: "nats://127.0.0.1:4222".to_owned(),
            user: None,
            password: None,
            token: None,
            credentials_file: None,
            tls_ca: None,
            inbox_prefix: None,
            reply_prefixes: subject::INBOX_PREFIXES.to_owned(),
            request_timeout_ms: 5_000,
        }
    }
}

impl NatsConfig {
    /// The address, without the credentials that it may carry.
    #[must_use]
    pub fn shown_url(&self) -> String {
        without_credentials(&self.url)
    }
}

impl std::fmt::Debug for NatsConfig {
    /// Only what may stand in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsConfig").field("url", &self.shown_url()).finish_non_exhaustive()
    }
}

/// Section `[lifecycle]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LifecycleConfig {
    /// How long a service may take to finish what is under way when it is told to stop.
    pub grace_ms: u64,
}

impl Default for LifecycleConfig {
    fn default() -> Self {
        Self { grace_ms: 10_000 }
    }
}

/// The sections that all services share.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Common {
    /// The bus.
    pub nats: NatsConfig,
    /// Logs.
    pub telemetry: TelemetryConfig,
    /// Start and stop.
    pub lifecycle: LifecycleConfig,
}

/// What was loaded.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The common sections.
    pub common: Common,
    /// The service's own section.
    pub service: T,
    /// Everything as TOML, with secrets hidden.
    pub printable: String,
}

/// Settings could not be read. Nothing was started; correct the file or the variable that is named.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is missing, not TOML, or a value has the wrong type.
    #[error("the configuration cannot be read")]
    Read(#[from] config::ConfigError),
    /// The defaults of a section cannot be written as settings.
    #[error("the defaults of [{section}] cannot be expressed")]
    Defaults {
        /// Which section.
        section: String,
        /// Why.
        #[source]
        source: config::ConfigError,
    },
    /// A section has a name that no service reads, so its settings would be silently left out.
    #[error("there is no section [{section}]: the sections are [{}]", .known.join("], ["))]
    UnknownSection {
        /// What stands in the file, or in the name of a variable.
        section: String,
        /// What may stand there.
        known: Vec<String>,
    },
    /// It cannot be printed.
    #[error("the configuration cannot be printed")]
    Print(#[from] toml::ser::Error),
}

/// Where settings come from, besides the defaults.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file; it may be missing unless it was named.
    pub file: Option<PathBuf>,
    /// Variables of the environment.
    pub environment: HashMap<String, String>,
}

impl Sources {
    /// Those of this process: the file named by `HOLDFAST_CONFIG`, or `holdfast.toml` here if there is one.
    #[must_use]
    pub fn of_process() -> Self {
        let environment: HashMap<_, _> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let here = PathBuf::from("holdfast.toml");
        let file = environment.get("HOLDFAST_CONFIG").map(PathBuf::from).or_else(|| here.exists().then_some(here));
        Self { file, environment }
    }
}

/// The name of this machine, fit for a subject: what nodes and CSPs are called unless a setting says otherwise.
#[must_use]
pub fn host_name() -> String {
    hostname::get().map_or_else(|_| "localhost".to_owned(), |name| name.to_string_lossy().replace('.', "-"))
}

/// The sections that all services share, and those of each.
const SECTIONS: [&str; 8] =
    ["nats", "telemetry", "lifecycle", "replication", "execution", "supervision", "administration", "cli"];
const PREFIX: &str = "HOLDFAST";
const SEPARATOR: &str = "__";
/// Fields whose values are never printed.
const SECRETS: [&str; 2] = ["password", "token"];
/// What stands in the place of a secret.
const HIDDEN: &str = "***";

/// Loads the common sections and section `service`.
///
/// # Errors
/// See [`ConfigError`].
pub fn load<T: Serialize + DeserializeOwned + Default>(
    service: &str,
    sources: &Sources,
) -> Result<Loaded<T>, ConfigError> {
    let defaults =
        |section: &str, source: config::ConfigError| ConfigError::Defaults { section: section.to_owned(), source };
    let mut builder = config::Config::builder()
        .add_source(config::Config::try_from(&Common::default()).map_err(|source| defaults("common", source))?);
    let own = HashMap::from([(service, T::default())]);
    builder = builder.add_source(config::Config::try_from(&own).map_err(|source| defaults(service, source))?);
    if let Some(file) = &sources.file {
        builder = builder.add_source(config::File::from(file.as_path()).format(config::FileFormat::Toml));
    }
    let variables = sources.environment.iter().filter(|(name, _)| name.contains(SEPARATOR));
    let variables: HashMap<_, _> = variables.map(|(name, value)| (name.clone(), value.clone())).collect();
    // Values stay text until a field asks for a number: a password of "007" is not 7.
    let environment = config::Environment::with_prefix(PREFIX)
        .prefix_separator("_")
        .separator(SEPARATOR)
        .ignore_empty(true)
        .source(Some(variables));
    let merged = builder.add_source(environment).build()?;
    check_sections(&merged, service)?;
    let common = Common {
        nats: section(&merged, "nats")?,
        telemetry: section(&merged, "telemetry")?,
        lifecycle: section(&merged, "lifecycle")?,
    };
    let own = match section(&merged, service) {
        // A section whose defaults are all empty leaves no trace in the layers.
        Err(config::ConfigError::NotFound(_) | config::ConfigError::At { .. }) if !has_section(&merged, service) => {
            T::default()
        }
        section => section?,
    };
    let printable = printable(&common, service, &own)?;
    Ok(Loaded { common, service: own, printable })
}

/// The sections of other services are in the same file, and are theirs to check.
fn check_sections(merged: &config::Config, service: &str) -> Result<(), ConfigError> {
    let is_known = |section: &str| section == service || SECTIONS.contains(&section);
    match merged.collect()?.into_keys().find(|section| !is_known(section)) {
        None => Ok(()),
        Some(section) => Err(ConfigError::UnknownSection { section, known: SECTIONS.map(str::to_owned).to_vec() }),
    }
}

fn section<T: DeserializeOwned>(merged: &config::Config, name: &str) -> Result<T, config::ConfigError> {
    merged.get::<T>(name)
}

fn has_section(merged: &config::Config, name: &str) -> bool {
    merged.get_table(name).is_ok()
}

fn printable<T: Serialize>(common: &Common, service: &str, own: &T) -> Result<String, ConfigError> {
    let mut all = toml::Table::try_from(common)?;
    all.insert(service.to_owned(), toml::Value::try_from(own)?);
    for section in all.iter_mut().filter_map(|(_, section)| section.as_table_mut()) {
        for (_, value) in section.iter_mut().filter(|(name, _)| SECRETS.contains(&name.as_str())) {
            *value = toml::Value::String(HIDDEN.to_owned());
        }
        if let Some(toml::Value::String(url)) = section.get_mut("url") {
            *url = without_credentials(url);
        }
    }
    Ok(toml::to_string_pretty(&all)?)
}

/// Hides what stands before the `@` of each address; several have commas between.
fn without_credentials(urls: &str) -> String {
    let shown = urls.split(',').map(|url| match url.rsplit_once('@') {
        Some((before, host)) => match before.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://{HIDDEN}@{host}"),
            None => format!("{HIDDEN}@{host}"),
        },
        None => url.to_owned(),
    });
    shown.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
