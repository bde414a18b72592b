//! Reads a message in one pass while taking the member `type` out of it, wherever it stands: the structs of the
//! messages do not carry it, and may still refuse unknown fields.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::error::Category;

use super::DecodeError;

const TAG: &str = "type";

/// Reads a `T` of the type `expected`.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8], expected: &'static str) -> Result<T, DecodeError> {
    let mut other = None;
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let result = T::deserialize(Tagged { inner: &mut json, expected, other: &mut other })
        .and_then(|message| json.end().map(|()| message));
    result.map_err(|error| match other {
        Some(found) => DecodeError::WrongType { expected, found },
        None => describe(&error, expected),
    })
}

/// The type name in `bytes`, if they are a message.
pub(super) fn peek(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(rename = "type", borrow)]
        type_name: Option<Cow<'a, str>>,
    }
    if let Some(rest) = bytes.strip_prefix(b"{\"type\":\"") {
        let end = rest.iter().position(|byte| *byte == b'"' || *byte == b'\\')?;
        if rest.get(end) == Some(&b'"') {
            return std::str::from_utf8(rest.get(..end)?).ok().map(str::to_owned);
        }
    }
    serde_json::from_slice::<Head<'_>>(bytes).ok()?.type_name.map(Cow::into_owned)
}

fn describe(error: &serde_json::Error, expected: &'static str) -> DecodeError {
    let reason = error.to_string();
    match error.classify() {
        Category::Syntax | Category::Eof | Category::Io => DecodeError::NotJson { reason },
        Category::Data if reason.starts_with("unknown field") => DecodeError::UnknownField { reason },
        Category::Data => DecodeError::Invalid { expected, reason },
    }
}

/// A deserializer that takes `type` out of the outermost object.
struct Tagged<'a, D> {
    inner: D,
    expected: &'static str,
    /// A type name that was met and is not `expected`.
    other: &'a mut Option<String>,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Tagged<'_, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_map(Outer { visitor, expected: self.expected, other: self.other })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Outer<'a, V> {
    visitor: V,
    expected: &'static str,
    other: &'a mut Option<String>,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Outer<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(WithoutTag { map, expected: self.expected, other: self.other })
    }
}

struct WithoutTag<'a, A> {
    map: A,
    expected: &'static str,
    other: &'a mut Option<String>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for WithoutTag<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        loop {
            let Some(key) = self.map.next_key::<Key<'de>>()? else {
                return Ok(None);
            };
            if key.0 != TAG {
                return seed.deserialize(serde::de::value::CowStrDeserializer::new(key.0)).map(Some);
            }
            let found: String = self.map.next_value()?;
            if found != self.expected {
                let message = A::Error::custom("another type");
                *self.other = Some(found);
                return Err(message);
            }
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.map.next_value_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.map.size_hint()
    }
}

/// A key, borrowed from the input where it holds no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);
