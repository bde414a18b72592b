//! What `holdfast up` tells: one line for each event, with its time (UTC) and the name of the process it is about.

use std::{
    io::{Write, stdout},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::json;

/// Prints events, for people or as JSON lines.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    json: bool,
}

impl Terminal {
    /// Lines for people, or JSON.
    #[must_use]
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// One event.
    pub fn say(&self, name: &str, event: &str) {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_millis());
        let line = if self.json {
            json!({"at_ms": u64::try_from(now_ms).unwrap_or(u64::MAX), "name": name, "event": event}).to_string()
        } else {
            format!("{}  {name:<14}  {event}", time_of_day(now_ms))
        };
        // A terminal that went away must not take the system with it.
        let _ = writeln!(stdout().lock(), "{line}");
    }
}

fn time_of_day(now_ms: u128) -> String {
    let of_day = now_ms % 86_400_000;
    let (hours, minutes) = (of_day / 3_600_000, of_day / 60_000 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03}", of_day / 1000 % 60, of_day % 1000)
}

#[cfg(test)]
mod tests {
    #[test]
    fn time_is_the_time_of_day() {
        assert_eq!(super::time_of_day(86_400_000 + 3_600_000 + 61_000 + 7), "01:01:01.007");
    }
}
