//! Asks a type which fields it has, so that unknown keys can be refused where serde's `deny_unknown_fields` would also
//! bind readers that must stay tolerant.

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, Visitor, value::Error};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

/// The field names of a struct, or none if the type is not a plain struct.
pub fn field_names<T: DeserializeOwned>() -> Option<&'static [&'static str]> {
    let mut names = None;
    // The probe always fails once it has learnt the names; the error carries nothing.
    let _ = T::deserialize(Probe { names: &mut names });
    names
}

/// Whether a counter need not be written.
pub fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Reads a `T` that tolerates unknown fields elsewhere, and refuses them here.
pub fn strict<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let map = Map::<String, Value>::deserialize(deserializer)?;
    all_known::<T, D::Error>(&map)?;
    T::deserialize(Value::Object(map)).map_err(D::Error::custom)
}

/// Refuses a key that is no field of `T`.
pub fn all_known<T: DeserializeOwned, E: serde::de::Error>(map: &Map<String, Value>) -> Result<(), E> {
    if let Some(known) = field_names::<T>()
        && let Some(unknown) = map.keys().find(|key| !known.contains(&key.as_str()))
    {
        return Err(E::unknown_field(unknown, known));
    }
    Ok(())
}

struct Probe<'a> {
    names: &'a mut Option<&'static [&'static str]>,
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("not a struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        *self.names = Some(fields);
        Err(Error::custom("names learnt"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Pair {
        #[serde(rename = "left", default)]
        _left: u8,
        #[serde(default)]
        _right: u8,
    }

    #[test]
    fn names_are_those_of_the_wire() {
        assert_eq!(field_names::<Pair>(), Some(["left", "_right"].as_slice()));
        assert_eq!(field_names::<u8>(), None);
    }

    #[test]
    fn strict_refuses_what_the_type_alone_would_ignore() {
        let error = strict::<Pair, _>(serde_json::json!({"left": 1, "middle": 2})).unwrap_err();
        assert!(error.to_string().contains("unknown field `middle`"), "{error}");
        assert!(strict::<Pair, _>(serde_json::json!({"left": 1})).is_ok());
    }
}
