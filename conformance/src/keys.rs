//! Certificates for tests, made by the openssl command.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use libswarm::address::Tls;

use crate::daemon::Folder;
use crate::engine::{skip, which};

/// An authority of a test's own, with a server's certificate (for localhost and 127.0.0.1) and a client's.
#[derive(Debug)]
pub struct Keys {
    folder: Folder,
}

impl Keys {
    /// Makes them, or says that there is no openssl.
    ///
    /// # Panics
    ///
    /// openssl fails.
    #[must_use]
    pub fn new() -> Option<Self> {
        if which("openssl").is_none() {
            skip("there is no openssl command");
            return None;
        }
        let keys = Self { folder: Folder::new() };
        openssl(
            keys.folder.path(),
            &format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={} \
                 -addext basicConstraints=critical,CA:TRUE -keyout ca-key.pem -out ca.pem",
                // Of two with one name, one would be taken for the other.
                keys.folder.path().file_name().unwrap_or_default().display()
            ),
        );
        keys.sign(
            "server",
            "server",
            "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth",
        );
        keys.sign("client", "client", "extendedKeyUsage=clientAuth");
        for side in ["server", "client"] {
            // As docker's own commands look for them.
            let folder = keys.folder.path().join(format!("{side}s"));
            fs::create_dir(&folder).expect("a folder can be made");
            for (from, to) in [
                ("ca.pem", "ca.pem"),
                (&*format!("{side}.pem"), "cert.pem"),
                (&*format!("{side}-key.pem"), "key.pem"),
            ] {
                fs::copy(keys.folder.path().join(from), folder.join(to)).expect("it can be copied");
            }
        }
        Some(keys)
    }

    /// Signs a certificate of that name, with its key in another file.
    ///
    /// # Panics
    ///
    /// openssl fails.
    pub fn sign(&self, file: &str, name: &str, extensions: &str) {
        fs::write(self.folder.path().join("extensions"), extensions)
            .expect("a file can be written");
        openssl(
            self.folder.path(),
            &format!(
                "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} \
                 -keyout {file}-key.pem -out request.pem"
            ),
        );
        openssl(
            self.folder.path(),
            &format!(
                "x509 -req -in request.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 \
                 -extfile extensions -out {file}.pem"
            ),
        );
    }

    /// The path of a file: `ca.pem`, `server.pem`, `server-key.pem`, `client.pem`, `client-key.pem`.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        self.folder.file(name)
    }

    /// The folder of a `client` or a `server`, with `ca.pem`, `cert.pem`, `key.pem`.
    #[must_use]
    pub fn folder(&self, side: &str) -> String {
        self.folder.file(&format!("{side}s"))
    }

    /// docker's options for a `client` or a `server`.
    #[must_use]
    pub fn options(&self, side: &str) -> Vec<String> {
        let Tls { ca, cert, key, .. } = self.tls(side);
        let files = [("--tlscacert", ca), ("--tlscert", cert), ("--tlskey", key)];
        let files = files.into_iter().flat_map(|(name, file)| [Some(name.to_owned()), file]);
        [Some(String::from("--tlsverify"))].into_iter().chain(files).flatten().collect()
    }

    /// The same, for a program.
    #[must_use]
    pub fn tls(&self, side: &str) -> Tls {
        Tls {
            verify: true,
            ca: Some(self.file("ca.pem")),
            cert: Some(self.file(&format!("{side}.pem"))),
            key: Some(self.file(&format!("{side}-key.pem"))),
            named_only: false,
        }
    }
}

fn openssl(folder: &Path, line: &str) {
    let output = Command::new("openssl")
        .args(line.split_whitespace())
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("openssl runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {line}: {said}");
}
