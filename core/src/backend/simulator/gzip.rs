//! Archives that clients have compressed with gzip (RFC 1952), which the engine takes wherever it takes a tar.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// What gzip begins with.
const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

/// What was compressed, at most `most` bytes of it, or what is no gzip as it is.
///
/// # Errors
///
/// In Go's words: a file that is cut off or damaged, or one that grows beyond `most`.
pub(super) fn plain(bytes: &[u8], most: usize) -> Result<Cow<'_, [u8]>, &'static str> {
    if !bytes.starts_with(&MAGIC[..2]) {
        return Ok(Cow::Borrowed(bytes));
    }
    let (mut out, mut rest) = (Vec::new(), bytes);
    // Files that are joined are one file.
    while !rest.is_empty() {
        let body = skip_header(rest)?;
        let start = out.len();
        let used = inflate(body, &mut out, most)?;
        let trailer = body.get(used..used + 8).ok_or("unexpected EOF")?;
        let number = |at: usize| {
            trailer[at..at + 4].iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
        };
        let piece = &out[start..];
        if number(0) != crc32(piece) || number(4) != piece.len() as u32 {
            return Err("gzip: invalid checksum");
        }
        rest = &body[used + 8..];
    }
    Ok(Cow::Owned(out))
}

/// What is behind a member's header.
fn skip_header(bytes: &[u8]) -> Result<&[u8], &'static str> {
    if bytes.len() < 10 {
        return Err("unexpected EOF");
    }
    if !bytes.starts_with(&MAGIC) {
        return Err("gzip: invalid header");
    }
    let flags = bytes[3];
    let mut rest = &bytes[10..];
    if flags & 4 != 0 {
        let (&[low, high], after) = rest.split_first_chunk().ok_or("unexpected EOF")?;
        rest = after.get(usize::from(u16::from_le_bytes([low, high]))..).ok_or("unexpected EOF")?;
    }
    // A name, a comment.
    for flag in [8, 16] {
        if flags & flag != 0 {
            let end = memchr::memchr(0, rest).ok_or("unexpected EOF")?;
            rest = &rest[end + 1..];
        }
    }
    let checksum = if flags & 2 != 0 { 2 } else { 0 };
    rest.get(checksum..).ok_or("unexpected EOF")
}

/// Appends what `body` holds; returns how much of `body` that was.
fn inflate(body: &[u8], out: &mut Vec<u8>, most: usize) -> Result<usize, &'static str> {
    let mut machine = DecompressorOxide::new();
    let (start, mut used) = (out.len(), 0);
    let mut written = start;
    loop {
        let room = (written - start).clamp(1 << 12, 1 << 24);
        out.resize((written + room).min(most), 0);
        let (status, read, wrote) = decompress(
            &mut machine,
            &body[used..],
            &mut out[start..],
            written - start,
            TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
        );
        used += read;
        written += wrote;
        match status {
            TINFLStatus::Done => {
                out.truncate(written);
                return Ok(used);
            }
            TINFLStatus::HasMoreOutput if written < most => {}
            TINFLStatus::HasMoreOutput => return Err("the archive is too large"),
            TINFLStatus::FailedCannotMakeProgress => return Err("unexpected EOF"),
            _ => return Err("flate: corrupt input"),
        }
    }
}

/// The checksum of ISO 3309.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let (mut table, mut nth) = ([0; 256], 0);
        while nth < 256 {
            let (mut value, mut bit) = (nth as u32, 0);
            while bit < 8 {
                value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
                bit += 1;
            }
            table[nth] = value;
            nth += 1;
        }
        table
    };
    let step = |sum: u32, byte: &u8| sum >> 8 ^ TABLE[(sum as u8 ^ *byte) as usize];
    !bytes.iter().fold(!0, step)
}

#[cfg(test)]
pub(super) mod tests {
    use super::{crc32, plain};
    use alloc::vec::Vec;

    /// As `gzip -n` writes it.
    pub(in crate::backend::simulator) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
        out.extend(miniz_oxide::deflate::compress_to_vec(bytes, 6));
        out.extend(crc32(bytes).to_le_bytes());
        out.extend((bytes.len() as u32).to_le_bytes());
        out
    }

    #[test]
    fn what_was_compressed_comes_back() {
        let text: Vec<u8> = (0..200_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let zipped = gzip(&text);
        assert_eq!(*plain(&zipped, 1 << 20).unwrap(), *text);
        let twice = [&zipped[..], &gzip(b"more")].concat();
        assert_eq!(*plain(&twice, 1 << 20).unwrap(), *[&text[..], b"more"].concat());
        assert_eq!(*plain(b"plain", 1).unwrap(), *b"plain");
        let mut named = gzip(b"x");
        named[3] = 8 | 16;
        named.splice(10..10, *b"name\0comment\0");
        assert_eq!(*plain(&named, 9).unwrap(), *b"x");
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let zipped = gzip(b"some text, some text");
        for end in 2..zipped.len() {
            assert!(plain(&zipped[..end], 100).is_err(), "cut at {end}");
        }
        let mut other = zipped.clone();
        let sum = other.len() - 8;
        other[sum] ^= 1;
        assert_eq!(plain(&other, 100), Err("gzip: invalid checksum"));
        assert_eq!(plain(&gzip(&[0; 100_000]), 1000), Err("the archive is too large"));
    }
}
