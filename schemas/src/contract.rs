//! The list of all messages, and their JSON Schemas. What is not in this list is not part of the contract.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::codec::{Kind, Message};
use crate::message::{
    Assignment, AssignmentMoveReply, AssignmentMoveRequest, Completions, ControlReply, ControlRequest, CspStateChange,
    DigestReply, DigestRequest, ErrorReply, GroupDefineReply, GroupDefineRequest, GroupDefinition, GroupListReply,
    GroupListRequest, GroupOwner, GroupStatusReply, GroupStatusRequest, Heartbeat, Hint, LockAcquireReply,
    LockAcquireRequest, LockListReply, LockListRequest, LockReleaseReply, LockReleaseRequest, LogChange, LogControl,
    NodeAlive, NodeStateChange, Opinion, Presence, QueryReply, QueryRequest, StatusReply, StatusRequest,
    TransactionBeginReply, TransactionBeginRequest, TransactionExecuteReply, TransactionExecuteRequest,
    TransactionRequest, TransactionStatusReply, UpdateReply, UpdateRequest,
};

/// One message of the contract.
#[derive(Debug, Clone, Copy)]
pub struct Contract {
    /// Its type name.
    pub type_name: &'static str,
    /// Who reads it.
    pub kind: Kind,
    /// Makes its JSON Schema.
    pub schema: fn() -> Value,
    /// Decodes bytes as this message and encodes it again.
    pub reencode: fn(&[u8]) -> Result<Vec<u8>, crate::DecodeError>,
}

impl Contract {
    fn of<M: Message>() -> Self {
        Self {
            type_name: M::TYPE,
            kind: M::KIND,
            schema: schema::<M>,
            reencode: |bytes| M::decode(bytes).map(|message| message.encode()),
        }
    }

    /// Where its schema stands below `json/`: `<service>/v1/<name>.json`.
    pub fn schema_path(&self) -> String {
        let path = self.type_name.trim_start_matches("io.holdfast.").replace('.', "/");
        format!("{path}.json")
    }

    /// The last part of the type name.
    pub fn short_name(&self) -> &'static str {
        self.type_name.rsplit('.').next().unwrap_or(self.type_name)
    }
}

/// All messages.
pub fn all() -> Vec<Contract> {
    vec![
        Contract::of::<UpdateRequest>(),
        Contract::of::<QueryRequest>(),
        Contract::of::<UpdateReply>(),
        Contract::of::<QueryReply>(),
        Contract::of::<ErrorReply>(),
        Contract::of::<Heartbeat>(),
        Contract::of::<StatusRequest>(),
        Contract::of::<StatusReply>(),
        Contract::of::<DigestRequest>(),
        Contract::of::<DigestReply>(),
        Contract::of::<ControlRequest>(),
        Contract::of::<ControlReply>(),
        Contract::of::<LogControl>(),
        Contract::of::<LogChange>(),
        Contract::of::<GroupDefinition>(),
        Contract::of::<GroupDefineRequest>(),
        Contract::of::<GroupDefineReply>(),
        Contract::of::<GroupListRequest>(),
        Contract::of::<GroupListReply>(),
        Contract::of::<GroupOwner>(),
        Contract::of::<GroupStatusRequest>(),
        Contract::of::<GroupStatusReply>(),
        Contract::of::<CspStateChange>(),
        Contract::of::<NodeStateChange>(),
        Contract::of::<Opinion>(),
        Contract::of::<Hint>(),
        Contract::of::<NodeAlive>(),
        Contract::of::<Completions>(),
        Contract::of::<Presence>(),
        Contract::of::<Assignment>(),
        Contract::of::<AssignmentMoveRequest>(),
        Contract::of::<AssignmentMoveReply>(),
        Contract::of::<TransactionBeginRequest>(),
        Contract::of::<TransactionBeginReply>(),
        Contract::of::<TransactionExecuteRequest>(),
        Contract::of::<TransactionExecuteReply>(),
        Contract::of::<TransactionRequest>(),
        Contract::of::<TransactionStatusReply>(),
        Contract::of::<LockAcquireRequest>(),
        Contract::of::<LockAcquireReply>(),
        Contract::of::<LockReleaseRequest>(),
        Contract::of::<LockReleaseReply>(),
        Contract::of::<LockListRequest>(),
        Contract::of::<LockListReply>(),
    ]
}

/// The text of a schema file: sorted, so that it is the same whatever order a dependency keeps its maps in.
pub fn schema_text(contract: &Contract) -> String {
    let sorted = sort(&(contract.schema)());
    format!("{sorted:#}\n")
}

/// What the derived schema cannot know: the title, and the member `type`, which the structs do not carry.
fn schema<M: Message>() -> Value {
    let generated = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<M>();
    let mut schema = generated.to_value();
    let Some(root) = schema.as_object_mut() else {
        return schema;
    };
    root.insert("title".to_owned(), json!(M::TYPE));
    match root.get_mut("oneOf").and_then(Value::as_array_mut) {
        Some(variants) => variants.iter_mut().filter_map(Value::as_object_mut).for_each(add_type::<M>),
        None => add_type::<M>(root),
    }
    schema
}

fn add_type<M: Message>(object: &mut Map<String, Value>) {
    if let Some(properties) = object.entry("properties").or_insert_with(|| json!({})).as_object_mut() {
        properties.insert("type".to_owned(), json!({ "const": M::TYPE }));
    }
    if M::KIND != Kind::Request
        && let Some(required) = object.entry("required").or_insert_with(|| json!([])).as_array_mut()
    {
        required.insert(0, json!("type"));
    }
}

fn sort(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            Value::Object(members.into_iter().map(|(key, member)| (key.clone(), sort(member))).collect())
        }
        Value::Array(elements) => Value::Array(elements.iter().map(sort).collect()),
        other => other.clone(),
    }
}
