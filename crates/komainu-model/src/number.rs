//! Numbers for people.

/// A whole number in groups of three digits, with something between them: `52000` as `52,000`.
pub fn grouped(number: u128, between: char) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(between);
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_in_groups() {
        let check = |number, expected: &str| assert_eq!(grouped(number, ','), expected);
        check(0, "0");
        check(999, "999");
        check(1_000, "1,000");
        check(52_000, "52,000");
        check(1_234_567, "1,234,567");
        check(u128::MAX, "340,282,366,920,938,463,463,374,607,431,768,211,455");
    }
}
