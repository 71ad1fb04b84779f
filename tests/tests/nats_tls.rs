//! Connects with TLS as `nats-production.conf` demands it: to a broker whose certificate a known CA signed, showing one
//! of one's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use engine::clock::WallClock;
use engine::log::EventLog;
use engine::processor::StopReason;
use gateway::nats::{Access, Certificate, ConnectError, Connection, GuardedLog, Role};
use gateway::node::{Node, NodeAccess, NodeConfig};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use tempfile::TempDir;
use tests::log_contract::market;
use tests::nats::NatsServer;
use tokio::time::timeout;

const PRODUCTION: &str = include_str!("../../nats-production.conf");

/// How long one try to connect may take; only one that hangs needs it.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Certificates in a folder, with the names that `nats-production.conf` gives them.
struct Certificates {
    folder: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    /// Makes a CA, and the certificate of a broker on this machine.
    fn make() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let made =
            Self { folder: TempDir::new()?, ca: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? };
        fs::write(made.path("ca.pem"), made.ca.pem())?;
        made.sign("cert.pem", "key.pem", "127.0.0.1", ExtendedKeyUsagePurpose::ServerAuth)?;
        Ok(made)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Signs a certificate for a name and a purpose.
    fn sign(&self, cert: &str, key: &str, name: &str, purpose: ExtendedKeyUsagePurpose) -> Result<()> {
        let pair = KeyPair::generate()?;
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.extended_key_usages = vec![purpose];
        fs::write(self.path(cert), params.signed_by(&pair, &self.ca)?.pem())?;
        fs::write(self.path(key), pair.serialize_pem())?;
        Ok(())
    }

    /// Signs a client's certificate.
    fn client(&self) -> Result<Certificate> {
        self.sign("client.pem", "client-key.pem", "client", ExtendedKeyUsagePurpose::ClientAuth)?;
        Ok(Certificate { chain: self.path("client.pem"), key: self.path("client-key.pem") })
    }

    /// Starts a broker with the TLS that `nats-production.conf` has for clients.
    async fn broker(&self) -> Result<NatsServer> {
        NatsServer::start_with(&tls_of_production(self.folder.path())?, &[]).await
    }
}

/// Takes the block `tls` of the production configuration, with certificates from `folder`.
fn tls_of_production(folder: &Path) -> Result<String> {
    let (_, block) = PRODUCTION.split_once("\ntls {").context("the configuration has a block `tls`")?;
    let (block, _) = block.split_once("\n}").context("the block ends")?;
    anyhow::ensure!(block.contains("verify: true"), "clients need certificates");
    Ok(format!("tls {{{}\n}}", block.replace("./tls", &folder.display().to_string())))
}

async fn open(server: &NatsServer, access: Access) -> Result<Result<Connection, ConnectError>> {
    let url = server.url();
    timeout(ANSWER_MAX, Connection::open(&url, Role::Reader, &access)).await.context("it hangs")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_market_runs_over_tls_with_certificates_on_both_sides() -> Result<()> {
    let certificates = Certificates::make()?;
    let server = certificates.broker().await?;
    let access = Access {
        ca: Some(certificates.path("ca.pem")),
        certificate: Some(certificates.client()?),
        ..Access::default()
    };
    let folder = TempDir::new()?;
    let both = NodeAccess { engine: access.clone(), receipts: access.clone() };
    let config = NodeConfig { access: both, ..NodeConfig::new(market(), folder.path().to_owned()) };
    let nats = server.for_nodes();
    let node = timeout(ANSWER_MAX, Node::start_on_nats(config, nats, Arc::new(WallClock))).await??;
    let reader = open(&server, access).await??;
    let log = GuardedLog::open_reader(reader, market()).await?;
    assert_eq!(log.head().await?, node.log().head().await?);
    assert_eq!(node.shutdown().await, StopReason::Shutdown);
    Ok(())
}

#[tokio::test]
async fn without_the_ca_or_a_certificate_there_is_no_connection() -> Result<()> {
    let certificates = Certificates::make()?;
    let server = certificates.broker().await?;
    let (ca, certificate) = (Some(certificates.path("ca.pem")), Some(certificates.client()?));
    let others = Certificates::make()?;
    let tries = [
        ("no CA", Access { certificate: certificate.clone(), ..Access::default() }),
        ("no certificate", Access { ca: ca.clone(), ..Access::default() }),
        (
            "another CA",
            Access { ca: Some(others.path("ca.pem")), certificate: certificate.clone(), ..Access::default() },
        ),
        (
            "a certificate of another CA",
            Access { ca: ca.clone(), certificate: Some(others.client()?), ..Access::default() },
        ),
    ];
    for (what, access) in tries {
        match open(&server, access).await? {
            Err(error @ ConnectError::Tls { .. }) => {
                assert!(error.to_string().contains("--nats-ca"), "{what}: {error}");
            }
            other => bail!("{what}: {other:?}"),
        }
    }
    let missing = Access {
        ca,
        certificate: Some(Certificate { chain: "nowhere.pem".into(), key: "no".into() }),
        ..Access::default()
    };
    let missing = open(&server, missing).await?;
    assert!(
        matches!(&missing, Err(ConnectError::Unreadable { path, .. }) if path == "nowhere.pem"),
        "{missing:?}"
    );
    Ok(())
}

#[tokio::test]
async fn who_names_a_ca_is_not_led_to_a_broker_without_tls() -> Result<()> {
    let certificates = Certificates::make()?;
    let server = NatsServer::start().await?;
    let access = Access { ca: Some(certificates.path("ca.pem")), ..Access::default() };
    let opened = open(&server, access).await?;
    assert!(matches!(opened, Err(ConnectError::Tls { .. })), "{opened:?}");
    Ok(())
}
