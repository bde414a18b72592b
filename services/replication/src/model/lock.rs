//! What a lock is, and who may have it: a function of what the copy holds, of a wish, and of the time.
//!
//! A key on a hook, with a numbered tag. Whoever finds the hook empty takes the key under a new, higher number; whoever finds
//! another's tag on it waits until the key is back or the lease on the tag is over. What is done under a number counts only
//! while that tag hangs there.
//!
//! Of one name a later acquisition always has the higher token. The token is the position behind the snapshot in which the
//! acquisition found the lock free. Its commit is at that position or behind it, and is refused if the lock was written since
//! the snapshot; so whoever acquires next reads at that commit or behind it, and gets a higher number. That holds whatever
//! became of the key in between, so the key of a lock whose lease is over can be removed.
//!
//! The lease says when another may take the lock, by the log's own clock. It protects no data: the token does.

use super::position::Position;

/// A lock that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Names the acquisition.
    pub token: u64,
    /// When another may take it, in log time.
    pub expires_at_ms: u64,
    /// Who holds it, in its own words.
    pub holder: Option<String>,
}

/// What is wanted of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To hold it anew.
    Acquire,
    /// To go on holding it under this token.
    Renew(u64),
}

/// What is to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is to be written so.
    Grant(Lock),
    /// Somebody else holds it.
    Held {
        /// When that lease is over, from now on.
        free_in_ms: u64,
    },
    /// It is not held under the token.
    Lost,
}

impl Lock {
    /// Whether its lease is over: it counts as held no more, and may be taken or removed.
    #[must_use]
    pub fn is_over(&self, now_ms: u64) -> bool {
        self.expires_at_ms <= now_ms
    }
}

/// Decides about a wish, where a snapshot at `position` shows `held`.
#[must_use]
pub fn decide(
    held: Option<&Lock>,
    wish: Wish,
    lease_ms: u64,
    holder: Option<String>,
    position: Position,
    now_ms: u64,
) -> Decision {
    let expires_at_ms = now_ms.saturating_add(lease_ms);
    match (wish, held) {
        (Wish::Renew(token), Some(held)) if held.token == token => {
            // A renewal never shortens what was promised.
            let expires_at_ms = expires_at_ms.max(held.expires_at_ms);
            Decision::Grant(Lock { token, expires_at_ms, holder: holder.or_else(|| held.holder.clone()) })
        }
        (Wish::Renew(_), _) => Decision::Lost,
        (Wish::Acquire, Some(held)) if !held.is_over(now_ms) => {
            Decision::Held { free_in_ms: held.expires_at_ms - now_ms }
        }
        (Wish::Acquire, _) => Decision::Grant(Lock { token: position + 1, expires_at_ms, holder }),
    }
}

impl Lock {
    /// As it is stored: token, end of the lease, holder.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let holder = self.holder.as_deref().unwrap_or_default();
        let mut value = Vec::with_capacity(16 + holder.len());
        value.extend_from_slice(&self.token.to_be_bytes());
        value.extend_from_slice(&self.expires_at_ms.to_be_bytes());
        value.extend_from_slice(holder.as_bytes());
        value
    }

    /// Reads a stored lock; none if that is no lock.
    #[must_use]
    pub fn decode(value: &[u8]) -> Option<Self> {
        let (token, rest) = value.split_first_chunk::<8>()?;
        let (expires_at_ms, holder) = rest.split_first_chunk::<8>()?;
        let holder = std::str::from_utf8(holder).ok()?;
        Some(Self {
            token: u64::from_be_bytes(*token),
            expires_at_ms: u64::from_be_bytes(*expires_at_ms),
            holder: (!holder.is_empty()).then(|| holder.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_stored_is_read_back() {
        for holder in [None, Some("ada@host".to_owned())] {
            let lock = Lock { token: 7, expires_at_ms: 99, holder };
            assert_eq!(Lock::decode(&lock.encode()), Some(lock));
        }
        assert_eq!(Lock::decode(&[0; 15]), None);
        assert_eq!(Lock::decode(&[0xff; 20]), None);
    }

    #[test]
    fn a_renewal_keeps_token_and_holder_and_shortens_nothing() {
        let held = Lock { token: 7, expires_at_ms: 5_000, holder: Some("ada".to_owned()) };
        let renewed = decide(Some(&held), Wish::Renew(7), 100, None, 40, 1_000);
        assert_eq!(renewed, Decision::Grant(held.clone()));
        // Also after its lease, as long as nobody took it.
        let late = decide(Some(&held), Wish::Renew(7), 100, None, 40, 9_000);
        assert_eq!(late, Decision::Grant(Lock { expires_at_ms: 9_100, ..held.clone() }));
        assert_eq!(decide(Some(&held), Wish::Renew(6), 100, None, 40, 1_000), Decision::Lost);
        assert_eq!(decide(None, Wish::Renew(7), 100, None, 40, 1_000), Decision::Lost);
    }

    /// One attempt: how stale its snapshot is, how far the clock moves before it, what it wants.
    fn attempts() -> impl Strategy<Value = Vec<(u64, u64, u8)>> {
        prop::collection::vec((0..4_u64, 0..400_u64, 0..5_u8), 1..80)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Against a log that certifies as the real one does: a write counts if the lock was not written since its snapshot.
        #[test]
        fn tokens_grow_and_no_lease_is_cut_short(attempts in attempts()) {
            let mut states: Vec<(Position, Option<Lock>)> = vec![(0, None)];
            let (mut now_ms, mut last_token) = (0, 0);
            for (position, (stale, passed_ms, wish)) in (1..).zip(attempts) {
                now_ms += passed_ms;
                let (written_at, current) = states.last().cloned().unwrap();
                let seen = states.len().saturating_sub(1 + usize::try_from(stale).unwrap());
                let held = states[seen].1.clone();
                // A snapshot that shows this state may be as late as right before the next write.
                let snapshot = states.get(seen + 1).map_or(position - 1, |(next, _)| next - 1);
                let write = match wish {
                    0 => held.as_ref().map(|_| None),
                    // What is removed is what the copy shows as over.
                    4 => held.as_ref().filter(|held| held.is_over(now_ms)).map(|_| None),
                    1 => match decide(held.as_ref(), Wish::Renew(last_token), 300, None, snapshot, now_ms) {
                        Decision::Grant(lock) => Some(Some(lock)),
                        _ => None,
                    },
                    _ => match decide(held.as_ref(), Wish::Acquire, 300, None, snapshot, now_ms) {
                        Decision::Grant(lock) => Some(Some(lock)),
                        _ => None,
                    },
                };
                let Some(write) = write.filter(|_| written_at <= snapshot) else { continue };
                let is_over = current.as_ref().is_none_or(|current| current.is_over(now_ms));
                prop_assert!(wish != 4 || is_over, "a lock that is held was removed");
                if let (Some(lock), true) = (&write, wish > 1) {
                    prop_assert!(lock.token > last_token, "token {} after {}", lock.token, last_token);
                    prop_assert!(lock.token <= position);
                    prop_assert!(is_over, "a lease was cut short");
                    last_token = lock.token;
                }
                states.push((position, write));
            }
        }
    }
}
