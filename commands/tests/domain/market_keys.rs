//! The market's own key is rotated: the present one announces the next, two are live for a while, and who trusts one can follow.

use crate::support::*;
use commands::Refusal;
use commands::command::{RetireMarketKey, RotateMarketKey};
use commands::crypto::{SigningKey, VerifyingKey};
use commands::market_key::{Announcement, AnnouncementError, follow};
use events::Rejection;
use events::account::{Algorithm, Role};
use events::ids::{KeyId, MarketName};
use events::market::{KeyAnnounced, KeyRetired};
use events::rejection::MarketKeyProblem;

fn market() -> MarketName {
    "main".parse().unwrap()
}

fn new_key(n: u8) -> SigningKey {
    SigningKey::from_seed(Algorithm::EdDsa, [n; 32]).unwrap()
}

fn announced(previous: &SigningKey, new: &SigningKey) -> RotateMarketKey {
    let Announcement { announcement, proof } = Announcement::sign(&market(), previous, new);
    RotateMarketKey { announcement, proof }
}

fn problem(problem: MarketKeyProblem) -> [Rejection; 1] {
    [Rejection::MarketKey { problem }]
}

fn live(world: &World) -> Vec<KeyId> {
    world.market.keys.live().map(|known| known.key.id()).collect()
}

#[test]
fn the_announced_key_is_the_present_one_and_the_one_before_stays_live_until_it_is_retired() {
    let mut world = World::new();
    let (first, second, third) = (market_key(), new_key(2), new_key(3));
    assert_eq!(live(&world), [first.id()]);
    let rotation = announced(&first, &second);
    let RotateMarketKey { announcement, proof } = rotation.clone();
    let event = KeyAnnounced { announcement, key: second.public(), previous: first.id(), proof };
    world.after(DAY_MS).when(REGISTRAR, rotation.clone()).then_events([event.into()]);
    assert_eq!(live(&world), [second.id(), first.id()]);
    assert_eq!(world.market.keys.current().unwrap().from, world.now);
    // The same wish again, under another command id.
    world.when(OPERATOR, rotation).then_unchanged();
    // A third beside two.
    let early = announced(&second, &third);
    world
        .when(OPERATOR, early.clone())
        .then_rejected(problem(MarketKeyProblem::StillLive { previous: first.id() }));
    let retire = RetireMarketKey { key: first.id() };
    world.when(OPERATOR, retire.clone()).then_events([KeyRetired { key: first.id() }.into()]);
    world.when(OPERATOR, retire).then_unchanged();
    assert_eq!(live(&world), [second.id()]);
    world.when(REGISTRAR, early).then_types(["market.key_announced.v1"]);
    assert_eq!(live(&world), [third.id(), second.id()]);
}

#[test]
fn a_forged_announcement_is_rejected() {
    let mut world = World::new();
    let (first, second) = (market_key(), new_key(2));
    let current = first.id();
    let good = announced(&first, &second);
    // By somebody else's key, which says that it is the market's.
    world
        .when(OPERATOR, announced(&new_key(7), &second))
        .then_rejected(problem(MarketKeyProblem::NotAnnounced { current }));
    // Its signature changed; its new key changed under the signature; the word of another new key.
    let (body, signature) = good.announcement.rsplit_once('.').unwrap();
    let other = announced(&first, &new_key(8));
    let (other_body, other_signature) = other.announcement.rsplit_once('.').unwrap();
    for forged in [format!("{body}.{other_signature}"), format!("{other_body}.{signature}")] {
        let command = RotateMarketKey { announcement: forged, ..good.clone() };
        world.when(OPERATOR, command).then_rejected(problem(MarketKeyProblem::NotAnnounced { current }));
    }
    let unproven = RotateMarketKey { proof: other.proof, ..good.clone() };
    world.when(OPERATOR, unproven).then_rejected(problem(MarketKeyProblem::NotProven));
    let swapped = RotateMarketKey { proof: good.announcement.clone(), ..good.clone() };
    world.when(OPERATOR, swapped).then_rejected(problem(MarketKeyProblem::NotProven));
    let Announcement { announcement, proof } = Announcement::sign(&"other".parse().unwrap(), &first, &second);
    world
        .when(OPERATOR, RotateMarketKey { announcement, proof })
        .then_rejected(problem(MarketKeyProblem::OtherMarket));
    world
        .when(OPERATOR, announced(&first, &first))
        .then_rejected(problem(MarketKeyProblem::Used { key: current }));
    let command = RotateMarketKey { announcement: "a.b.c".to_owned(), ..good };
    world.when(OPERATOR, command);
    let events = world.events();
    let [events::Event::CommandRejected(rejected)] = events else { panic!("{events:?}") };
    assert!(
        matches!(
            rejected.reasons[..],
            [Rejection::MarketKey { problem: MarketKeyProblem::Malformed { .. } }]
        ),
        "{rejected:?}"
    );
    assert_eq!(live(&world), [current]);
}

