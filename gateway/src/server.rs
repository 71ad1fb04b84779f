//! The HTTP server: it takes connections, and bounds what each of them may hold and for how long.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};

use crate::http::{Gateway, Peer, router, turned_away};
use crate::limits::Limits;

/// How long requests under way may take when the server stops; streams end then too.
pub const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(5);
/// Most connections at once. Whoever comes when there are so many waits until one ends.
pub const CONNECTIONS_MAX: usize = 4096;
/// How long a client may take to send the head of a request, from its first byte or from the answer before.
pub const HEAD_TIME_MAX: Duration = Duration::from_secs(30);
/// How long an answer may wait for its client to read on.
pub const WRITE_TIME_MAX: Duration = Duration::from_secs(30);
/// Most bytes of a request's head: the longest `Skylink-Personal`, and as much beside it. Beyond it the connection's answer
/// has no body.
const HEAD_BYTES_MAX: usize = 2 * commands::personal::HEADER_BYTES_MAX;
/// Most headers that are read. Beyond it the connection's answer has no body; up to it, see
/// [`crate::http::HEADERS_MAX`].
const HEADERS_READ_MAX: usize = 512;
/// Most connections at once that are only told why they are turned away; one more is closed without a word.
pub const TURNED_AWAY_MAX: usize = 64;
/// How long somebody who is turned away may take to ask and to be told.
const TURNED_AWAY_TIME_MAX: Duration = Duration::from_secs(2);
/// How long no connection is taken after the system had no room for one.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Serves a gateway until `shutdown` is done, then lets requests under way finish for [`SHUTDOWN_TIME_MAX`].
pub async fn serve(
    listener: TcpListener,
    gateway: Gateway,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let limits = Arc::clone(&gateway.limits);
    let connections = serve_accepted(|| listener.accept(), router(gateway), &limits, shutdown).await;
    drop(listener);
    end(connections).await;
    Ok(())
}

