//! What Dify says of an order's risk, in words, for the operator who looks at it.

use events::ids::OrderId;
use events::risk::rules::Verdict;
use projections::risk::OrderRisk;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Application, DifyError, Question, Said};

/// Most characters of an analysis; what is behind them is cut.
pub const ANALYSIS_CHARS_MAX: usize = 4_000;
/// What a chat is asked for.
const QUERY: &str = "An order of a marketplace was judged by rules. Say in a few sentences what speaks for and what against its being \
                     a fraud, and what somebody should look at. End with one line `verdict: approve` or `verdict: decline`.";

/// What a language model says of an order's risk. It is advice for people: it decides nothing, and may be wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "RiskAnalysis")]
pub(crate) struct Analysis {
    /// The order.
    order: OrderId,
    /// What it says.
    analysis: String,
    /// What it would do; null: it does not say.
    advice: Option<Verdict>,
}

impl Application {
    /// Asks what speaks for and against an order. It is told what the rules knew and made of it, and no ids of anybody.
    pub(crate) async fn analyse(&self, risk: &OrderRisk) -> Result<Analysis, DifyError> {
        let order = risk.order;
        // All of one market's questions are its own: who the operator is, is nobody's business there.
        let question =
            Question { inputs: json!({ "order": told(risk).to_string() }), query: QUERY, user: "operator" };
        self.ask(question, |said| read(order, said)).await
    }
}

fn told(risk: &OrderRisk) -> Value {
    let assessed = &risk.assessed;
    json!({
        "amount": assessed.amount,
        "chargebacks": risk.chargebacks,
        "contributions": assessed.contributions,
        "features": assessed.features,
        "matched": assessed.matched,
        "outcome": assessed.outcome,
        "region": assessed.region,
        "score": assessed.score,
        "sellers": assessed.sellers.len(),
        "stepped_up": assessed.stepped_up,
    })
}

fn read(order: OrderId, said: Said) -> Option<Analysis> {
    let (words, advice) = match said {
        Said::Outputs(outputs) => {
            let advice = outputs["verdict"].as_str().and_then(verdict);
            (outputs["analysis"].as_str()?.to_owned(), advice)
        }
        Said::Words(words) => {
            let last = words.trim_end().lines().next_back().unwrap_or_default().to_ascii_lowercase();
            let advice = last.trim().strip_prefix("verdict:").and_then(verdict);
            (words, advice)
        }
    };
    let analysis: String = words.trim().chars().take(ANALYSIS_CHARS_MAX).collect();
    (!analysis.is_empty()).then_some(Analysis { order, analysis, advice })
}

fn verdict(word: &str) -> Option<Verdict> {
    [Verdict::Approve, Verdict::Decline].into_iter().find(|verdict| verdict.to_string() == word.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_read_where_there_is_some() {
        let order = OrderId::from_uuid(uuid::Uuid::nil());
        let read = |said| read(order, said);
        let words = |words: &str| read(Said::Words(words.to_owned()));
        let of = |analysis: &str, advice| Some(Analysis { order, analysis: analysis.to_owned(), advice });
        assert_eq!(words("Odd.\nVerdict: decline\n"), of("Odd.\nVerdict: decline", Some(Verdict::Decline)));
        assert_eq!(words("verdict: perhaps"), of("verdict: perhaps", None));
        assert_eq!(words(" \n "), None);
        let outputs = json!({"analysis": "All is well.", "verdict": "approve"});
        assert_eq!(read(Said::Outputs(outputs)), of("All is well.", Some(Verdict::Approve)));
        assert_eq!(read(Said::Outputs(json!({"text": "All is well."}))), None);
    }

    #[test]
    fn no_analysis_is_longer_than_what_may_be() {
        let long = "ä".repeat(ANALYSIS_CHARS_MAX + 1);
        let analysis = read(OrderId::from_uuid(uuid::Uuid::nil()), Said::Words(long));
        assert_eq!(analysis.expect("it says something").analysis.chars().count(), ANALYSIS_CHARS_MAX);
    }
}
