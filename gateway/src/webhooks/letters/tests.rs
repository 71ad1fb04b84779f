//! Letters on a real disk, beside a model of what an address was told.

use std::path::Path;

use events::ids::AccountId;
use projections::webhook::Webhook;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::webhooks::progress::Store;

const MAX: u64 = 12;
const SUBJECTS: usize = 3;

fn webhook(n: u128) -> WebhookId {
    WebhookId::from_uuid(Uuid::from_u128(n))
}

fn letter(position: Position, subject: Option<&str>, type_name: &str, error: LetterError) -> Letter {
    Letter {
        position,
        type_name: type_name.to_owned(),
        subject: subject.map(str::to_owned),
        error,
        status: None,
        no_answer: None,
        attempts: 0,
        tried_at: None,
        parked_at: Timestamp::from_ms(i64::try_from(position).unwrap()),
    }
}

fn row() -> Webhook {
    Webhook {
        webhook: webhook(1),
        account: AccountId::from_uuid(Uuid::nil()),
        url: "https://a.example".parse().unwrap(),
        types: ["*".parse().unwrap()].into(),
        on: true,
        disabled: None,
        secret: events::Hash::ZERO,
        replaced: None,
        reached: 0,
        registered_at: Timestamp::from_ms(0),
        changed_at: 0,
    }
}

/// Something that happens to an address.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// It is told of the next event, which is about a subject, and takes it or does not.
    Told { subject: usize, is_taken: bool },
    /// Somebody has a lane redriven.
    Asked { subject: usize },
    /// The first letter of a lane that is redriven is tried.
    Tried { is_taken: bool },
    /// Somebody has it told again from so many events before.
    Again { back: u64 },
    /// The process is started anew.
    Restarted,
}

fn step() -> impl Strategy<Value = Step> {
    let subject = 0..SUBJECTS;
    prop_oneof![
        8 => (subject.clone(), prop::bool::weighted(0.6))
            .prop_map(|(subject, is_taken)| Step::Told { subject, is_taken }),
        3 => subject.prop_map(|subject| Step::Asked { subject }),
        4 => prop::bool::weighted(0.7).prop_map(|is_taken| Step::Tried { is_taken }),
        1 => (0..8u64).prop_map(|back| Step::Again { back }),
        1 => Just(Step::Restarted),
    ]
}

/// An address, with all that happened and what it was told of it.
struct Run<'a> {
    dir: &'a Path,
    store: Option<Store>,
    progress: Progress,
    /// The subject of the event at each position, from 1.
    happened: Vec<usize>,
    told: Vec<Vec<Position>>,
}

