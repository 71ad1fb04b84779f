//! By which services people's devices are told what happens, and how their keys are given: in files, never as arguments, which everybody
//! on the machine can see.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use gateway::push::{APNS_URL, ApnsConfig, ApnsNames, FCM_URL, FcmConfig, PushConfig, Roots};

use crate::payments::secret_in;

/// How notifications are sent.
#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// Whom push services ask when something is wrong: mailto:… or https://…. With it the devices of people who subscribe are told what
    /// happens (docs/push.md).
    #[arg(long, value_name = "URL", value_parser = contact)]
    push_contact: Option<String>,
    /// The file with the key of a service account of Firebase, as JSON. With it apps are told by FCM.
    #[arg(long, requires = "push_contact", value_name = "FILE")]
    push_fcm: Option<PathBuf>,
    /// Where FCM is.
    #[arg(long, requires = "push_fcm", default_value = FCM_URL, value_name = "URL")]
    push_fcm_url: String,
    /// The .p8 file with a key for APNs. With it apps on Apple's devices are told by APNs.
    #[arg(long, requires_all = ["push_contact", "push_apns_key_id", "push_apns_team_id", "push_apns_topic"], value_name = "FILE")]
    push_apns: Option<PathBuf>,
    /// The id of that key.
    #[arg(long, requires = "push_apns", value_name = "ID")]
    push_apns_key_id: Option<String>,
    /// The id of the developer's team.
    #[arg(long, requires = "push_apns", value_name = "ID")]
    push_apns_team_id: Option<String>,
    /// The bundle id of the app.
    #[arg(long, requires = "push_apns", value_name = "ID")]
    push_apns_topic: Option<String>,
    /// Where APNs is: https://api.sandbox.push.apple.com for apps that are being developed.
    #[arg(long, requires = "push_apns", default_value = APNS_URL, value_name = "URL")]
    push_apns_url: String,
    /// Certificates of authorities, in PEM, that are trusted for FCM and APNs besides the machine's own: where what leaves a network is
    /// looked into on its way.
    #[arg(long, requires = "push_contact", value_name = "FILE")]
    push_ca: Option<PathBuf>,
}

/// Takes whom push services ask.
fn contact(text: &str) -> Result<String, String> {
    let is_known =
        ["mailto:", "https://"].iter().any(|start| text.len() > start.len() && text.starts_with(start));
    if is_known { Ok(text.to_owned()) } else { Err("it must be mailto:… or https://…".to_owned()) }
}

impl PushArgs {
    /// Sets up the services whose keys are named. `allows_private`: whether browsers' services may be on this machine or in a private
    /// network, and without TLS.
    pub(crate) fn config(&self, allows_private: bool) -> anyhow::Result<Option<PushConfig>> {
        let Some(contact) = &self.push_contact else { return Ok(None) };
        let roots = self.push_ca.as_deref().map(roots).transpose()?.unwrap_or_default();
        let fcm = self.push_fcm.as_deref().map(|file| {
            let key = secret_in(file).context("the service account for FCM")?;
            FcmConfig::new(&key, &self.push_fcm_url, &roots)
                .with_context(|| format!("FCM can't be set up with {}", file.display()))
        });
        let apns = self.push_apns.as_deref().map(|file| {
            let key = secret_in(file).context("the key for APNs")?;
            let names = ApnsNames {
                key_id: self.push_apns_key_id.as_deref().unwrap_or_default(),
                team_id: self.push_apns_team_id.as_deref().unwrap_or_default(),
                topic: self.push_apns_topic.as_deref().unwrap_or_default(),
            };
            ApnsConfig::new(&key, names, &self.push_apns_url, &roots)
                .with_context(|| format!("APNs can't be set up with {}", file.display()))
        });
        let (fcm, apns) = (fcm.transpose()?, apns.transpose()?);
        Ok(Some(PushConfig { allows_private, fcm, apns, ..PushConfig::new(contact.clone()) }))
    }
}

fn roots(file: &Path) -> anyhow::Result<Roots> {
    let pem = std::fs::read(file).with_context(|| format!("{} can't be read", file.display()))?;
    Roots::from_pem(&pem).with_context(|| format!("{} can't be used", file.display()))
}
