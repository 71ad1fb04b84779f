//! Starts three servers that form one cluster, for streams with three replicas.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{NatsServer, POLL_INTERVAL, Ports, READY_WAIT_MAX, START_ATTEMPTS_MAX};

/// How many servers form the cluster: the fewest that go on when one is lost.
const NODES: usize = 3;

/// Three running servers that route to each other. Each can be killed, paused and restarted on its own.
#[derive(Debug)]
pub struct NatsCluster {
    nodes: Vec<NatsServer>,
}

impl NatsCluster {
    /// Starts the servers and waits until they have elected a leader that has both others with it.
    pub async fn start() -> Result<Self> {
        Self::start_with("").await
    }

    /// Starts servers whose configuration is the project's `nats.conf` followed by `more`.
    pub async fn start_with(more: &str) -> Result<Self> {
        for _ in 0..START_ATTEMPTS_MAX {
            let mut cluster = Self::prepare(more)?;
            match cluster.spawn_and_await().await {
                Err(_) if cluster.nodes.iter().any(NatsServer::lost_a_port) => {}
                ready => return ready.map(|()| cluster),
            }
        }
        bail!("found its ports taken {START_ATTEMPTS_MAX} times")
    }

    /// Returns the addresses of all servers for a client.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(NatsServer::url).collect()
    }

    /// Returns the servers, in the order of their start.
    pub fn nodes(&self) -> &[NatsServer] {
        &self.nodes
    }

    /// Returns one server to be killed, stopped or restarted.
    pub fn node_mut(&mut self, index: usize) -> &mut NatsServer {
        &mut self.nodes[index]
    }

    /// Returns which of [`NatsCluster::nodes`] leads `stream`, as soon as all servers that answer agree on one of them.
    ///
    /// Fails when they haven't within a minute.
    pub async fn stream_leader(&self, stream: &str) -> Result<usize> {
        let deadline = Instant::now() + READY_WAIT_MAX;
        while Instant::now() < deadline {
            let mut answered = Vec::new();
            let mut named = Vec::new();
            for (index, node) in self.nodes.iter().enumerate() {
                if let Some(answer) = node.monitor.get("/jsz?accounts=true&streams=true").await {
                    answered.push(index);
                    named.push(leader_in(&answer, stream));
                }
            }
            // A leader that doesn't answer has been lost, and the others haven't noticed yet.
            let leader = agreed(&named)
                .and_then(|leader| answered.into_iter().find(|&index| self.nodes[index].name() == leader));
            if let Some(leader) = leader {
                return Ok(leader);
            }
            sleep(POLL_INTERVAL).await;
        }
        bail!("no leader of {stream} within {READY_WAIT_MAX:?}")
    }

    /// Returns which of [`NatsCluster::nodes`] leads the cluster itself and gives streams their places.
    ///
    /// Fails when the servers don't agree on one now.
    pub async fn leader(&self) -> Result<usize> {
        leader_among(&self.nodes, &self.groups().await?).context("the servers name no common leader")
    }

    fn prepare(more: &str) -> Result<Self> {
        let ports = (0..NODES).map(|_| Ports::choose()).collect::<Result<Vec<_>>>()?;
        let routes: Vec<String> =
            ports.iter().map(|ports| format!("nats://127.0.0.1:{}", ports.route)).collect();
        let mut nodes = Vec::with_capacity(NODES);
        for (ports, route) in ports.into_iter().zip(&routes) {
            let mut node = NatsServer::prepare(ports, more, &[])?;
            node.launch.arguments.extend([
                "--cluster_name".into(),
                "skylink-test".into(),
                "--cluster".into(),
                route.clone(),
                "--routes".into(),
                routes.join(","),
            ]);
            nodes.push(node);
        }
        Ok(Self { nodes })
    }

    async fn spawn_and_await(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WAIT_MAX;
        // All first: none is ready before it has met another.
        for node in &mut self.nodes {
            node.spawn()?;
        }
        for node in &mut self.nodes {
            node.await_ready(deadline).await?;
        }
        while !self.is_complete().await {
            ensure!(Instant::now() < deadline, "the servers did not meet within {READY_WAIT_MAX:?}");
            sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    /// Tells whether all servers name one leader, and it has every other server with it, so that a stream with three
    /// replicas finds three places.
    async fn is_complete(&self) -> bool {
        let Ok(groups) = self.groups().await else {
            return false;
        };
        let Some(leader) = leader_among(&self.nodes, &groups) else {
            return false;
        };
        let followers = groups[leader]["replicas"].as_array().map_or(&[][..], Vec::as_slice);
        // A follower can be current before the leader has heard that it is online, and gets no stream until then.
        let usable = |follower: &&Value| follower["current"] == true && follower["offline"] != true;
        followers.iter().filter(usable).count() == NODES - 1
    }

    /// Asks every server what it knows of the group that leads the cluster.
    async fn groups(&self) -> Result<Vec<Value>> {
        let mut groups = Vec::with_capacity(NODES);
        for node in &self.nodes {
            let mut answer = node.monitor.get("/jsz").await.context("a server does not answer")?;
            groups.push(answer["meta_cluster"].take());
        }
        Ok(groups)
    }
}

/// Returns the server whom all of them name as leader, if there is one.
fn leader_among(nodes: &[NatsServer], groups: &[Value]) -> Option<usize> {
    nodes.iter().position(|node| groups.iter().all(|group| group["leader"] == node.name()))
}

/// Reads from an answer of `/jsz` which server leads `stream`.
fn leader_in(answer: &Value, stream: &str) -> Option<String> {
    let accounts = answer["account_details"].as_array()?;
    let mut streams = accounts.iter().filter_map(|account| account["stream_detail"].as_array()).flatten();
    let found = streams.find(|candidate| candidate["name"] == stream)?;
    Some(found["cluster"]["leader"].as_str()?.to_owned())
}

/// Returns the name that was given by every server asked, if there is one.
fn agreed(named: &[Option<String>]) -> Option<&str> {
    let first = named.first()?.as_deref()?;
    named.iter().all(|name| name.as_deref() == Some(first)).then_some(first)
}
