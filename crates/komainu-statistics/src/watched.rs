//! Which days were not watched: sensors that fell silent are no calm.

use std::collections::BTreeMap;

/// Days before a silence that say how much a sensor sees as a rule.
const BEFORE_DAYS: usize = 14;

/// So many of these days a sensor must have seen something: of one that seldom sees anything, a day without says nothing.
const SEEN_DAYS_MIN: usize = 10;

/// So long somebody counts as silent, in days. Who is not heard of any longer is gone, and less is the usual from then on.
const SILENT_DAYS_MAX: usize = 28;

/// Silent sensors that see this part of all as a rule leave too little to compare with.
const SILENT_SHARE_MIN: f64 = 0.25;

/// The days of which counts say nothing, because too many of those who watch were silent. `counts` are those of each sensor, a
/// day each, all equally long; the result is as long.
pub fn unwatched_days(counts: &BTreeMap<String, Vec<u64>>) -> Vec<bool> {
    let days = counts.values().map(Vec::len).min().unwrap_or(0);
    // What everybody would have seen as a rule, and how much of it those who were silent.
    let (mut usual, mut silent) = (vec![0.0; days], vec![0.0; days]);
    for seen in counts.values() {
        let (mut expected, mut silent_days, mut is_regular) = (0.0, 0, false);
        for day in 0..days {
            if seen[day] > 0 {
                silent_days = 0;
                expected = seen[day] as f64;
            } else if silent_days == 0 {
                let before = &seen[day.saturating_sub(BEFORE_DAYS)..day];
                let seen_days = before.iter().filter(|count| **count > 0).count();
                is_regular = seen_days >= SEEN_DAYS_MIN;
                expected = before.iter().sum::<u64>() as f64 / seen_days.max(1) as f64;
                silent_days = 1;
            } else {
                silent_days += 1;
            }
            match silent_days {
                0 => usual[day] += expected,
                1..=SILENT_DAYS_MAX if is_regular => {
                    usual[day] += expected;
                    silent[day] += expected;
                }
                _ => {}
            }
        }
    }
    usual.iter().zip(&silent).map(|(usual, silent)| *silent > 0.0 && silent / usual >= SILENT_SHARE_MIN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For each sensor a letter a day: digits are hundreds of attacks.
    fn check(sensors: &[&str], expected: &str) {
        let counts = sensors.iter().enumerate().map(|(place, days)| {
            let days = days.bytes().map(|digit| u64::from(digit - b'0') * 100).collect();
            (place.to_string(), days)
        });
        let found = unwatched_days(&counts.collect());
        let found: String = found.iter().map(|is_unwatched| if *is_unwatched { 'x' } else { '.' }).collect();
        assert_eq!(found, expected, "{sensors:?}");
    }

    #[test]
    fn silent_sensors_are_no_calm() {
        check(&[], "");
        check(&["11111111111111"], "..............");
        // The only one falls silent, and comes back.
        check(&["1111111111110011"], "............xx..");
        // One of two.
        check(&["1111111111111100", "1111111111111111"], "..............xx");
        // One who sees a tenth of all.
        check(&["1111111111111100", "9999999999999999"], "................");
        // Who was seldom seen is not missed.
        check(&["1000100010001000", "1111111111111111"], "................");
        // Too young to be missed.
        check(&["1111100000"], "..........");
    }

    #[test]
    fn who_is_gone_is_gone() {
        let days = "1".repeat(14) + &"0".repeat(40);
        let others = "1".repeat(54);
        check(&[&days, &others], &(".".repeat(14) + &"x".repeat(28) + &".".repeat(12)));
    }
}
