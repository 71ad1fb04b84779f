//! What is found by which words. The market decides nothing with it, and so remembers none of it: it stands in the log, and
//! readers follow.

use events::ids::AccountId;
use events::search::{Described, SynonymsSet};
use events::{Event, Rejection};

use crate::command::{DescribeListing, SetSynonyms};
use crate::listing::offered;
use crate::market::Market;

pub(crate) fn decide_describe(
    market: &Market,
    seller: AccountId,
    command: &DescribeListing,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let DescribeListing { attributes, category, description, listing, tags } = command;
    offered(market, seller, *listing)?;
    let described = Described {
        attributes: attributes.as_ref().map(|given| given.by_name().clone()).unwrap_or_default(),
        category: category.clone(),
        description: description.as_ref().map(|text| text.as_str().to_owned()),
        listing: *listing,
        tags: tags.as_ref().map(|given| given.words().clone()).unwrap_or_default(),
    };
    Ok(vec![described.into()])
}

pub(crate) fn decide_set_synonyms(command: &SetSynonyms) -> Vec<Event> {
    let groups = command.groups.iter().map(|group| group.words().clone()).collect();
    vec![SynonymsSet { groups }.into()]
}
