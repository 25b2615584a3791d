//! Digests and dumps: `md5sum`, `sha256sum`…, `base64`, `od`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use md5::Md5;
use sha2::{Digest, Sha256, Sha512};

use super::{Feed, Filter, Options, Output, Sys};

/// A digest under way.
enum Sum {
    Md5(Md5),
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Sum {
    fn new(name: &str) -> Self {
        match name {
            "md5sum" => Self::Md5(Md5::new()),
            "sha512sum" => Self::Sha512(Sha512::new()),
            _ => Self::Sha256(Sha256::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Md5(sum) => sum.update(bytes),
            Self::Sha256(sum) => sum.update(bytes),
            Self::Sha512(sum) => sum.update(bytes),
        }
    }

    fn hex(self) -> String {
        let digest: Vec<u8> = match self {
            Self::Md5(sum) => sum.finalize().to_vec(),
            Self::Sha256(sum) => sum.finalize().to_vec(),
            Self::Sha512(sum) => sum.finalize().to_vec(),
        };
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

pub(super) fn make(name: &str, own: &str, argv: &[String], done: &mut Output) -> Option<Feed> {
    let options = Options::parse(argv, "csw", "", done)?;
    let filter = Sums { kind: name.into(), sum: Sum::new(name) };
    Some(Feed::new(own, options.operands, filter))
}

/// `-c`: compares files with the digests that a list of them tells.
pub(super) fn check(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let name = super::base(&args[0]);
    let cwd = sys.cwd();
    let (mut failed, mut total) = (0, 0);
    for list in args[1..].iter().filter(|arg| !arg.starts_with('-')) {
        let Ok(text) = sys.system.files.read(&cwd, list) else {
            done.complain(&format!("{name}: can't open '{list}': No such file or directory"));
            return 1;
        };
        for line in String::from_utf8_lossy(&text).lines() {
            let Some((wanted, file)) = line.split_once("  ") else { continue };
            let mut sum = Sum::new(name);
            let holds = sys.system.files.read(&cwd, file).is_ok_and(|content| {
                sum.update(&content);
                sum.hex() == wanted
            });
            done.line(&format!("{file}: {}", if holds { "OK" } else { "FAILED" }));
            failed += usize::from(!holds);
            total += 1;
        }
    }
    if failed > 0 {
        done.complain(&format!(
            "{name}: WARNING: {failed} of {total} computed checksums did NOT match"
        ));
    }
    u8::from(failed > 0)
}

struct Sums {
    kind: String,
    sum: Sum,
}

impl Filter for Sums {
    fn feed(&mut self, bytes: &[u8], _: &mut Output) -> usize {
        self.sum.update(bytes);
        bytes.len()
    }

    fn end(&mut self, file: &str, output: &mut Output) {
        let sum = core::mem::replace(&mut self.sum, Sum::new(&self.kind));
        output.line(&format!("{}  {file}", sum.hex()));
    }
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(super) fn encode_base64(text: &[u8], width: usize, out: &mut Vec<u8>) {
    let mut column = 0;
    for piece in text.chunks(3) {
        let value = piece.iter().fold(0_u32, |value, byte| value << 8 | u32::from(*byte))
            << (8 * (3 - piece.len()));
        for index in 0..4 {
            if width > 0 && column == width {
                out.push(b'\n');
                column = 0;
            }
            let letter = LETTERS[(value >> (18 - 6 * index)) as usize & 63];
            out.push(if index > piece.len() { b'=' } else { letter });
            column += 1;
        }
    }
    if width > 0 && column > 0 {
        out.push(b'\n');
    }
}

pub(super) fn decode_base64(text: &[u8], out: &mut Vec<u8>) {
    let (mut value, mut bits) = (0_u32, 0);
    for byte in text {
        let Some(index) = LETTERS.iter().position(|letter| letter == byte) else { continue };
        value = value << 6 | index as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((value >> bits & 255) as u8);
        }
    }
}

pub(super) fn dump(
    text: &[u8],
    bytes: bool,
    characters: bool,
    addresses: bool,
    output: &mut Output,
) {
    for (index, row) in text.chunks(16).enumerate() {
        let mut line = if addresses { format!("{:07o}", index * 16) } else { String::new() };
        if characters {
            for byte in row {
                line.push_str(&match byte {
                    b'\n' => "  \\n".into(),
                    b'\t' => "  \\t".into(),
                    b'\r' => "  \\r".into(),
                    0 => "  \\0".into(),
                    32..=126 => format!("   {}", *byte as char),
                    byte => format!(" {byte:03o}"),
                });
            }
        } else if bytes {
            for byte in row {
                line.push_str(&format!(" {byte:02x}"));
            }
        } else {
            for pair in row.chunks(2) {
                let value =
                    pair.iter().rev().fold(0_u32, |value, byte| value << 8 | u32::from(*byte));
                line.push_str(&format!(" {value:06o}"));
            }
        }
        output.line(&line);
    }
    if addresses {
        output.line(&format!("{:07o}", text.len()));
    }
}
