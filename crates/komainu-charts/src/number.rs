//! Numbers as people read them.

/// Between groups of three digits.
const THIN_SPACE: char = '\u{2009}';

/// A whole number in groups of three digits, `12 090`.
pub(crate) fn grouped(number: u128) -> String {
    komainu_model::grouped(number, THIN_SPACE)
}

/// A measured value: whole ones in groups, others with at most three digits after the point; very large and very small
/// ones with an exponent.
pub(crate) fn value(number: f64) -> String {
    let size = number.abs();
    if !number.is_finite() {
        return "–".to_owned();
    }
    if size != 0.0 && !(0.001..1e21).contains(&size) {
        return format!("{number:.2e}").replacen('-', "−", 1);
    }
    let rounded = (size * 1000.0).round() / 1000.0;
    // Below 10^21, so it fits.
    let whole = grouped(rounded.trunc() as u128);
    let part = format!("{:.3}", rounded.fract());
    let part = part.trim_start_matches('0').trim_end_matches('0').trim_end_matches('.');
    let sign = if number < 0.0 && rounded != 0.0 { "−" } else { "" };
    format!("{sign}{whole}{part}")
}

/// A value short enough for an axis: from 100 000 on with the prefixes of SI, `250 k`, `1.5 M`, `18.4 E`.
pub(crate) fn short(number: f64) -> String {
    const PREFIXES: [(f64, &str); 6] = [(1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let size = number.abs();
    if !(1e5..1e21).contains(&size) {
        return value(number);
    }
    let (unit, prefix) = PREFIXES.into_iter().find(|(unit, _)| size >= *unit).unwrap_or((1.0, ""));
    let scaled = number / unit;
    let digits = if scaled.abs() >= 100.0 { 0 } else { 2 };
    let text = format!("{scaled:.digits$}").replacen('-', "−", 1);
    let text = if digits > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{THIN_SPACE}{prefix}")
}

/// A part of a whole, `27 %`; what is not nothing is never shown as `0 %`, nor what is not all as `100 %`.
pub(crate) fn share(part: u128, whole: u128) -> String {
    if whole == 0 || part == 0 {
        return format!("0{THIN_SPACE}%");
    }
    let percent = part as f64 / whole as f64 * 100.0;
    let text = match percent {
        _ if percent < 0.1 => "<\u{2009}0.1".to_owned(),
        _ if part < whole && percent > 99.9 => ">\u{2009}99.9".to_owned(),
        _ if percent < 9.95 || (part < whole && percent >= 99.5) => format!("{percent:.1}"),
        _ => format!("{percent:.0}"),
    };
    format!("{text}{THIN_SPACE}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: String) -> String {
        text.replace(THIN_SPACE, " ")
    }

    #[test]
    fn digits_stand_in_groups() {
        let check = |number: u128, expected: &str| assert_eq!(plain(grouped(number)), expected);
        check(0, "0");
        check(999, "999");
        check(4980, "4 980");
        check(112_712, "112 712");
        check(u128::from(u64::MAX), "18 446 744 073 709 551 615");
    }

    #[test]
    fn axes_have_short_numbers() {
        let check = |number: f64, expected: &str| assert_eq!(plain(short(number)), expected);
        check(0.0, "0");
        check(0.25, "0.25");
        check(2500.0, "2 500");
        check(250_000.0, "250 k");
        check(1_250_000.0, "1.25 M");
        check(-1_500_000.0, "−1.5 M");
        check(1.8446744e19, "18.45 E");
        check(1e30, "1.00e30");
        check(f64::NAN, "–");
    }

    #[test]
    fn values_keep_three_digits_after_the_point() {
        let check = |number: f64, expected: &str| assert_eq!(plain(value(number)), expected);
        check(1234.5, "1 234.5");
        check(-0.125, "−0.125");
        check(0.1 + 0.2, "0.3");
        check(0.9999, "1");
        check(-0.0, "0");
        check(0.0001, "1.00e−4");
        check(f64::INFINITY, "–");
    }

    #[test]
    fn a_share_never_hides_a_rest() {
        let check = |part: u128, whole: u128, expected: &str| assert_eq!(plain(share(part, whole)), expected);
        check(27, 100, "27 %");
        check(0, 100, "0 %");
        check(100, 100, "100 %");
        check(1, 1_000_000, "< 0.1 %");
        check(999_999, 1_000_000, "> 99.9 %");
        check(997, 1_000, "99.7 %");
        check(5, 1_000, "0.5 %");
        check(1, 0, "0 %");
    }
}
