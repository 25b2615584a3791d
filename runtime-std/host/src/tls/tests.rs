//! TLS without sockets, and files that are wrong.

use std::fs;
use std::path::{Path, PathBuf};

use libswarm::address::Tls;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::pki_types::ServerName;

use super::certificates::{client_from, server_from};
use super::files::Files;
use super::{Input, Session};

/// A directory of a test's own, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("swarm-tls-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, file: &str, text: &str) -> String {
        let path = self.0.join(file);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

fn authority(name: &str) -> (String, Issuer<'static, KeyPair>) {
    let key = key();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    (pem, Issuer::new(params, key))
}

fn signed(issuer: &Issuer<'_, KeyPair>, purpose: ExtendedKeyUsagePurpose) -> (String, String) {
    let key = key();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.extended_key_usages = vec![purpose];
    (params.signed_by(&key, issuer).unwrap().pem(), key.serialize_pem())
}

/// docker's three files.
fn fill(folder: &Folder, issuer: &Issuer<'_, KeyPair>, ca: &str, purpose: ExtendedKeyUsagePurpose) {
    let (cert, key) = signed(issuer, purpose);
    for (file, text) in [("ca.pem", ca), ("cert.pem", &cert), ("key.pem", &key)] {
        folder.write(file, text);
    }
}

fn sessions(server: &Path, verify: bool, client: &Path) -> (Session, Session) {
    let none = Tls::default();
    let server = server_from(&Files::within(&none, server), verify).unwrap();
    let client = client_from(&Files::within(&none, client), true).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    (Session::server(server).unwrap(), Session::client(client, name).unwrap())
}

fn pair(name: &str) -> (Session, Session) {
    let (server, client) = (Folder::new(&format!("{name}-s")), Folder::new(&format!("{name}-c")));
    let (ca, issuer) = authority("ours");
    fill(&server, &issuer, &ca, ExtendedKeyUsagePurpose::ServerAuth);
    fill(&client, &issuer, &ca, ExtendedKeyUsagePurpose::ClientAuth);
    let (mut server, mut client) = sessions(&server.0, true, &client.0);
    assert_eq!(talk(&mut client, &mut server, usize::MAX), (Vec::new(), Vec::new()));
    assert!(!server.is_handshaking() && !client.is_handshaking());
    (server, client)
}

/// What is unsent on one side goes to the other in pieces of that size, until nothing is. Returns what the client and the
/// server got.
fn talk(client: &mut Session, server: &mut Session, piece: usize) -> (Vec<u8>, Vec<u8>) {
    let (mut to_client, mut to_server) = (Vec::new(), Vec::new());
    loop {
        let (mut up, mut down) = (Vec::new(), Vec::new());
        assert!(client.flush(&mut up).unwrap() && server.flush(&mut down).unwrap());
        if up.is_empty() && down.is_empty() {
            return (to_client, to_server);
        }
        up.chunks(piece).for_each(|bytes| server.receive(bytes, &mut to_server));
        down.chunks(piece).for_each(|bytes| client.receive(bytes, &mut to_client));
    }
}

fn say(session: &mut Session, bytes: &[u8]) -> Vec<u8> {
    let mut cipher = Vec::new();
    assert_eq!(session.write(bytes, &mut cipher).unwrap(), bytes.len());
    assert!(!session.has_unsent());
    cipher
}

#[test]
fn any_split_gives_the_same() {
    for piece in [1, 5, 1000, usize::MAX] {
        let (mut server, mut client) = pair(&format!("split-{piece}"));
        let said: Vec<u8> = (0..100_000_u32).map(|at| at as u8).collect();
        let cipher = say(&mut client, &said);
        let mut heard = Vec::new();
        cipher.chunks(piece).for_each(|bytes| server.receive(bytes, &mut heard));
        assert!(heard == said, "{piece}");
    }
}

