//! Defining groups and looking at them. Sent to `admin("group", "define" | "list" | "status")`.

use schemars::JsonSchema;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::{
    Assignment, CspState, GroupDefinition, PoolDefinition, SupervisionPolicy, TaskDefinition, UpdateRefusal,
    UpdateWindow, UpdateWindows,
};
use crate::codec::{DecodeError, Kind, Message};
use crate::fields;
use crate::name::{self, NameKind};

/// Asks for a group to be made. Sent again with the same definition, it changes nothing; with another one that differs only
/// in what may change while the group is at work, it changes that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupDefineRequest {
    /// The group. A misspelt field is refused here, although readers of stored definitions ignore it.
    #[serde(deserialize_with = "strict_definition")]
    #[schemars(extend("unevaluatedProperties" = false))]
    pub definition: GroupDefinition,
}

/// Refuses unknown fields of the definition, and of what it holds.
fn strict_definition<'de, D: Deserializer<'de>>(deserializer: D) -> Result<GroupDefinition, D::Error> {
    let definition = Map::<String, Value>::deserialize(deserializer)?;
    all_known::<TaskDefinition, D::Error>(definition.get("tasks"))?;
    all_known::<PoolDefinition, D::Error>(definition.get("pools"))?;
    if let Some(windows) = definition.get("update_windows").and_then(Value::as_object) {
        fields::all_known::<UpdateWindows, D::Error>(windows)?;
        all_known::<UpdateWindow, D::Error>(windows.get("windows"))?;
    }
    if let Some(policy) = definition.get("supervision").and_then(Value::as_object) {
        fields::all_known::<SupervisionPolicy, D::Error>(policy)?;
    }
    fields::strict(Value::Object(definition)).map_err(D::Error::custom)
}

/// Refuses unknown fields of the objects in a list.
fn all_known<T: DeserializeOwned, E: serde::de::Error>(list: Option<&Value>) -> Result<(), E> {
    let objects = list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
    objects.into_iter().try_for_each(fields::all_known::<T, E>)
}

impl Message for GroupDefineRequest {
    const TYPE: &'static str = "io.holdfast.administration.v1.group_define_request";
    const KIND: Kind = Kind::Request;

    fn check(&self) -> Result<(), DecodeError> {
        self.definition.check()
    }
}

/// The group exists as asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupDefineReply {
    /// As it is stored.
    pub definition: GroupDefinition,
    /// Whether it was made now, or existed already.
    pub created: bool,
    /// Whether it existed, and was changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub changed: bool,
}

impl Message for GroupDefineReply {
    const TYPE: &'static str = "io.holdfast.administration.v1.group_define_reply";
    const KIND: Kind = Kind::Reply;
}

/// Asks for all groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupListRequest {}

impl Message for GroupListRequest {
    const TYPE: &'static str = "io.holdfast.administration.v1.group_list_request";
    const KIND: Kind = Kind::Request;
}

/// All groups, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct GroupListReply {
    /// Their definitions.
    pub groups: Vec<GroupDefinition>,
}

impl Message for GroupListReply {
    const TYPE: &'static str = "io.holdfast.administration.v1.group_list_reply";
    const KIND: Kind = Kind::Reply;
}

/// Which system runs a group: the value in the owners bucket, and what the system itself says when it is asked.
///
/// A system is a data folder with the processes that `holdfast up` runs on it. Two systems under one name would be taken for one
/// another by everybody, so the name belongs to the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupOwner {
    /// The group.
    pub group: String,
    /// The system: an id that its data folder has kept since it was made.
    pub system: String,
    /// The machine that it runs on.
    pub host: String,
    /// Its data folder there.
    pub folder: String,
    /// Differs after every start of the system.
    pub incarnation: String,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
}

impl Message for GroupOwner {
    const TYPE: &'static str = "io.holdfast.administration.v1.group_owner";
    const KIND: Kind = Kind::Event;

    fn check(&self) -> Result<(), DecodeError> {
        // It becomes a part of a subject.
        let fits = !self.incarnation.is_empty() && self.incarnation.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if fits {
            Ok(())
        } else {
            Err(DecodeError::refused("incarnation", "must have letters and digits only".to_owned()))
        }
    }
}

/// Asks how a group is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupStatusRequest {
    /// Its name.
    pub group: String,
}

impl Message for GroupStatusRequest {
    const TYPE: &'static str = "io.holdfast.administration.v1.group_status_request";
    const KIND: Kind = Kind::Request;

    fn check(&self) -> Result<(), DecodeError> {
        name::validate(NameKind::Group, &self.group)
            .map_err(|error| DecodeError::refused("group", format!("is refused: {error}")))
    }
}

/// How a group is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupStatusReply {
    /// As it is defined.
    pub definition: GroupDefinition,
    /// How its CSPs are, in the order of the definition.
    pub csps: Vec<CspView>,
    /// How its log is.
    pub log: LogView,
    /// Who holds which task, as far as it is on record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assignments: Vec<Assignment>,
    /// Why the group takes no updates, when that is because of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updates_refused: Option<UpdateRefusal>,
}

impl Message for GroupStatusReply {
    const TYPE: &'static str = "io.holdfast.administration.v1.group_status_reply";
    const KIND: Kind = Kind::Reply;
}

/// One CSP, as administration sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CspView {
    /// Its name.
    pub csp: String,
    /// Its state.
    pub state: CspState,
    /// The position up to which its copy is applied.
    pub applied: u64,
    /// How many entries of the log it has not applied yet.
    pub lag: u64,
    /// The epoch that its copy is in.
    pub epoch: u64,
    /// Where it can be reached, if it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The machine that it runs on; none while it was never heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Whether it is the primary.
    pub primary: bool,
    /// 0 if it answered when it was asked for this; none if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heartbeat_ms_ago: Option<u64>,
    /// Why it is quarantined, or takes no updates; or what its log lacks, or why supervision doubts it, although it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// By how much its clock on the wall is ahead of those of the others, as it tells; less than 0 if it is behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ahead_ms: Option<i64>,
}

/// The log of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct LogView {
    /// The oldest position that is kept.
    pub first: u64,
    /// The newest position.
    pub last: u64,
    /// Its size.
    pub bytes: u64,
    /// How many NATS servers hold it.
    pub replicas: u8,
    /// How many of its messages are none that a CSP of the group sent, or were damaged before they came into it. All copies pass
    /// over them.
    #[serde(default, skip_serializing_if = "fields::is_zero")]
    pub junk: u64,
}
