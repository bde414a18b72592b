//! When a group takes updates: windows that come again every week, and what becomes of an update outside of them.
//!
//! All times are UTC. A clock of a time zone would jump twice a year, and a window with it.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codec::DecodeError;
use crate::limits::MAX_UPDATE_WINDOWS;

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// A day of the week, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Weekday {
    /// All of them, Monday first.
    pub const ALL: [Self; 7] =
        [Self::Monday, Self::Tuesday, Self::Wednesday, Self::Thursday, Self::Friday, Self::Saturday, Self::Sunday];

    /// The name as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Monday => "monday",
            Self::Tuesday => "tuesday",
            Self::Wednesday => "wednesday",
            Self::Thursday => "thursday",
            Self::Friday => "friday",
            Self::Saturday => "saturday",
            Self::Sunday => "sunday",
        }
    }
}

/// A time of day in UTC, to the minute: `00:00` to `24:00`, which is the end of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay {
    minutes: u16,
}

impl TimeOfDay {
    /// The end of the day.
    pub const END: Self = Self { minutes: DAY };

    /// Minutes since the day began.
    pub fn minutes(self) -> u16 {
        self.minutes
    }
}

/// A text is no time of day. Nothing happened; write it as the message says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time of day: write HH:MM, from 00:00 to 24:00")]
pub struct NoTimeOfDay(String);

impl FromStr for TimeOfDay {
    type Err = NoTimeOfDay;

    fn from_str(text: &str) -> Result<Self, NoTimeOfDay> {
        let number = |digits: &str, largest: u16| {
            let plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse::<u16>().ok().filter(|number| plain && *number <= largest)
        };
        let minutes = text
            .split_once(':')
            .and_then(|(hours, minutes)| Some(number(hours, 24)? * 60 + number(minutes, 59)?))
            .filter(|minutes| *minutes <= DAY);
        match minutes {
            Some(minutes) => Ok(Self { minutes }),
            None => Err(NoTimeOfDay(text.chars().take(16).collect())),
        }
    }
}

impl TryFrom<String> for TimeOfDay {
    type Error = NoTimeOfDay;

    fn try_from(text: String) -> Result<Self, NoTimeOfDay> {
        text.parse()
    }
}

impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> Self {
        time.to_string()
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}

/// A span of time on some days of every week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpdateWindow {
    /// The days on which it opens, in UTC; every day if it names none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    pub days: Vec<Weekday>,
    /// When it opens, in UTC, as `HH:MM`.
    #[schemars(with = "String", regex(pattern = r"^[0-2][0-9]:[0-5][0-9]$"))]
    pub from: TimeOfDay,
    /// When it closes, in UTC, as `HH:MM`: on the same day if that is later than `from`, else on the next day. `24:00` is the
    /// end of the day.
    #[schemars(with = "String", regex(pattern = r"^[0-2][0-9]:[0-5][0-9]$"))]
    pub until: TimeOfDay,
}

impl UpdateWindow {
    /// Refuses a window that is never open, or of which nobody can tell what it means.
    pub fn check(&self) -> Result<(), DecodeError> {
        let Self { days, from, until } = self;
        if from == until {
            let reason = format!("open and close at {from}: for all of a day write 00:00 until 24:00");
            return Err(refused(reason));
        }
        if *from == TimeOfDay::END {
            return Err(refused("open at 24:00: write 00:00, of the next day"));
        }
        match days.iter().enumerate().find(|(index, day)| days.iter().take(*index).any(|earlier| earlier == *day)) {
            Some((_, day)) => Err(refused(format!("name {} twice: name each day once", day.as_str()))),
            None => Ok(()),
        }
    }
}

/// What becomes of an update outside of all windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutsideWindow {
    /// It is refused with `outside_update_window` at once.
    #[default]
    Refuse,
    /// It waits if a window opens before its deadline, else it is refused.
    Queue,
}

/// When updates are taken. Queries are always taken, and so are the messages of a transaction that was begun in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpdateWindows {
    /// The windows; updates are taken while at least one is open.
    #[schemars(length(min = 1, max = 32))]
    pub windows: Vec<UpdateWindow>,
    /// What becomes of an update outside of all of them.
    #[serde(default)]
    pub outside: OutsideWindow,
}

impl UpdateWindows {
    /// Refuses windows that cannot be kept.
    pub(super) fn check(&self) -> Result<(), DecodeError> {
        if !(1..=MAX_UPDATE_WINDOWS).contains(&self.windows.len()) {
            return Err(refused(format!(
                "must name 1 to {MAX_UPDATE_WINDOWS} windows, or be left out to take updates always"
            )));
        }
        self.windows.iter().try_for_each(UpdateWindow::check)
    }
}

fn refused(reason: impl Into<String>) -> DecodeError {
    DecodeError::refused("update_windows", reason)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn windows(windows: serde_json::Value) -> UpdateWindows {
        serde_json::from_value(json!({ "windows": windows })).unwrap()
    }

    #[test]
    fn a_time_of_day_is_written_in_one_way() {
        for text in ["00:00", "06:30", "23:59", "24:00"] {
            assert_eq!(text.parse::<TimeOfDay>().unwrap().to_string(), text);
        }
        for text in ["", "6:30", "06:60", "24:01", "25:00", "+6:30", "06:30:00", "0630", "06-30", "ab:cd"] {
            assert!(text.parse::<TimeOfDay>().is_err(), "{text}");
        }
    }

    #[test]
    fn windows_that_make_sense_pass() {
        let plain = windows(json!([{"from": "22:00", "until": "06:00"}]));
        assert_eq!((plain.check(), plain.outside), (Ok(()), OutsideWindow::Refuse));
        assert_eq!(windows(json!([{"days": ["sunday"], "from": "00:00", "until": "24:00"}])).check(), Ok(()));
    }

    #[test]
    fn windows_that_make_no_sense_are_refused() {
        let many: Vec<_> = (0..=MAX_UPDATE_WINDOWS).map(|_| json!({"from": "01:00", "until": "02:00"})).collect();
        for (wrong, reason) in [
            (json!([]), "1 to 32"),
            (json!(many), "1 to 32"),
            (json!([{"from": "06:00", "until": "06:00"}]), "open and close at 06:00"),
            (json!([{"from": "24:00", "until": "06:00"}]), "open at 24:00"),
            (json!([{"days": ["friday", "friday"], "from": "01:00", "until": "06:00"}]), "friday twice"),
        ] {
            let error = windows(wrong).check().unwrap_err().to_string();
            assert!(error.starts_with("`update_windows` ") && error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_day_has_its_name_on_the_wire() {
        for day in Weekday::ALL {
            assert_eq!(serde_json::to_value(day).unwrap(), day.as_str());
        }
    }
}
