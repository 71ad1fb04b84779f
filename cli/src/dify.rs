//! Which applications of Dify a market asks, and how their keys are given: in files, never as arguments, which everybody on the
//! machine can see.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use gateway::dify::{self, Access, Application, Dify, Ranking};

use crate::payments::secret_in;

/// What language models are asked for.
#[derive(Debug, Args)]
pub(crate) struct DifyArgs {
    /// Where Dify is, a server of applications of language models, without /v1: see docs/dify.md.
    #[arg(long, value_name = "URL")]
    dify: Option<String>,
    /// The file with the key of the application that puts recommendations in order.
    #[arg(long, requires = "dify", value_name = "FILE")]
    dify_ranking_key_file: Option<PathBuf>,
    /// What kind of application that is.
    #[arg(long, value_enum, requires = "dify_ranking_key_file", default_value_t = KindArg::Workflow, value_name = "KIND")]
    dify_ranking: KindArg,
    /// Milliseconds that it may take before the market's own order stands.
    #[arg(long, requires = "dify_ranking_key_file", default_value_t = dify::RANKING_TIME.as_millis() as u64, value_name = "N", value_parser = clap::value_parser!(u64).range(50..=10_000))]
    dify_ranking_ms: u64,
    /// The file with the key of the application that says in words what speaks for and against an order whose risk is looked at.
    #[arg(long, requires = "dify", value_name = "FILE")]
    dify_risk_key_file: Option<PathBuf>,
    /// What kind of application that is.
    #[arg(long, value_enum, requires = "dify_risk_key_file", default_value_t = KindArg::Workflow, value_name = "KIND")]
    dify_risk: KindArg,
    /// Have applications answer at once instead of piece by piece. Agents can't.
    #[arg(long, requires = "dify")]
    dify_blocking: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KindArg {
    /// A workflow
    Workflow,
    /// A chat, or an agent
    Chat,
}

impl DifyArgs {
    /// Sets up the applications whose keys are named.
    pub(crate) fn dify(&self) -> anyhow::Result<Dify> {
        let Some(url) = &self.dify else { return Ok(Dify::default()) };
        if self.dify_ranking_key_file.is_none() && self.dify_risk_key_file.is_none() {
            bail!(
                "--dify asks nothing without a key: name --dify-ranking-key-file, --dify-risk-key-file or both"
            );
        }
        let application = |name, key: &Path, kind, time_max| -> anyhow::Result<Application> {
            let kind = match kind {
                KindArg::Workflow => dify::Kind::Workflow,
                KindArg::Chat => dify::Kind::Chat,
            };
            let mode = if self.dify_blocking { dify::Mode::Blocking } else { dify::Mode::Streaming };
            let key = secret_in(key).context("the key of an application of Dify")?;
            Ok(Application::new(name, Access { url: url.clone(), key, kind, mode, time_max })?)
        };
        let ranking = self.dify_ranking_key_file.as_deref().map(|key| {
            application("ranking", key, self.dify_ranking, Duration::from_millis(self.dify_ranking_ms))
        });
        let analysis = self
            .dify_risk_key_file
            .as_deref()
            .map(|key| application("risk", key, self.dify_risk, dify::ANALYSIS_TIME_MAX));
        Ok(Dify { ranking: ranking.transpose()?.map(Ranking::new), analysis: analysis.transpose()? })
    }
}
