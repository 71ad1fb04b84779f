//! The HTTP server: it takes connections, and bounds what each of them may hold and for how long.

use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};

use crate::http::Peer;

/// How long requests under way may take when the server stops; streams end then too.
pub const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(5);
/// Most connections at once. Whoever comes when there are so many waits until one ends.
pub const CONNECTIONS_MAX: usize = 4096;
/// How long a client may take to send the head of a request, from its first byte or from the answer before.
pub const HEAD_TIME_MAX: Duration = Duration::from_secs(30);
/// How long an answer may wait for its client to read on.
pub const WRITE_TIME_MAX: Duration = Duration::from_secs(30);
/// Most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most headers that are read. Beyond it the connection's answer has no body; up to it, see
/// [`crate::http::HEADERS_MAX`].
const HEADERS_READ_MAX: usize = 512;
/// How long no connection is taken after the system had no room for one.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Serves until `shutdown` is done, then lets requests under way finish for [`SHUTDOWN_TIME_MAX`].
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            _ = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((socket, peer)) => {
                    connections.spawn(serve_connection(socket, peer.ip(), router.clone(), stopped.clone()));
                }
                // The client went away again before it was taken: nothing is wrong here.
                Err(error) if is_of_client(&error) => {}
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "no connection can be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    stop.send_replace(true);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(SHUTDOWN_TIME_MAX, all_ended).await.is_err() {
        tracing::info!("connections that did not end in time are cut");
    }
    Ok(())
}

fn is_of_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Serves one connection until it ends or, once the server stops, until its request is answered.
async fn serve_connection(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: IpAddr,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_headers(HEADERS_READ_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        router.call(request)
    });
    let mut connection = pin!(server.serve_connection(TokioIo::new(Impatient::new(io)), service));
    let told = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = told => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended badly");
    }
}

/// A connection that gives up when its other side has not read on for [`WRITE_TIME_MAX`].
struct Impatient<T> {
    io: T,
    patience: Pin<Box<Sleep>>,
    is_waiting: bool,
}

impl<T> Impatient<T> {
    fn new(io: T) -> Self {
        Impatient { io, patience: Box::pin(tokio::time::sleep(WRITE_TIME_MAX)), is_waiting: false }
    }

    /// Passes on what a write came to, unless it has waited too long.
    fn bounded<V>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<V>>) -> Poll<io::Result<V>> {
        if written.is_ready() {
            self.is_waiting = false;
            return written;
        }
        if !self.is_waiting {
            self.is_waiting = true;
            self.patience.as_mut().reset(Instant::now() + WRITE_TIME_MAX);
        }
        ready!(self.patience.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Impatient<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Impatient<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.bounded(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, buffers);
        self.bounded(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        self.bounded(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    /// Serves one connection whose buffers hold `room` bytes, and gives the client's end of it.
    fn connect(router: Router, room: usize) -> (DuplexStream, tokio::task::JoinHandle<()>) {
        let (client, server) = tokio::io::duplex(room);
        let task = tokio::spawn(async move {
            let (_stop, stopped) = watch::channel(false);
            serve_connection(server, IpAddr::from([127, 0, 0, 1]), router, stopped).await;
        });
        (client, task)
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_never_ends_is_cut_off() {
        let started = Instant::now();
        let (mut client, task) = connect(Router::new().route("/", get(|| async { "hello" })), 4096);
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
        task.await.unwrap();
        assert_eq!(started.elapsed().as_secs(), HEAD_TIME_MAX.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_asks_nothing_is_cut_off() {
        let (mut client, task) = connect(Router::new().route("/", get(|| async { "hello" })), 4096);
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        task.await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("hello"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_reads_is_given_up() {
        let endless = || async {
            let chunks = futures::stream::repeat(bytes::Bytes::from_static(&[b'x'; 1024]));
            Body::from_stream(futures::StreamExt::map(chunks, Ok::<_, io::Error>))
        };
        let started = Instant::now();
        let (mut client, task) = connect(Router::new().route("/", get(endless)), 4096);
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        task.await.unwrap();
        assert_eq!(started.elapsed().as_secs(), WRITE_TIME_MAX.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_read_slowly_but_steadily_goes_on() {
        let long = || async { "z".repeat(8 * 1024) };
        let (mut client, task) = connect(Router::new().route("/", get(long)), 64);
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let mut some = [0u8; 64];
        while let read @ 1.. = client.read(&mut some).await.unwrap() {
            answer.extend_from_slice(&some[..read]);
            tokio::time::advance(WRITE_TIME_MAX / 2).await;
        }
        task.await.unwrap();
        assert_eq!(answer.iter().filter(|byte| **byte == b'z').count(), 8 * 1024);
    }
}
