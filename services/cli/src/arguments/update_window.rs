//! How an update window is written on the command line: `mon-fri 22:00-06:00`, `sat,sun 00:00-24:00`, `03:00-04:00`. All in UTC.

use clap::ValueEnum;
use holdfast_schemas::message::{OutsideWindow, UpdateWindow, Weekday};

/// What is to become of updates outside of all windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Outside {
    /// They are refused, and told when the next window opens
    Refuse,
    /// They wait if a window opens before their deadline, else they are refused
    Queue,
}

impl From<Outside> for OutsideWindow {
    fn from(value: Outside) -> Self {
        match value {
            Outside::Refuse => Self::Refuse,
            Outside::Queue => Self::Queue,
        }
    }
}

const FORM: &str = "write it as \"[DAYS] HH:MM-HH:MM\" in UTC, where DAYS is as in mon-fri or sat,sun";

/// Reads one window.
pub fn parse(text: &str) -> Result<UpdateWindow, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (days, times) = match words[..] {
        [times] => (Vec::new(), times),
        [days, times] => (parse_days(days)?, times),
        _ => return Err(format!("{} words are not a window: {FORM}", words.len())),
    };
    let (from, until) = times.split_once('-').ok_or_else(|| format!("{times:?} has no end: {FORM}"))?;
    let time = |text: &str| text.parse().map_err(|error| format!("{error}; {FORM}"));
    let window = UpdateWindow { days, from: time(from)?, until: time(until)? };
    window.check().map_err(|error| error.to_string())?;
    Ok(window)
}

fn parse_days(text: &str) -> Result<Vec<Weekday>, String> {
    let mut days = Vec::new();
    for part in text.split(',') {
        match part.split_once('-') {
            None => days.push(parse_day(part)?),
            Some((first, last)) => days.extend(range(parse_day(first)?, parse_day(last)?)),
        }
    }
    Ok(days)
}

/// The days from one to the other; `sat-mon` goes over the end of the week.
fn range(first: Weekday, last: Weekday) -> Vec<Weekday> {
    let mut days: Vec<_> = Weekday::ALL.into_iter().cycle().skip_while(|day| *day != first).take(7).collect();
    let count = days.iter().position(|day| *day == last).map_or(7, |place| place + 1);
    days.truncate(count);
    days
}

fn parse_day(text: &str) -> Result<Weekday, String> {
    let name = text.to_ascii_lowercase();
    let means = |day: &Weekday| name == day.as_str() || name == short(*day);
    Weekday::ALL.into_iter().find(means).ok_or_else(|| {
        let known: Vec<_> = Weekday::ALL.into_iter().map(short).collect();
        format!("{text:?} is no day, the days are {}: {FORM}", known.join(", "))
    })
}

/// The first three letters.
fn short(day: Weekday) -> &'static str {
    day.as_str().get(..3).unwrap_or_default()
}

/// Writes a window as it can be typed.
#[must_use]
pub fn write(window: &UpdateWindow) -> String {
    let days: Vec<_> = window.days.iter().copied().map(short).collect();
    let separator = if days.is_empty() { "" } else { " " };
    format!("{}{separator}{}-{}", days.join(","), window.from, window.until)
}

#[cfg(test)]
mod tests {
    use super::{parse, write};

    #[test]
    fn a_window_is_written_as_it_can_be_read() {
        for (typed, written) in [
            ("mon-fri 22:00-06:00", "mon,tue,wed,thu,fri 22:00-06:00"),
            ("sat,sun 00:00-24:00", "sat,sun 00:00-24:00"),
            ("Saturday-Monday  01:00-02:00", "sat,sun,mon 01:00-02:00"),
            ("sun-sun 01:00-02:00", "sun 01:00-02:00"),
            ("03:00-04:30", "03:00-04:30"),
        ] {
            let window = parse(typed).unwrap();
            assert_eq!(write(&window), written, "{typed}");
            assert_eq!(parse(written), Ok(window));
        }
    }

    #[test]
    fn what_is_mistyped_is_refused_with_the_form() {
        for (text, reason) in [
            ("", "0 words"),
            ("mon - fri 22:00-06:00", "4 words"),
            ("mon 22:00", "no end"),
            ("mon 22-06", "no time of day"),
            ("mon 22:00-25:00", "no time of day"),
            ("mo 22:00-06:00", "no day"),
            ("mon- 22:00-06:00", "no day"),
            ("mon,fri,mon 22:00-06:00", "twice"),
            ("22:00-22:00", "open and close"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
            assert!(error.contains("in UTC") || error.contains("`update_windows`"), "{text}: {error}");
        }
    }
}
