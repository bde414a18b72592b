//! What a request asks for, as one number: the same for two requests that ask for the same, whatever their deadlines, the order
//! of their fields and the version of Holdfast. An id is kept with it, so that the same id on something else is noticed.
//!
//! It is the xxh3 hash (64 bits, seed 0) of the parts in their order, each with its kind and its length in front, so that no two
//! lists of parts are the same bytes. Objects count by their names in order; numbers as unsigned, as signed, or by the bits of a
//! double, whichever is the first that holds them. This is kept in copies and logs: it must never change (see the test).

use serde_json::Value;
use xxhash_rust::xxh3::Xxh3;

/// A fingerprint in the making.
pub struct Fingerprint(Xxh3);

impl Fingerprint {
    /// Of a request of this kind, without any parts so far.
    #[must_use]
    pub fn of(kind: &str) -> Self {
        Self(Xxh3::new()).text(kind)
    }

    /// With a text behind the parts so far.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.bytes(b's', text.as_bytes());
        self
    }

    /// With a number behind the parts so far.
    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        self.bytes(b'u', &number.to_le_bytes());
        self
    }

    /// With the members of an object behind the parts so far.
    #[must_use]
    pub fn members<'a>(mut self, members: impl IntoIterator<Item = (&'a String, &'a Value)>) -> Self {
        self.object(members);
        self
    }

    /// The number.
    #[must_use]
    pub fn finish(self) -> u64 {
        self.0.digest()
    }

    fn bytes(&mut self, kind: u8, bytes: &[u8]) {
        self.head(kind, bytes.len());
        self.0.update(bytes);
    }

    fn head(&mut self, kind: u8, length: usize) {
        self.0.update(&[kind]);
        self.0.update(&(length as u64).to_le_bytes());
    }

    fn object<'a>(&mut self, members: impl IntoIterator<Item = (&'a String, &'a Value)>) {
        let mut members: Vec<_> = members.into_iter().collect();
        members.sort_unstable_by_key(|(name, _)| *name);
        self.head(b'o', members.len());
        for (name, value) in members {
            self.bytes(b's', name.as_bytes());
            self.value(value);
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.head(b'n', 0),
            Value::Bool(value) => self.bytes(b'b', &[u8::from(*value)]),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => self.bytes(b'u', &number.to_le_bytes()),
                (None, Some(number)) => self.bytes(b'i', &number.to_le_bytes()),
                (None, None) => self.bytes(b'f', &number.as_f64().unwrap_or_default().to_bits().to_le_bytes()),
            },
            Value::String(text) => self.bytes(b's', text.as_bytes()),
            Value::Array(elements) => {
                self.head(b'a', elements.len());
                elements.iter().for_each(|element| self.value(element));
            }
            Value::Object(members) => self.object(members),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: &Value) -> u64 {
        Fingerprint::of("test").members(value.as_object().unwrap()).finish()
    }

    #[test]
    fn the_order_of_names_does_not_count_and_everything_else_does() {
        assert_eq!(of(&json!({ "a": 1, "b": [2, {}] })), of(&json!({ "b": [2, {}], "a": 1 })));
        let different = [
            json!({}),
            json!({ "a": 1 }),
            json!({ "a": -1 }),
            json!({ "a": 1.5 }),
            json!({ "a": "1" }),
            json!({ "a": null }),
            json!({ "a": true }),
            json!({ "a": [1] }),
            json!({ "a": [[1]] }),
            json!({ "a": { "1": 1 } }),
            json!({ "a": [1, 2] }),
            json!({ "a": [12] }),
            json!({ "b": 1 }),
        ];
        let mut seen: Vec<_> = different.iter().map(of).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), different.len());
        assert_ne!(Fingerprint::of("a").text("bc").finish(), Fingerprint::of("ab").text("c").finish());
        assert_ne!(Fingerprint::of("a").text("b").text("").finish(), Fingerprint::of("a").text("b").finish());
    }

    #[test]
    fn it_is_the_same_in_every_version() {
        let fingerprint = Fingerprint::of("update").text("main").number(7);
        let fingerprint =
            fingerprint.members(json!({ "b": [1, -1, 1.5, "x", null, true], "a": {} }).as_object().unwrap());
        assert_eq!(fingerprint.finish(), GOLDEN);
    }

    const GOLDEN: u64 = 0x94ef_38af_3069_f742;
}
