//! The task that drives a client, or a health check.

use std::future::{Future, poll_fn};
use std::io;
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_io::{Async, Timer};
use libswarm::discovery::client::{Action, Input, Machine};
use libswarm_host::client::Shared;
use smol::future::FutureExt;
use smol::io::{AsyncRead, AsyncWrite};

/// Drives a machine until it is over.
pub(super) async fn drive<M: Machine>(shared: Arc<Shared<M>>) {
    let mut driver = Driver {
        shared: &*shared,
        socket: Socket::None,
        timer: Timer::never(),
        due: None,
        buffer: vec![0; 16 * 1024],
    };
    poll_fn(|cx| driver.poll(cx)).await;
}

struct Driver<'a, M> {
    shared: &'a Shared<M>,
    socket: Socket,
    timer: Timer,
    due: Option<Duration>,
    buffer: Vec<u8>,
}

type Connecting = Pin<Box<dyn Future<Output = io::Result<Async<TcpStream>>> + Send>>;

enum Socket {
    None,
    Connecting(u64, Connecting),
    Open { conn: u64, stream: Async<TcpStream>, out: Vec<u8>, written: usize },
}

impl<M: Machine> Driver<'_, M> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.drive(cx.waker());
        loop {
            self.act();
            if self.shared.is_over() {
                return Poll::Ready(());
            }
            // What has come goes before the time: an answer that is there is not late.
            if !self.poll_socket(cx) && !self.poll_timer(cx) {
                return Poll::Pending;
            }
        }
    }

    /// Does all that is to be done.
    fn act(&mut self) {
        let mut out = Vec::new();
        while let Some(action) = self.shared.poll(&mut out) {
            match action {
                Action::Connect { conn, server, within } => {
                    let connecting = Box::pin(async move { dial(&server, within).await });
                    self.socket = Socket::Connecting(conn, connecting);
                }
                Action::Write(_) => {
                    if let Socket::Open { out: waiting, written, .. } = &mut self.socket {
                        (*waiting, *written) = (std::mem::take(&mut out), 0);
                    }
                }
                Action::Close(_) => self.socket = Socket::None,
                _ => {}
            }
            out.clear();
        }
    }

    /// Whether something has happened on the connection.
    fn poll_socket(&mut self, cx: &mut Context<'_>) -> bool {
        match &mut self.socket {
            Socket::None => false,
            Socket::Connecting(conn, connecting) => {
                let conn = *conn;
                match connecting.poll(cx) {
                    Poll::Pending => return false,
                    Poll::Ready(Ok(stream)) => {
                        let out = Vec::new();
                        self.socket = Socket::Open { conn, stream, out, written: 0 };
                        self.shared.handle(Input::Connected(conn));
                    }
                    Poll::Ready(Err(error)) => self.lose(conn, &error),
                }
                true
            }
            Socket::Open { conn, stream, out, written } => {
                let conn = *conn;
                if *written < out.len() {
                    match Pin::new(&mut *stream).poll_write(cx, &out[*written..]) {
                        Poll::Pending => {}
                        Poll::Ready(Ok(length)) => {
                            *written += length;
                            if *written == out.len() {
                                out.clear();
                                self.shared.handle(Input::Sent(conn));
                            }
                            return true;
                        }
                        Poll::Ready(Err(error)) => {
                            self.lose(conn, &error);
                            return true;
                        }
                    }
                }
                match Pin::new(stream).poll_read(cx, &mut self.buffer) {
                    Poll::Pending => return false,
                    Poll::Ready(Ok(0)) => self.shared.handle(Input::Ended(conn)),
                    Poll::Ready(Ok(length)) => {
                        self.shared.handle(Input::Received(conn, &self.buffer[..length]));
                    }
                    Poll::Ready(Err(error)) => self.lose(conn, &error),
                }
                true
            }
        }
    }

    fn lose(&mut self, conn: u64, error: &io::Error) {
        self.socket = Socket::None;
        self.shared.handle(Input::Closed(conn, &error.to_string()));
    }

    /// Whether the machine's time has come.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let due = self.shared.due();
        if due != self.due {
            self.due = due;
            match self.shared.timeout() {
                None => self.timer = Timer::never(),
                Some(wait) => self.timer.set_after(wait),
            }
        }
        if due.is_none() || self.timer.poll(cx).is_pending() {
            return false;
        }
        self.due = None;
        self.shared.handle(Input::Timeout);
        true
    }
}

async fn dial(server: &str, within: Duration) -> io::Result<Async<TcpStream>> {
    let stream = reach(server, within).await?;
    libswarm_host::client::thread::watch_over(stream.get_ref())?;
    Ok(stream)
}

/// Connects to `HOST:PORT`: all addresses of the name are tried.
pub(super) async fn reach(server: &str, within: Duration) -> io::Result<Async<TcpStream>> {
    let connect = async {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in smol::net::resolve(server).await? {
            match Async::<TcpStream>::connect(address).await {
                Ok(stream) => {
                    stream.get_ref().set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    };
    let late = async {
        Timer::after(within).await;
        Err(io::Error::new(io::ErrorKind::TimedOut, "it takes too long"))
    };
    connect.or(late).await
}
