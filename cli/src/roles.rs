//! `skylink roles`: which role may give which command.

use clap::Args;
use commands::command::CommandKind;
use commands::scope::{allowed_roles, may_give};
use events::account::Role;
use serde_json::json;

use crate::Verdict;
use crate::output::Output;

/// Width of the longest command's name in the table, in characters.
const NAME_WIDTH: usize = 27;

/// Print which role may give which command.
///
/// It is the table that the market itself decides by: whoever has none of a command's roles is refused with scope_denied.
#[derive(Debug, Args)]
pub(crate) struct RolesArgs {
    /// Print JSON, one command a line.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &RolesArgs) -> anyhow::Result<Verdict> {
    let mut output = Output::stdout();
    if arguments.json {
        for kind in CommandKind::ALL {
            output.json(&json!({"command": kind.name(), "roles": allowed_roles(*kind)}))?;
        }
    } else {
        let titles: Vec<String> = Role::ALL.iter().map(ToString::to_string).collect();
        output.line(format_args!("{:NAME_WIDTH$}  {}", "command", titles.join("  ")))?;
        for kind in CommandKind::ALL {
            let cells = Role::ALL.iter().zip(&titles).map(|(role, title)| {
                let cell = if may_give(*role, *kind) { "yes" } else { "-" };
                format!("{cell:width$}", width = title.len())
            });
            let cells: Vec<String> = cells.collect();
            output.line(format_args!("{:NAME_WIDTH$}  {}", kind.name(), cells.join("  ").trim_end()))?;
        }
    }
    output.flush()?;
    Ok(Verdict::Done)
}