#[test]
fn an_end_is_one_way() {
    let (mut server, mut client) = pair("end");
    let mut last = say(&mut client, b"question");
    client.end();
    client.flush(&mut last).unwrap();
    let mut heard = Vec::new();
    server.receive(&last, &mut heard);
    assert_eq!((heard.as_slice(), server.input()), (&b"question"[..], &Input::Ended));
    // The socket's own end says nothing new then.
    server.receive_end();
    assert_eq!(server.input(), &Input::Ended);

    for part in [&b"a long"[..], b" answer"] {
        let cipher = say(&mut server, part);
        let mut heard = Vec::new();
        client.receive(&cipher, &mut heard);
        assert_eq!((heard.as_slice(), client.input()), (part, &Input::Open));
    }
    server.end();
    talk(&mut client, &mut server, usize::MAX);
    assert_eq!(client.input(), &Input::Ended);
}

#[test]
fn what_is_cut_off_or_changed_is_broken() {
    let (mut server, mut client) = pair("cut");
    let cipher = say(&mut client, b"question");
    let mut heard = Vec::new();
    server.receive(&cipher, &mut heard);
    server.receive_end();
    let Input::Broken(reason) = server.input() else { panic!("{:?}", server.input()) };
    assert!(reason.contains("close_notify") && heard == b"question", "{reason}");

    let (mut server, mut client) = pair("changed");
    let mut cipher = say(&mut client, b"right");
    let right = cipher.len();
    cipher.extend(say(&mut client, b"wrong"));
    cipher[right + 8] ^= 1;
    let mut heard = Vec::new();
    server.receive(&cipher, &mut heard);
    assert!(heard == b"right" && matches!(server.input(), Input::Broken(_)));
    // It says so to the client, once.
    talk(&mut client, &mut server, usize::MAX);
    assert!(matches!(client.input(), Input::Broken(reason) if reason.contains("alert")));
}

#[test]
fn who_has_no_room_gets_the_rest_later() {
    struct Narrow(Vec<u8>, usize);
    impl std::io::Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let length = bytes.len().min(self.1);
            if length == 0 {
                return Err(std::io::ErrorKind::WouldBlock.into());
            }
            self.0.extend_from_slice(&bytes[..length]);
            self.1 -= length;
            Ok(length)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (mut server, mut client) = pair("narrow");
    let said = vec![7; 1_000_000];
    let mut to = Narrow(Vec::new(), 1000);
    let mut taken = server.write(&said, &mut to).unwrap();
    // It has taken what it encrypts at once, and not more.
    assert!(taken > 0 && taken < 100_000 && server.has_unsent(), "{taken}");
    let mut heard = Vec::new();
    while heard.len() < said.len() {
        to.1 = 30_000;
        taken += server.write(&said[taken..], &mut to).unwrap();
        client.receive(&core::mem::take(&mut to.0), &mut heard);
    }
    assert!(heard == said && !server.has_unsent());
}

