//! Which words mean the same.

use std::collections::{BTreeSet, HashMap};

use super::text::words;

/// Most words that stand for one word: each is looked up in every segment. Of a word in many groups, those behind it in the order
/// of letters do not count.
const SYNONYMS_PER_WORD_MAX: usize = 32;

/// Words that stand for each other, folded.
#[derive(Debug, Default)]
pub(super) struct Synonyms(HashMap<String, Vec<String>>);

impl Synonyms {
    /// Takes groups of words of which each stands for every other. Of what folds to several words or none nothing is known.
    pub(super) fn new(groups: &[BTreeSet<String>]) -> Self {
        let mut known: HashMap<String, Vec<String>> = HashMap::new();
        for group in groups {
            let folded: BTreeSet<String> = group.iter().filter_map(|word| one(word)).collect();
            for word in &folded {
                let others = folded.iter().filter(|other| *other != word).cloned();
                known.entry(word.clone()).or_default().extend(others);
            }
        }
        for others in known.values_mut() {
            others.sort_unstable();
            others.dedup();
            others.truncate(SYNONYMS_PER_WORD_MAX);
        }
        Synonyms(known)
    }

    /// Gives the words that stand for a word.
    pub(super) fn of(&self, word: &str) -> &[String] {
        self.0.get(word).map_or(&[], Vec::as_slice)
    }
}

fn one(word: &str) -> Option<String> {
    let mut words = words(word).into_iter();
    let (first, second) = (words.next(), words.next());
    first.filter(|_| second.is_none()).map(|word| word.folded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_of_a_group_stands_for_the_others() {
        let group = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
        let synonyms =
            Synonyms::new(&[group(&["Sofa", "couch", "Kanapée"]), group(&["couch", "divan", "day-bed"])]);
        assert_eq!(synonyms.of("sofa"), ["couch", "kanapee"]);
        assert_eq!(synonyms.of("couch"), ["divan", "kanapee", "sofa"]);
        assert_eq!(synonyms.of("divan"), ["couch"]);
        assert_eq!(synonyms.of("day"), [""; 0]);
        let many: Vec<_> = (0..100).map(|n| group(&["sofa", &format!("couch{n:02}")])).collect();
        let synonyms = Synonyms::new(&many);
        assert_eq!(synonyms.of("sofa").len(), SYNONYMS_PER_WORD_MAX);
        assert_eq!(synonyms.of("couch99"), ["sofa"]);
    }
}
