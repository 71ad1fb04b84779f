//! How a text becomes words: the same for what is looked for, what is found, and what of it is marked.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Longest word that is told apart, in bytes; of a longer one only so much counts.
pub(super) const WORD_BYTES_MAX: usize = 40;

/// A word of a text, folded, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// Without case, accents and other forms of the same letters.
    pub(super) folded: String,
    /// Its first byte in the text.
    pub(super) from: usize,
    /// The byte behind its last.
    pub(super) to: usize,
}

/// Cuts a text into its words. Letters and digits make words, and each sign of a script without spaces is one of its own.
pub(super) fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut is_open = false;
    for (at, letter) in text.char_indices() {
        let end = at + letter.len_utf8();
        // An accent of its own belongs to the letter before it.
        if is_combining_mark(letter) {
            if is_open && let Some(word) = words.last_mut() {
                word.to = end;
            }
            continue;
        }
        if !letter.is_alphanumeric() {
            is_open = false;
            continue;
        }
        let stands_alone = is_of_script_without_spaces(letter);
        if !is_open || stands_alone {
            words.push(Word { folded: String::new(), from: at, to: end });
        }
        is_open = !stands_alone;
        if let Some(word) = words.last_mut() {
            word.to = end;
            fold(letter, &mut word.folded);
        }
    }
    words.retain_mut(|word| {
        if word.folded.len() > WORD_BYTES_MAX {
            let end = (0..=WORD_BYTES_MAX).rev().find(|end| word.folded.is_char_boundary(*end));
            word.folded.truncate(end.unwrap_or(0));
        }
        !word.folded.is_empty()
    });
    words
}

/// Gives the beginning of a word, up to `letters` letters; none: it is shorter.
pub(super) fn beginning(word: &str, letters: usize) -> Option<&str> {
    match word.char_indices().nth(letters) {
        Some((end, _)) => Some(&word[..end]),
        None if word.chars().count() == letters => Some(word),
        None => None,
    }
}

/// Writes a letter without case and accents.
fn fold(letter: char, out: &mut String) {
    if letter.is_ascii() {
        // As below, but for most texts much sooner.
        out.push(letter.to_ascii_lowercase());
        return;
    }
    if is_hangul(letter) {
        // One letter each to its readers; taken apart it would be several.
        out.push(letter);
        return;
    }
    for part in std::iter::once(letter).nfkd().filter(|part| !is_combining_mark(*part)) {
        for lower in part.to_lowercase().filter(|lower| !is_combining_mark(*lower)) {
            match lower {
                'ß' => out.push_str("ss"),
                'æ' => out.push_str("ae"),
                'œ' => out.push_str("oe"),
                'ø' => out.push('o'),
                'đ' | 'ð' => out.push('d'),
                'ł' => out.push('l'),
                'þ' => out.push_str("th"),
                'ı' => out.push('i'),
                'ς' => out.push('σ'),
                other if other.is_alphanumeric() => out.push(other),
                _ => {}
            }
        }
    }
}

fn is_hangul(letter: char) -> bool {
    matches!(letter, '\u{ac00}'..='\u{d7a3}')
}

/// Tells whether a sign is of a script that is written without spaces between words: Han, kana.
fn is_of_script_without_spaces(letter: char) -> bool {
    matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3134f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> Vec<String> {
        words(text).into_iter().map(|word| word.folded).collect()
    }

    #[test]
    fn case_accents_and_forms_make_no_difference() {
        for (text, expected) in [
            ("Café CRÈME", vec!["cafe", "creme"]),
            ("Cafe\u{301}", vec!["cafe"]),
            ("Straße STRASSE", vec!["strasse", "strasse"]),
            ("Øre Łódź Þór Æon", vec!["ore", "lodz", "thor", "aeon"]),
            ("ﬁne ２０ ℃", vec!["fine", "20"]),
            ("tea-pot, 2.5l", vec!["tea", "pot", "2", "5l"]),
            ("ΟΔΟΣ οδός", vec!["οδοσ", "οδοσ"]),
            ("Чай ЧАЙ", vec!["чаи", "чаи"]),
            ("抹茶 matcha", vec!["抹", "茶", "matcha"]),
            ("녹차", vec!["녹차"]),
            ("", vec![]),
            ("— !?", vec![]),
        ] {
            assert_eq!(folded(text), expected, "{text}");
        }
    }

    #[test]
    fn words_know_where_they_stand_and_long_ones_are_cut() {
        let text = "a Cafe\u{301}!";
        let found = words(text);
        assert_eq!(&text[found[1].from..found[1].to], "Cafe\u{301}");
        assert_eq!(words(&"é".repeat(100))[0].folded.len(), WORD_BYTES_MAX);
        assert_eq!(words(&"抹".repeat(100)).len(), 100);
        let cut = &words(&"я".repeat(30))[0];
        assert_eq!((cut.folded.chars().count(), cut.to), (20, 60));
    }

    #[test]
    fn a_beginning_has_so_many_letters() {
        assert_eq!(beginning("äbc", 2), Some("äb"));
        assert_eq!(beginning("äb", 2), Some("äb"));
        assert_eq!(beginning("ä", 2), None);
    }
}