#[test]
fn http_is_answered_as_go_does() {
    for (request, answered) in [
        ("GET /_ping HTTP/1.1\r\n\r\n", true),
        ("POST /v1.41/build HTTP/1.1\r\n\r\n", true),
        ("DELETE /x HTTP/1.1\r\n\r\n", true),
        ("\0\0\0\0\0\0", false),
        ("GETTYSBURG", false),
    ] {
        for piece in [1, 100] {
            let folder = Folder::new("http");
            let (ca, issuer) = authority("ours");
            fill(&folder, &issuer, &ca, ExtendedKeyUsagePurpose::ServerAuth);
            let (mut server, _) = sessions(&folder.0, false, &folder.0);
            let mut heard = Vec::new();
            request.as_bytes().chunks(piece).for_each(|part| server.receive(part, &mut heard));
            assert!(matches!(server.input(), Input::Broken(_)) && heard.is_empty(), "{request:?}");
            let mut said = Vec::new();
            server.flush(&mut said).unwrap();
            let is_go = said.starts_with(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP");
            assert_eq!(is_go, answered, "{request:?}: {said:?}");
        }
    }
}

#[test]
fn certificates_decide() {
    let (ca, issuer) = authority("ours");
    let (other_ca, other) = authority("theirs");
    let server = Folder::new("decide-s");
    fill(&server, &issuer, &ca, ExtendedKeyUsagePurpose::ServerAuth);
    let outcome = |client: &Folder, verify| {
        let (mut server, mut client) = sessions(&server.0, verify, &client.0);
        talk(&mut client, &mut server, usize::MAX);
        (server.input().clone(), client.input().clone())
    };
    let broken =
        |input: &Input, word: &str| matches!(input, Input::Broken(reason) if reason.contains(word));

    let good = Folder::new("decide-good");
    fill(&good, &issuer, &ca, ExtendedKeyUsagePurpose::ClientAuth);
    assert_eq!(outcome(&good, true), (Input::Open, Input::Open));

    let bare = Folder::new("decide-bare");
    bare.write("ca.pem", &ca);
    assert_eq!(outcome(&bare, false), (Input::Open, Input::Open));
    let (server_saw, client_saw) = outcome(&bare, true);
    assert!(broken(&server_saw, "no certificates"), "{server_saw:?}");
    assert!(broken(&client_saw, "the server wants a certificate"), "{client_saw:?}");

    let strange = Folder::new("decide-strange");
    fill(&strange, &other, &ca, ExtendedKeyUsagePurpose::ClientAuth);
    let (server_saw, _) = outcome(&strange, true);
    assert!(broken(&server_saw, "the client's certificate is signed by none"), "{server_saw:?}");

    let wary = Folder::new("decide-wary");
    fill(&wary, &other, &other_ca, ExtendedKeyUsagePurpose::ClientAuth);
    let (server_saw, client_saw) = outcome(&wary, false);
    assert!(broken(&client_saw, "the server's certificate is signed by none"), "{client_saw:?}");
    assert!(broken(&server_saw, "the client does not trust"), "{server_saw:?}");
}

#[test]
fn wrong_files_are_named_with_what_is_wrong() {
    let folder = Folder::new("wrong");
    let (ca, issuer) = authority("ours");
    fill(&folder, &issuer, &ca, ExtendedKeyUsagePurpose::ServerAuth);
    let path = |file: &str| Some(folder.0.join(file).to_str().unwrap().to_owned());
    let empty = Some(folder.write("empty.pem", ""));
    let cut = Some(folder.write("cut.pem", &ca[..ca.len() - 30]));
    let no_der = Some(
        folder
            .write("no-der.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    );
    let other = Some(folder.write("other.pem", &key().serialize_pem()));
    let encrypted = Some(folder.write(
        "encrypted.pem",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    ));
    let tls = Tls { verify: true, ..Tls::default() };
    for (wanted, file, word) in [
        (Tls { ca: path("nosuch"), ..tls.clone() }, "nosuch", "--tlscacert"),
        (Tls { cert: path("nosuch"), ..tls.clone() }, "nosuch", "--tlscert"),
        (Tls { key: path("nosuch"), ..tls.clone() }, "nosuch", "--tlskey"),
        (Tls { ca: empty.clone(), ..tls.clone() }, "empty.pem", "holds no certificate"),
        (Tls { cert: empty.clone(), ..tls.clone() }, "empty.pem", "holds no certificate"),
        (Tls { key: empty, ..tls.clone() }, "empty.pem", "holds no private key"),
        (Tls { cert: cut, ..tls.clone() }, "cut.pem", "no proper PEM"),
        (Tls { ca: no_der.clone(), ..tls.clone() }, "no-der.pem", "authority"),
        (Tls { cert: no_der, ..tls.clone() }, "no-der.pem", "cannot be used"),
        (Tls { key: other, ..tls.clone() }, "other.pem", "cert.pem"),
        (Tls { key: encrypted, ..tls.clone() }, "encrypted.pem", "openssl pkey"),
    ] {
        let files = Files::within(&wanted, &folder.0);
        let server = server_from(&files, true).unwrap_err().to_string();
        assert!(server.contains(file) && server.contains(word), "{server}");
        let client = client_from(&files, true).unwrap_err().to_string();
        assert!(client.contains(file) && client.contains(word), "{client}");
    }
    let alone = Folder::new("alone");
    let cert = Tls { cert: path("cert.pem"), ca: path("ca.pem"), ..tls.clone() };
    let error = client_from(&Files::within(&cert, &alone.0), true).unwrap_err().to_string();
    assert!(error.contains("--tlskey"), "{error}");
    let chosen = Files::chosen(&tls, &alone.0);
    let error = chosen.authorities_or_system().unwrap_err().to_string();
    assert!(error.contains("ca.pem") && error.contains("--tlscacert"), "{error}");
}
