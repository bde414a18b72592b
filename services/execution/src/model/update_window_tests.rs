//! Windows case by case, and beside a reference that goes minute by minute.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Monday, the 6th of July 2026, 00:00 UTC.
const MONDAY_MS: u64 = 1_783_296_000_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

fn windows(windows: Value) -> Vec<UpdateWindow> {
    serde_json::from_value(windows).unwrap()
}

fn next(schedule: &Schedule, utc_ms: u64) -> String {
    Moment { utc_ms: schedule.next_opening_ms(utc_ms).unwrap() }.to_string()
}

#[test]
fn a_window_over_midnight_belongs_to_the_day_on_which_it_opens() {
    let nights = windows(json!([
        {"days": ["monday", "tuesday", "wednesday", "thursday", "friday"], "from": "22:00", "until": "06:00"}
    ]));
    let schedule = Schedule::new(&nights);
    assert!(!schedule.is_open(MONDAY_MS + 5 * HOUR_MS), "Sunday night is none of these");
    assert_eq!(next(&schedule, MONDAY_MS), "2026-07-06T22:00:00Z");
    assert!(schedule.is_open(MONDAY_MS + 22 * HOUR_MS));
    assert!(schedule.is_open(MONDAY_MS + 30 * HOUR_MS - 1));
    assert!(!schedule.is_open(MONDAY_MS + 30 * HOUR_MS));
    assert!(schedule.is_open(MONDAY_MS + 5 * DAY_MS + 5 * HOUR_MS), "Saturday morning is Friday's night");
    assert_eq!(next(&schedule, MONDAY_MS + 5 * DAY_MS + 6 * HOUR_MS), "2026-07-13T22:00:00Z");
}

#[test]
fn sunday_night_reaches_into_the_next_week() {
    let schedule = Schedule::new(&windows(json!([{"days": ["sunday"], "from": "23:00", "until": "01:00"}])));
    assert!(schedule.is_open(MONDAY_MS + 59 * MINUTE_MS));
    assert!(!schedule.is_open(MONDAY_MS + HOUR_MS));
    assert_eq!(next(&schedule, MONDAY_MS + HOUR_MS), "2026-07-12T23:00:00Z");
}

#[test]
fn windows_that_touch_are_one() {
    let whole = Schedule::new(&windows(json!([{"from": "00:00", "until": "24:00"}])));
    assert_eq!(whole.spans, [Span { from: 0, until: WEEK }]);
    let halves = windows(json!([{"from": "12:00", "until": "00:00"}, {"from": "00:00", "until": "12:00"}]));
    assert_eq!(Schedule::new(&halves), whole);
}

#[test]
fn without_windows_it_is_never_open() {
    assert_eq!(Schedule::new(&[]).next_opening_ms(MONDAY_MS), None);
    assert!(!Schedule::new(&[]).is_open(MONDAY_MS));
}

fn window() -> impl Strategy<Value = UpdateWindow> {
    let time = |from: u16| (from..=1440u16).prop_map(|minutes| format!("{:02}:{:02}", minutes / 60, minutes % 60));
    let days = prop::sample::subsequence(Weekday::ALL.to_vec(), 0..=7);
    (days, time(0), time(0)).prop_filter_map("is never open", |(days, from, until)| {
        let window = UpdateWindow { days, from: from.parse().unwrap(), until: until.parse().unwrap() };
        window.check().is_ok().then_some(window)
    })
}

/// The rules as a person would read them off a calendar, for one minute.
fn open_in(windows: &[UpdateWindow], minute: u64) -> bool {
    let (day, time) = (minute / 1440, u16::try_from(minute % 1440).unwrap());
    let on = |window: &UpdateWindow, day: u64| {
        // The first day of 1970 was a Thursday, which is the third behind Monday.
        window.days.is_empty() || window.days.contains(&Weekday::ALL[((day + 3) % 7) as usize])
    };
    windows.iter().any(|window| {
        let (from, until) = (window.from.minutes(), window.until.minutes());
        if from < until {
            on(window, day) && (from..until).contains(&time)
        } else {
            (on(window, day) && time >= from) || (day > 0 && on(window, day - 1) && time < until)
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn agrees_with_a_calendar_read_minute_by_minute(
        windows in prop::collection::vec(window(), 1..5),
        minute in 1440u64..40_000_000,
        within_ms in 0..MINUTE_MS,
    ) {
        let schedule = Schedule::new(&windows);
        let utc_ms = minute * MINUTE_MS + within_ms;
        prop_assert_eq!(schedule.is_open(utc_ms), open_in(&windows, minute));
        let opens_ms = schedule.next_opening_ms(utc_ms).unwrap();
        let expected = (minute..=minute + u64::from(WEEK)).find(|minute| open_in(&windows, *minute)).unwrap();
        prop_assert_eq!(opens_ms, if expected == minute { utc_ms } else { expected * MINUTE_MS });
    }

    /// Whatever the clock says, there is an answer, and it is not in the past.
    #[test]
    fn any_moment_has_a_next_opening(windows in prop::collection::vec(window(), 1..5), utc_ms: u64) {
        let moment = Moment { utc_ms: Schedule::new(&windows).next_opening_ms(utc_ms).unwrap() };
        prop_assert!(moment.utc_ms >= utc_ms);
        prop_assert!(moment.to_string().ends_with('Z'));
    }
}