impl Run<'_> {
    fn new(dir: &Path) -> Run<'_> {
        let store = Some(Store::open(dir).unwrap());
        let (progress, happened) = (Progress::default(), Vec::new());
        Run { dir, store, progress, happened, told: vec![Vec::new(); SUBJECTS] }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn parked(&self, subject: usize) -> Vec<Position> {
        let filter = LetterFilter { subject: Some(subject.to_string()), ..LetterFilter::default() };
        let found = self.store().letters.list(webhook(1), &filter, 0, usize::MAX).unwrap();
        found.into_iter().map(|letter| letter.position).collect()
    }

    fn goes_on(&mut self, subject: usize, is_taken: bool) {
        let position = self.progress.position + 1;
        if self.happened.len() < usize::try_from(position).unwrap() {
            self.happened.push(subject);
        }
        let subject = self.happened[usize::try_from(position).unwrap() - 1];
        let progress = Progress { position, ..self.progress };
        let name = subject.to_string();
        let event = |error| letter(position, Some(&name), "order.placed.v1", error);
        let letters = &self.store().letters;
        let behind = letters.park_behind(webhook(1), &event(LetterError::Behind), &progress, MAX).unwrap();
        let parked = match behind {
            Some(parked) => parked,
            None if is_taken => {
                assert!(self.store().keep(webhook(1), &progress).unwrap());
                self.told[subject].push(position);
                Parked::Done
            }
            None => letters.park(webhook(1), &event(LetterError::Refused), &progress, MAX).unwrap(),
        };
        match parked {
            Parked::Done => self.progress = progress,
            Parked::Full => assert_eq!(self.store().letters.count(webhook(1)), MAX),
            Parked::Over => panic!("nobody has it go elsewhere meanwhile"),
        }
    }

    fn does(&mut self, step: Step) {
        match step {
            Step::Told { subject, is_taken } => self.goes_on(subject, is_taken),
            Step::Asked { subject } => {
                let filter = LetterFilter { subject: Some(subject.to_string()), ..LetterFilter::default() };
                let waiting = self.parked(subject).len() as u64;
                let marked = self.store().letters.mark(webhook(1), &filter, 7).unwrap();
                assert_eq!(marked, (u64::from(waiting > 0), waiting));
            }
            Step::Tried { is_taken } => {
                let letters = &self.store().letters;
                let Some(marked) = letters.marked(webhook(1)).unwrap().into_iter().next() else { return };
                assert_eq!(marked.views, 7);
                let first = letters.first(webhook(1), &marked.lane).unwrap().unwrap();
                if is_taken {
                    letters.remove(webhook(1), &first).unwrap();
                    let subject: usize = first.subject.unwrap().parse().unwrap();
                    self.told[subject].push(first.position);
                } else {
                    let refused = Letter { error: LetterError::Refused, attempts: 9, ..first };
                    letters.keep(webhook(1), &refused, true).unwrap();
                    assert!(!letters.is_redriven(webhook(1), &refused).unwrap());
                    assert_eq!(letters.first(webhook(1), &marked.lane).unwrap(), Some(refused));
                }
            }
            Step::Again { back } => {
                let position = self.progress.position.saturating_sub(back);
                self.store().go_to(&row(), position).unwrap();
                self.progress = self.store().progress(webhook(1)).unwrap().unwrap();
                assert_eq!(self.progress.position, position);
                self.told.iter_mut().for_each(|told| told.retain(|told| *told <= position));
            }
            Step::Restarted => {
                drop(self.store.take());
                self.store = Some(Store::open(self.dir).unwrap());
                self.progress = self.store().progress(webhook(1)).unwrap().unwrap_or_default();
            }
        }
    }

    /// What it was told of a subject, and what waits, are all of it, in order; nothing else waits, or is redriven.
    fn holds(&self) {
        let letters = &self.store().letters;
        let mut waiting = 0;
        for subject in 0..SUBJECTS {
            let parked = self.parked(subject);
            let of_subject = (1..=self.progress.position)
                .filter(|position| self.happened[usize::try_from(*position).unwrap() - 1] == subject);
            let known: Vec<Position> = self.told[subject].iter().chain(&parked).copied().collect();
            assert_eq!(known, of_subject.collect::<Vec<_>>());
            waiting += parked.len() as u64;
        }
        assert_eq!(letters.count(webhook(1)), waiting);
        assert_eq!(letters.total(), waiting);
        let first = letters.list(webhook(1), &LetterFilter::default(), 0, 1).unwrap();
        assert_eq!(letters.first_position(webhook(1)).unwrap(), first.first().map(|letter| letter.position));
        for marked in letters.marked(webhook(1)).unwrap() {
            assert!(letters.first(webhook(1), &marked.lane).unwrap().is_some());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn what_was_told_of_a_subject_and_what_waits_of_it_are_all_of_it(steps in prop::collection::vec(step(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let mut run = Run::new(dir.path());
        for step in steps {
            run.does(step);
            run.holds();
        }
    }
}

#[test]
fn what_has_no_subject_waits_for_its_type_in_whatever_version() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let (letters, progress) = (&store.letters, Progress::default());
    let refused = |position, type_name| letter(position, None, type_name, LetterError::Refused);
    assert_eq!(letters.park(webhook(1), &refused(1, "tax.set.v1"), &progress, MAX).unwrap(), Parked::Done);
    let behind = |webhook, letter: &Letter| letters.park_behind(webhook, letter, &progress, MAX).unwrap();
    assert_eq!(behind(webhook(1), &refused(2, "tax.set.v2")), Some(Parked::Done));
    assert_eq!(behind(webhook(1), &refused(3, "tax.set_late.v1")), None);
    // Nor for what is about something that is called so, nor for another address.
    assert_eq!(behind(webhook(1), &letter(4, Some("tax.set"), "a.b.v1", LetterError::Refused)), None);
    assert_eq!(behind(webhook(2), &refused(5, "tax.set.v1")), None);
    letters.forget(webhook(1)).unwrap();
    assert_eq!((letters.count(webhook(1)), letters.total()), (0, 0));
    assert_eq!(behind(webhook(1), &refused(6, "tax.set.v1")), None);
}

#[test]
fn redriving_ends_when_somebody_wants_it_so_and_letters_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let (letters, progress) = (&store.letters, Progress::default());
    for (position, subject) in [(1, "a"), (2, "b"), (3, "a")] {
        let one = letter(position, Some(subject), "order.placed.v1", LetterError::Failed);
        letters.park(webhook(1), &one, &progress, MAX).unwrap();
    }
    assert_eq!(letters.mark(webhook(1), &LetterFilter::default(), 3).unwrap(), (2, 3));
    letters.unmark_all(webhook(1)).unwrap();
    assert_eq!(letters.marked(webhook(1)).unwrap(), []);
    // What was told late of an address that goes elsewhere now makes no letter.
    store.go_to(&row(), 2).unwrap();
    let late = letter(4, Some("a"), "order.placed.v1", LetterError::Failed);
    assert_eq!(letters.park(webhook(1), &late, &progress, MAX).unwrap(), Parked::Over);
    assert_eq!(letters.count(webhook(1)), 2);
}
