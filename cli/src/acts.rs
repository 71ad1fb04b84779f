//! `skylink audit`: who did what, as a running market tells it to operators.

use clap::{Args, ValueEnum};
use events::Position;
use events::ids::AccountId;
use reqwest::Url;
use serde_json::Value;

use crate::Verdict;
use crate::client::http::OperatorArgs;
use crate::output::{Output, talk};

/// How long the token is good that is asked with, in seconds.
const TOKEN_TTL_S: u64 = 60;

/// Print who did what and when, the newest first: what operators did, unless something else is asked for.
///
/// Each line names the signed command; `skylink tail --from POSITION` and `skylink verify` show it in the log itself.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    operator: OperatorArgs,
    /// Only what this account asked for.
    #[arg(long, value_name = "UUID", conflicts_with_all = ["subject", "kind"])]
    actor: Option<AccountId>,
    /// Only what is about this: the id of an account, an order, a listing, ...
    #[arg(long, value_name = "ID", conflicts_with = "kind")]
    subject: Option<String>,
    /// What operators did, what was done about keys, sign-ins and the standing of accounts, or what was sent in place of events.
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Option<Kind>,
    /// From this moment on: RFC 3339, or milliseconds since 1970.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this moment.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// How many at most.
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: u32,
    /// Go on behind an earlier answer.
    #[arg(long, value_name = "POSITION")]
    cursor: Option<String>,
    /// Wait until what stands at this position of the log is known, such as that of a receipt.
    #[arg(long, default_value_t = 0, value_name = "N")]
    min_position: Position,
    /// Print JSON, with all that stands in the log.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// What operators did
    Staff,
    /// What was done about keys, sign-ins and the standing of accounts
    Access,
    /// What somebody had sent to webhooks in place of events
    Letters,
}

/// Asks and prints.
pub(crate) fn run(arguments: &AuditArgs) -> anyhow::Result<Verdict> {
    let path = path(arguments)?;
    crate::runtime()?.block_on(async {
        let found = match arguments.operator.access(TOKEN_TTL_S).await? {
            Ok((client, token)) => client.question(&path, &token).await?,
            Err(problem) => Err(problem),
        };
        let found = match found {
            Ok(found) => found,
            Err(problem) => {
                talk(format_args!("The gateway does not tell: {problem}."));
                return Ok(Verdict::FoundWrong);
            }
        };
        let mut output = Output::stdout();
        if arguments.json {
            output.pretty(&found)?;
        } else {
            for act in found["acts"].as_array().into_iter().flatten() {
                print(&mut output, act)?;
            }
        }
        output.flush()?;
        if let Some(cursor) = found["next_cursor"].as_u64().filter(|_| !arguments.json) {
            talk(format_args!("There is more: give the same command with --cursor {cursor}"));
        }
        Ok(Verdict::Done)
    })
}

fn path(arguments: &AuditArgs) -> anyhow::Result<String> {
    let actor = arguments.actor.map(|actor| actor.to_string());
    let kind = arguments.kind.map(|kind| match kind {
        Kind::Staff => "staff".to_owned(),
        Kind::Access => "access".to_owned(),
        Kind::Letters => "letters".to_owned(),
    });
    let asked = [
        ("actor", actor),
        ("subject", arguments.subject.clone()),
        ("kind", kind),
        ("from", arguments.from.clone()),
        ("to", arguments.to.clone()),
        ("limit", Some(arguments.limit.to_string())),
        ("cursor", arguments.cursor.clone()),
        ("min_position", Some(arguments.min_position.to_string())),
    ];
    let asked = asked.into_iter().filter_map(|(name, value)| Some((name, value?)));
    // Only what is behind the host is asked for.
    let url = Url::parse_with_params("http://market/v1/audit", asked)?;
    Ok(format!("/v1/audit?{}", url.query().unwrap_or_default()))
}

fn print(output: &mut Output, act: &Value) -> anyhow::Result<()> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let (position, time) = (&act["position"], text(&act["time"]));
    let (actor, name) = (text(&act["actor"]), text(&act["command"]["name"]));
    let (id, outcome) = (text(&act["command"]["id"]), text(&act["outcome"]));
    output.line(format_args!("{position:>10} {time} {actor} {name} {outcome} {id}"))?;
    for event in act["events"].as_array().into_iter().flatten() {
        output.line(format_args!("{:>10} {} {}", "", text(&event["type"]), text(&event["subject"])))?;
    }
    Ok(())
}
