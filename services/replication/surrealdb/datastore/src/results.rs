//! Results of what took effect: too large ones are left out, and what is kept with the id says so.

use bytes::Bytes;

use crate::convert::Results;

const BEGIN: &str = "{\"results_dropped\":";
const END: &str = "}";

impl Results {
    /// The results as they are kept with an id: a JSON array, or an object with the number of bytes that it would have had.
    pub(crate) fn kept(self) -> Bytes {
        match self {
            Self::Json(json) => json,
            Self::TooLarge { bytes } => format!("{BEGIN}{bytes}{END}").into(),
        }
    }
}

/// How many bytes the results had that were left out; `None` when `kept` are the results themselves.
#[must_use]
pub fn dropped_bytes(kept: &[u8]) -> Option<u64> {
    let kept = kept.strip_prefix(BEGIN.as_bytes())?.strip_suffix(END.as_bytes())?;
    std::str::from_utf8(kept).ok()?.parse().ok()
}
