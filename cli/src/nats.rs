//! Where the market's NATS server is, and by what it lets in whoever runs this.

use std::fmt;
use std::path::PathBuf;

use gateway::nats::{Access, Certificate, ConnectError, Connection, Role};

/// The market's NATS server.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct NatsArgs {
    /// The NATS server that the market stands on, such as nats://127.0.0.1:4222: its log is on JetStream and not in
    /// segment files, and commands go there and not over HTTP. Several servers of a cluster are separated by commas.
    #[arg(id = "NATS_URL", long = "nats", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The file with the seed of the nkey of the role that this is in nats-roles.conf: engine for `up`, gateway to send
    /// commands, reader to read the log.
    #[arg(id = "NATS_NKEY", long = "nats-nkey", requires = "NATS_URL", value_name = "FILE")]
    pub(crate) nkey: Option<PathBuf>,
    /// The CA's certificate, in PEM, that the server's must be signed by; connects with TLS or not at all.
    #[arg(id = "NATS_CA", long = "nats-ca", requires = "NATS_URL", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The certificate, in PEM, to show to the server; connects with TLS or not at all.
    #[arg(id = "NATS_CERT", long = "nats-cert", requires_all = ["NATS_URL", "NATS_KEY"], value_name = "FILE")]
    cert: Option<PathBuf>,
    /// That certificate's private key, in PEM.
    #[arg(id = "NATS_KEY", long = "nats-key", requires = "NATS_CERT", value_name = "FILE")]
    key: Option<PathBuf>,
    /// The inbox prefix that the server gives to the role, if not the one in nats-roles.conf, such as _INBOX.reader.
    #[arg(id = "NATS_INBOX", long = "nats-inbox", requires = "NATS_URL", value_name = "PREFIX")]
    inbox: Option<String>,
}

impl NatsArgs {
    /// Gives by what the server lets this in.
    pub(crate) fn access(&self) -> Access {
        let certificate = self.cert.clone().zip(self.key.clone());
        Access {
            nkey: self.nkey.clone(),
            ca: self.ca.clone(),
            certificate: certificate.map(|(chain, key)| Certificate { chain, key }),
            inbox: self.inbox.clone(),
        }
    }

    /// Connects in a role to the server at `url`.
    pub(crate) async fn connect(&self, url: &str, role: Role) -> Result<Connection, ConnectError> {
        Connection::open(url, role, &self.access()).await
    }

    /// Gives the same options to try something else with, by somebody in `role`.
    pub(crate) fn for_role(&self, role: Role) -> NatsArgs {
        let nkey = self.nkey.as_ref().map(|_| PathBuf::from(format!("{role}.nk")));
        NatsArgs { nkey, inbox: None, ..self.clone() }
    }
}

impl fmt::Display for NatsArgs {
    /// Writes the options as they were given.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(url) = &self.url else { return Ok(()) };
        write!(f, "--nats {url}")?;
        let files = [
            ("--nats-nkey", &self.nkey),
            ("--nats-ca", &self.ca),
            ("--nats-cert", &self.cert),
            ("--nats-key", &self.key),
        ];
        for (option, file) in files {
            if let Some(file) = file {
                write!(f, " {option} {}", file.display())?;
            }
        }
        if let Some(inbox) = &self.inbox {
            write!(f, " --nats-inbox {inbox}")?;
        }
        Ok(())
    }
}
