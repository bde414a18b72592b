//! Measures how deep JSON nests by looking at its bytes, before any parser recurses into it.

/// Whether arrays and objects nest deeper than `limit`. Bytes that are not JSON may give either answer.
pub(super) fn exceeds(bytes: &[u8], limit: usize) -> bool {
    let mut depth = 0_usize;
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut rest),
            _ => {}
        }
    }
    false
}

/// Moves behind the closing quote; brackets in strings do not nest.
fn skip_string<'a>(rest: &mut impl Iterator<Item = &'a u8>) {
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                rest.next();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_open_brackets() {
        assert!(!exceeds(b"1", 0));
        assert!(exceeds(b"[1]", 0));
        assert!(!exceeds(br#"{"a":[1],"b":[2],"c":{}}"#, 2));
        assert!(exceeds(br#"{"a":[1],"b":[[2]]}"#, 2));
    }

    #[test]
    fn brackets_in_strings_do_not_count() {
        assert!(!exceeds(br#"{"a":"[[[\"[[[","b":"\\"}"#, 1));
        assert!(exceeds(br#"{"a":"\\","b":[]}"#, 1));
    }
}
