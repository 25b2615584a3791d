//! One connection's TLS, without its socket.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

/// The TLS of a connection whose socket is somebody else's: ciphertext that was read goes in, plaintext comes out, and the
/// other way round. It never waits.
///
/// Each direction ends by itself: the peer's `close_notify` says nothing about what is still to be sent to it.
pub struct Session {
    tls: Connection,
    /// The first bytes that came, by which a client that does not speak TLS is known.
    first: Vec<u8>,
    /// What is said to such a client; nothing is encrypted any more then.
    in_the_clear: Option<&'static [u8]>,
    input: Input,
}

/// How far the peer's half is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// More may come.
    Open,
    /// The peer has ended it, and nothing is missing.
    Ended,
    /// It broke, for this reason.
    Broken(String),
}

/// So much plaintext is encrypted before it is sent: two records, which go out in one call.
const PIECE: usize = 32 * 1024;

/// Enough to know HTTP by, and what is there when a record's head is.
const FIRST: usize = 5;

/// What Go's HTTP server, and so dockerd, says to HTTP on a port for HTTPS.
const NOT_TLS: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

const METHODS: [&[u8]; 8] =
    [b"GET /", b"HEAD ", b"POST ", b"PUT /", b"DELET", b"OPTIO", b"PATCH", b"CONNE"];

impl Session {
    /// The server's side of a connection.
    ///
    /// # Errors
    ///
    /// The configuration cannot be used.
    pub(crate) fn server(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        ServerConnection::new(config).map(|tls| Self::new(tls.into()))
    }

    /// The client's side.
    pub(crate) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, rustls::Error> {
        ClientConnection::new(config, name).map(|tls| Self::new(tls.into()))
    }

    fn new(mut tls: Connection) -> Self {
        // What waits is bounded by the pieces that are put in.
        tls.set_buffer_limit(None);
        Self { tls, first: Vec::new(), in_the_clear: None, input: Input::Open }
    }

    /// Whether the two sides have not agreed yet.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// How far the peer's half is, behind all plaintext that [`receive`](Self::receive) has given.
    #[must_use]
    pub const fn input(&self) -> &Input {
        &self.input
    }

    /// Takes what was read, all of it, and appends the plaintext to `plain`: at most as much, and one record (16 KiB) more.
    /// There may be something to [`flush`](Self::flush) afterwards.
    pub fn receive(&mut self, mut cipher: &[u8], plain: &mut Vec<u8>) {
        if self.first.len() < FIRST {
            let missing = cipher.len().min(FIRST - self.first.len());
            self.first.extend_from_slice(&cipher[..missing]);
            cipher = &cipher[missing..];
            if self.first.len() < FIRST {
                return;
            }
            self.decrypt(&self.first.clone(), plain);
        }
        self.decrypt(cipher, plain);
    }

    fn decrypt(&mut self, mut cipher: &[u8], plain: &mut Vec<u8>) {
        while self.input == Input::Open && !cipher.is_empty() {
            let received = match self.tls.read_tls(&mut cipher) {
                Ok(_) => self.tls.process_new_packets().map_err(|error| self.explain(&error)),
                Err(error) => Err(error.to_string()),
            };
            // Records before one that is wrong were right.
            self.take(plain);
            match received {
                Ok(state) if state.peer_has_closed() => self.input = Input::Ended,
                Ok(_) => {}
                Err(reason) => self.broken(reason),
            }
        }
    }

    /// What TLS says of itself, and what that means to the one who has set it up.
    fn explain(&self, error: &rustls::Error) -> String {
        use AlertDescription as Alert;
        use rustls::{AlertDescription, CertificateError, Error};

        let is_client = matches!(self.tls, Connection::Client(_));
        let means = match error {
            Error::InvalidCertificate(CertificateError::UnknownIssuer) if is_client => {
                "the server's certificate is signed by none of the authorities that are trusted here"
            }
            Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                "the client's certificate is signed by none of the authorities that are trusted here"
            }
            Error::AlertReceived(
                Alert::CertificateRequired | Alert::BadCertificate | Alert::UnknownCA,
            ) if is_client => {
                "the server wants a certificate of this side, signed by an authority that it trusts"
            }
            Error::AlertReceived(Alert::BadCertificate | Alert::UnknownCA) => {
                "the client does not trust the certificate of this side"
            }
            Error::InvalidMessage(_) if is_client && self.is_handshaking() => {
                "the server does not speak TLS"
            }
            _ => return error.to_string(),
        };
        format!("{means} ({error})")
    }

    fn take(&mut self, plain: &mut Vec<u8>) {
        let mut reader = self.tls.reader();
        while let Ok(piece @ [_, ..]) = reader.fill_buf() {
            let length = piece.len();
            plain.extend_from_slice(piece);
            reader.consume(length);
        }
    }

    fn broken(&mut self, reason: String) {
        if self.tls.is_handshaking() && METHODS.contains(&self.first.as_slice()) {
            self.in_the_clear = Some(NOT_TLS);
            self.input = Input::Broken(String::from("it does not speak TLS, but HTTP"));
        } else {
            self.input = Input::Broken(reason);
        }
    }

    /// The socket has ended: well, if the peer has said so before, else what came may have been cut off by anybody.
    pub fn receive_end(&mut self) {
        if self.input == Input::Open {
            let reason = if self.tls.is_handshaking() {
                "the connection ended in the TLS handshake"
            } else {
                "the connection was cut off (it ended without TLS's close_notify)"
            };
            self.input = Input::Broken(reason.to_owned());
        }
    }

    /// Encrypts and sends as much as `to` takes without waiting; returns how much of `plain` was encrypted. All of that is
    /// sent when [`flush`](Self::flush) says so.
    ///
    /// # Errors
    ///
    /// Those of `to`, but that it would have to wait.
    pub fn write(&mut self, plain: &[u8], to: &mut impl Write) -> io::Result<usize> {
        let mut taken = 0;
        while self.flush(to)? && taken < plain.len() {
            let piece = &plain[taken..plain.len().min(taken + PIECE)];
            self.tls.writer().write_all(piece)?;
            taken += piece.len();
        }
        Ok(taken)
    }

    /// Sends what waits to be sent, as far as `to` takes it without waiting; whether that is all.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn flush(&mut self, to: &mut impl Write) -> io::Result<bool> {
        loop {
            let written = match &mut self.in_the_clear {
                Some([]) => return Ok(true),
                Some(rest) => to.write(rest).inspect(|length| *rest = &rest[*length..]),
                None if self.tls.wants_write() => self.tls.write_tls(to),
                None => return Ok(true),
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether something waits to be [flushed](Self::flush).
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        self.in_the_clear.map_or_else(|| self.tls.wants_write(), |rest| !rest.is_empty())
    }

    /// Ends this side's half: a `close_notify` is to be flushed. What the peer sends goes on coming.
    pub fn end(&mut self) {
        if !self.tls.is_handshaking() {
            self.tls.send_close_notify();
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("version", &self.tls.protocol_version())
            .field("input", &self.input)
            .finish_non_exhaustive()
    }
}
