//! What of a text was looked for, marked in HTML.

use super::matching::Understood;
use super::text::{Word, words};

/// Most characters of a description that are shown around the first word that was looked for.
const EXCERPT_LENGTH_MAX: usize = 200;
/// Most characters of them before that word.
const EXCERPT_BEFORE_MAX: usize = 60;

/// Marks in a text what was looked for: HTML, in which nothing of the text is markup.
pub(super) fn marked(text: &str, understood: &[Understood<'_>]) -> String {
    mark(text, 0..text.len(), &found(text, understood))
}

/// Marks what was looked for in the part of a text around the first of it; none: nothing of it is there.
pub(super) fn excerpt(text: &str, understood: &[Understood<'_>]) -> Option<String> {
    let found = found(text, understood);
    let first = found.first()?.from;
    let back = text[..first].char_indices().rev().take(EXCERPT_BEFORE_MAX);
    let from = back.last().map_or(first, |(at, _)| at);
    // Whole words only, unless one is longer than that.
    let from = match from {
        0 => 0,
        from => text[from..first].find(' ').map_or(from, |space| from + space + 1),
    };
    let rest = &text[from..];
    let to = match rest.char_indices().nth(EXCERPT_LENGTH_MAX) {
        None => text.len(),
        Some((end, _)) => from + rest[..end].rfind(' ').filter(|space| from + space > first).unwrap_or(end),
    };
    let (before, after) = (if from > 0 { "… " } else { "" }, if to < text.len() { " …" } else { "" });
    Some(format!("{before}{}{after}", mark(text, from..to, &found)))
}

/// Finds the words of a text that were looked for.
fn found(text: &str, understood: &[Understood<'_>]) -> Vec<Word> {
    let mut found = words(text);
    found.retain(|word| understood.iter().any(|understood| understood.is(&word.folded)));
    found
}

fn mark(text: &str, range: std::ops::Range<usize>, found: &[Word]) -> String {
    let mut html = String::with_capacity(range.len() + 13 * found.len());
    let mut at = range.start;
    for word in found.iter().filter(|word| word.from >= range.start && word.to <= range.end) {
        escape(&text[at..word.from], &mut html);
        html.push_str("<mark>");
        escape(&text[word.from..word.to], &mut html);
        html.push_str("</mark>");
        at = word.to;
    }
    escape(&text[at..range.end], &mut html);
    html
}

fn escape(text: &str, html: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked_for(word: &str) -> Vec<Understood<'_>> {
        vec![Understood::exactly(word)]
    }

    #[test]
    fn what_was_looked_for_is_marked_and_nothing_else_is_markup() {
        let text = "<b>Café</b> & \"cafe\u{301}\" 'tea'";
        let expected =
            "&lt;b&gt;<mark>Café</mark>&lt;/b&gt; &amp; &quot;<mark>cafe\u{301}</mark>&quot; &#39;tea&#39;";
        assert_eq!(marked(text, &looked_for("cafe")), expected);
        assert_eq!(marked("<script>", &looked_for("script")), "&lt;<mark>script</mark>&gt;");
    }

    #[test]
    fn an_excerpt_is_of_whole_words_around_the_first_that_was_found() {
        let far = format!("{}the tea is {}", "word ".repeat(40), "over ".repeat(100));
        let found = excerpt(&far, &looked_for("tea")).expect("it is there");
        assert!(found.starts_with("… word ") && found.contains("the <mark>tea</mark> is over"), "{found}");
        assert!(found.ends_with("over …"), "{found}");
        assert!(found.chars().count() < EXCERPT_LENGTH_MAX + 20, "{found}");
        assert_eq!(excerpt("a tea", &looked_for("tea")).as_deref(), Some("a <mark>tea</mark>"));
        assert_eq!(excerpt("a pot", &looked_for("tea")), None);
        let long = "é".repeat(300);
        let word = "e".repeat(40);
        assert!(excerpt(&long, &looked_for(&word)).is_some());
        let ideographs = "抹茶".repeat(300);
        assert!(excerpt(&ideographs, &looked_for("茶")).expect("it is there").contains("<mark>茶</mark>"));
    }
}
