//! Finds what looks like a card's number in a text, so that none is ever stored or logged.

/// Fewest and most digits of a card's number.
const DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

/// Tells whether a text has 13 to 19 digits, alone or in groups with spaces or dashes between them, whose last one is
/// their check digit. What stands beside them, such as a date, makes them no other number. The digits of a UUID are none:
/// such ids stand in many texts, and one in some hundred would look like a card.
pub fn looks_like_a_number(text: &str) -> bool {
    let of_number = |character: char| character.is_ascii_digit() || matches!(character, ' ' | '-');
    let text = without_uuids(text);
    text.split(|character| !of_number(character)).any(|run| {
        let groups: Vec<&str> = run.split([' ', '-']).filter(|group| !group.is_empty()).collect();
        (0..groups.len()).any(|first| begins_a_number(&groups[first..]))
    })
}

/// Puts a letter in place of each UUID.
fn without_uuids(text: &str) -> String {
    let mut rest = text;
    let mut kept = String::with_capacity(text.len());
    while let Some(character) = rest.chars().next() {
        let id = rest.get(..uuid::fmt::Hyphenated::LENGTH);
        let is_uuid = id.is_some_and(|id| uuid::Uuid::try_parse(id).is_ok());
        kept.push(if is_uuid { 'u' } else { character });
        rest = &rest[if is_uuid { uuid::fmt::Hyphenated::LENGTH } else { character.len_utf8() }..];
    }
    kept
}

/// Tells whether the first of some groups of digits, alone or with the next ones, are a card's number.
fn begins_a_number(groups: &[&str]) -> bool {
    let mut digits: Vec<u32> = Vec::with_capacity(*DIGITS.end());
    for group in groups {
        digits.extend(group.chars().filter_map(|digit| digit.to_digit(10)));
        if digits.len() > *DIGITS.end() {
            return false;
        }
        if DIGITS.contains(&digits.len()) && has_check_digit(&digits) {
            return true;
        }
    }
    false
}

/// Checks the last digit by ISO/IEC 7812-1 (Luhn).
fn has_check_digit(digits: &[u32]) -> bool {
    let weighed = digits.iter().rev().zip([1, 2].into_iter().cycle()).map(|(digit, weight)| {
        let weighed = digit * weight;
        if weighed > 9 { weighed - 9 } else { weighed }
    });
    weighed.sum::<u32>() % 10 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_numbers_of_the_schemes_are_found_however_they_are_written() {
        for card in [
            "4242424242424242",
            "4242 4242 4242 4242",
            "5555-5555-5555-4444",
            "378282246310005",
            "my card is 4000 0000 0000 9995, thanks",
            "6011111111111117x",
            "4222222222222",
            "x4000002500003155 ",
            "4242  4242--4242 4242",
            "4242 4242 4242 4242 123",
            "no. 7 4242424242424242 12/29",
            "0190b5a0-7c00-7000-8000-000000000001 4242424242424242",
        ] {
            assert!(looks_like_a_number(card), "{card}");
        }
    }

    #[test]
    fn other_numbers_are_none() {
        for other in [
            "",
            "a",
            "4242424242424241",
            "424242424242",
            "42424242424242424242",
            "4242.4242.4242.4242",
            "pm_card_visa",
            "0190b5a0-7c00-7000-8000-000000000001",
            // Its last groups would be a number with its check digit.
            "for 01a2111a-a7d5-7242-4242-424242424242",
            "ü0190b5a0-7c00-7000-4242-424242424242ü",
            "1Z999AA10123456784",
        ] {
            assert!(!looks_like_a_number(other), "{other}");
        }
    }
}