#[test]
fn a_key_that_is_not_the_market_s_present_one_announces_nothing() {
    let mut world = World::new();
    let (first, second) = (market_key(), new_key(2));
    world.given(REGISTRAR, announced(&first, &second).into());
    let current = second.id();
    world
        .when(OPERATOR, announced(&first, &new_key(3)))
        .then_rejected(problem(MarketKeyProblem::NotAnnounced { current }));
    // Neither does one that was retired, and it does not come back.
    world.given(OPERATOR, RetireMarketKey { key: first.id() }.into());
    world
        .when(OPERATOR, announced(&first, &new_key(3)))
        .then_rejected(problem(MarketKeyProblem::NotAnnounced { current }));
    world
        .when(OPERATOR, announced(&second, &first))
        .then_rejected(problem(MarketKeyProblem::Used { key: first.id() }));
}

#[test]
fn only_the_key_before_the_present_one_is_retired() {
    let mut world = World::new();
    let key = market_key().id();
    world
        .when(OPERATOR, RetireMarketKey { key })
        .then_rejected(problem(MarketKeyProblem::NotPrevious { key }));
    let unknown = new_key(9).id();
    world
        .when(OPERATOR, RetireMarketKey { key: unknown })
        .then_rejected(problem(MarketKeyProblem::NotPrevious { key: unknown }));
}

#[test]
fn buyers_and_sellers_change_no_key_of_the_market() {
    let mut world = World::new();
    for actor in [BUYER, SELLER, PROVIDER] {
        world.when(actor, announced(&market_key(), &new_key(2)));
        assert!(matches!(world.outcome(), commands::Decision::Refuse(Refusal::ScopeDenied { .. })));
    }
    assert!(commands::scope::may_give(Role::Registrar, commands::command::CommandKind::RetireMarketKey));
}

#[test]
fn who_trusts_one_key_follows_to_the_present_one_and_to_nothing_that_was_forged() {
    let keys = [1, 2, 3].map(new_key);
    let word = |previous: &SigningKey, new: &SigningKey| Announcement::sign(&market(), previous, new);
    let trusting = |key: &SigningKey| vec![VerifyingKey::new(&key.public()).unwrap()];
    let ids = |trusted: &[VerifyingKey]| trusted.iter().map(VerifyingKey::id).collect::<Vec<_>>();
    let chain = [word(&keys[0], &keys[1]), word(&keys[1], &keys[2])];
    let mut trusted = trusting(&keys[0]);
    follow(&mut trusted, &market(), &chain).unwrap();
    assert_eq!(ids(&trusted), [keys[0].id(), keys[1].id(), keys[2].id()]);
    // From the middle, only onwards.
    let mut trusted = trusting(&keys[1]);
    follow(&mut trusted, &market(), &chain).unwrap();
    assert_eq!(ids(&trusted), [keys[1].id(), keys[2].id()]);
    // Words of strangers show nothing.
    let mut trusted = trusting(&keys[0]);
    follow(&mut trusted, &market(), &[word(&new_key(7), &new_key(8))]).unwrap();
    assert_eq!(ids(&trusted), [keys[0].id()]);
    // One that claims to be a trusted key's is refused, and so is a second word of the same key.
    let (_, signature) = chain[1].announcement.rsplit_once('.').unwrap();
    let (body, _) = chain[0].announcement.rsplit_once('.').unwrap();
    let forged = Announcement { announcement: format!("{body}.{signature}"), proof: chain[0].proof.clone() };
    let refused = follow(&mut trusting(&keys[0]), &market(), &[forged]);
    assert_eq!(refused, Err(AnnouncementError::NotAnnounced));
    let fork = [word(&keys[0], &keys[1]), word(&keys[0], &keys[2])];
    let refused = follow(&mut trusting(&keys[0]), &market(), &fork);
    assert_eq!(refused, Err(AnnouncementError::Forked { previous: keys[0].id() }));
    let elsewhere = follow(&mut trusting(&keys[0]), &"other".parse().unwrap(), &chain);
    assert_eq!(elsewhere, Err(AnnouncementError::OtherMarket));
}
