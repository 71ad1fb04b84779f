//! What events about risk say, in a line.

use events::Event;
use events::risk::rules::RuleSet;
use events::risk::{Assessed, Label};

pub(super) fn describe(event: &Event) -> String {
    match event {
        Event::RiskRulesProposed(event) => {
            format!("operator {} proposes {}, if another agrees", event.by, rules(&event.rules))
        }
        Event::RiskRulesSet(event) => {
            format!("version {}: operator {} agrees to {}", event.version, event.by, rules(&event.rules))
        }
        Event::RiskAssessed(event) => assessed(event),
        Event::ReviewOpened(event) => {
            let (count, due, then) = (event.orders.len(), event.due, event.then);
            format!("{count} orders in review until {due}, then {then}")
        }
        Event::ReviewClaimed(event) => format!("operator {} has it until {}", event.by, event.until),
        Event::ReviewDecided(event) => match event.by {
            Some(by) => format!("operator {by} decides: {}", event.verdict),
            None => format!("nobody decided in time: {}", event.verdict),
        },
        Event::OrderLabelled(event) => {
            let note = event.note.as_ref().map_or(String::new(), |note| format!(": {note}"));
            match event.label {
                Label::Fraud => format!("it was a fraud, says operator {}{note}", event.by),
                Label::Good => format!("it was none, says operator {}{note}", event.by),
            }
        }
        _ => String::new(),
    }
}

fn rules(rules: &RuleSet) -> String {
    let (hard, scored, listed) = (rules.rules.len(), rules.scores.len(), rules.lists.len());
    format!("{hard} rules, {scored} of the scorecard and {listed} entries of lists")
}

fn assessed(event: &Assessed) -> String {
    let score = format!("{}, score {}", event.outcome, event.score);
    let reasons: Vec<String> = match &event.matched {
        Some(matched) => vec![format!("{} ({})", matched.reason, matched.rule)],
        None => event.contributions.iter().map(|part| format!("{} {:+}", part.reason, part.points)).collect(),
    };
    if reasons.is_empty() { score } else { format!("{score}: {}", reasons.join(", ")) }
}