/// The connections that are served, and what tells them to end.
struct Connections {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// Takes connections until `shutdown` is done, and gives those that are open then.
async fn serve_accepted<F: Future<Output = io::Result<(TcpStream, SocketAddr)>>>(
    accept: impl Fn() -> F,
    router: Router,
    limits: &Limits,
    shutdown: impl Future<Output = ()>,
) -> Connections {
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let (turned_away, places) = (turned_away(), Arc::new(Semaphore::new(TURNED_AWAY_MAX)));
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            _ = tasks.join_next(), if !tasks.is_empty() => {}
            accepted = accept(), if tasks.len() < CONNECTIONS_MAX => match accepted {
                Ok((socket, peer)) => {
                    let (peer, stopped) = (peer.ip(), stopped.clone());
                    if let Ok(place) = limits.connect(peer) {
                        let serving = serve_connection(socket, peer, router.clone(), stopped);
                        tasks.spawn(async move {
                            serving.await;
                            drop(place);
                        });
                    } else if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                        let telling = serve_connection(socket, peer, turned_away.clone(), stopped);
                        tasks.spawn(async move {
                            // Who does not ask in time hears nothing.
                            let _ = tokio::time::timeout(TURNED_AWAY_TIME_MAX, telling).await;
                            drop(place);
                        });
                    }
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
    Connections { stop, tasks }
}

/// Lets the requests under way finish.
async fn end(Connections { stop, mut tasks }: Connections) {
    stop.send_replace(true);
    let all_ended = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(SHUTDOWN_TIME_MAX, all_ended).await.is_err() {
        tracing::info!("connections that did not end in time are cut");
    }
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
    use crate::limits::{Proxies, Rates};

    /// Serves one connection whose buffers hold `room` bytes, and gives the client's end of it.
    fn connect(router: Router, room: usize) -> (DuplexStream, tokio::task::JoinHandle<()>) {
        let (client, server) = tokio::io::duplex(room);
        let task = tokio::spawn(async move {
            let (_stop, stopped) = watch::channel(false);
            serve_connection(server, IpAddr::from([127, 0, 0, 1]), router, stopped).await;
        });
        (client, task)
    }

    /// Asks for `/` over a connection and leaves it open; gives the head and what came of the body with it.
    async fn ask(client: &mut TcpStream) -> String {
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = vec![0; 4096];
        let mut length = 0;
        while !answer[..length].ends_with(b"hello") && !answer[..length].ends_with(b"}") {
            match client.read(&mut answer[length..]).await.unwrap() {
                0 => break,
                read => length += read,
            }
        }
        String::from_utf8(answer[..length].to_vec()).unwrap()
    }

    #[tokio::test]
    async fn an_address_has_so_many_connections_and_is_told_so_until_one_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let rates = Rates { connections_per_address: Some(2), ..Rates::default() };
        let limits = Limits::new(rates, Proxies::default());
        // Whoever comes over this machine's own address counts as coming from elsewhere, in turns from two networks.
        let count = std::sync::atomic::AtomicU32::new(0);
        let accept = || async {
            let (socket, _) = listener.accept().await?;
            let nth = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let from =
                if nth < 4 { format!("[2001:db8::{nth}]:1") } else { "[2001:db8:0:1::1]:1".to_owned() };
            Ok((socket, from.parse().unwrap()))
        };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let router = Router::new().route("/", get(|| async { "hello" }));
        let serving = serve_accepted(accept, router, &limits, async { drop(stopped.await) });
        let clients = async {
            let connect = async || TcpStream::connect(address).await.unwrap();
            let (mut one, mut two, mut three) = (connect().await, connect().await, connect().await);
            assert!(ask(&mut one).await.starts_with("HTTP/1.1 200"));
            assert!(ask(&mut two).await.starts_with("HTTP/1.1 200"));
            let told = ask(&mut three).await.to_lowercase();
            for part in ["http/1.1 429", "connection: close", "retry-after: 1", "rate_limited", "nosniff"] {
                assert!(told.contains(part), "{part}: {told}");
            }
            let mut rest = Vec::new();
            three.read_to_end(&mut rest).await.unwrap();
            // Those who have one go on, and whoever comes when one has ended is served.
            assert!(ask(&mut two).await.starts_with("HTTP/1.1 200"));
            one.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
            one.read_to_end(&mut rest).await.unwrap();
            limits.until_connected(1).await;
            let mut four = connect().await;
            assert!(ask(&mut four).await.starts_with("HTTP/1.1 200"));
            let mut elsewhere = connect().await;
            assert!(ask(&mut elsewhere).await.starts_with("HTTP/1.1 200"), "another network has its own");
            stop.send(()).unwrap();
        };
        let (connections, ()) = tokio::join!(serving, clients);
        end(connections).await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_turned_away_and_says_nothing_holds_up_nobody() {
        // The clock stands still as long as something blocks: nobody's time to ask ends by itself here.
        let (release, held) = std::sync::mpsc::channel::<()>();
        let holding = tokio::task::spawn_blocking(move || held.recv());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let rates = Rates { connections_per_address: Some(1), ..Rates::default() };
        let limits = Limits::new(rates, Proxies::default());
        let accept = || async { Ok((listener.accept().await?.0, "198.51.100.7:1".parse().unwrap())) };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let router = Router::new().route("/", get(|| async { "hello" }));
        let serving = serve_accepted(accept, router, &limits, async { drop(stopped.await) });
        let clients = async {
            let mut first = TcpStream::connect(address).await.unwrap();
            assert!(ask(&mut first).await.starts_with("HTTP/1.1 200"));
            let mut crowd = Vec::new();
            for _ in 0..TURNED_AWAY_MAX {
                crowd.push(TcpStream::connect(address).await.unwrap());
            }
            // There is no place left even to be told: it is closed at once, and the first goes on.
            let mut last = TcpStream::connect(address).await.unwrap();
            let closed = last.read(&mut [0]).await;
            assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
            let waits = crowd[0].try_read(&mut [0]).unwrap_err();
            assert_eq!(waits.kind(), io::ErrorKind::WouldBlock, "the others may still ask why");
            assert!(ask(&mut first).await.starts_with("HTTP/1.1 200"));
            drop(crowd);
            stop.send(()).unwrap();
        };
        let (connections, ()) = tokio::join!(serving, clients);
        end(connections).await;
        drop(release);
        let _ = holding.await.unwrap();
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
