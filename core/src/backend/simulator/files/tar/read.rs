//! Reads archives in pieces, and lays what is in them into a view.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::BLOCK;
use super::header::{self, field, number, text};
use crate::backend::simulator::files::{Errno, Kind, Meta, Node, Place, View};

/// Bytes of a long name or of a pax header.
const MAX_EXTENSION: u64 = 65_536;

/// What is in an archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its path as the archive has it.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Permissions, owner, time.
    pub meta: Meta,
    /// What else its writer said, as `user:group:kind` with the bits of the mode above the permissions in octal digits;
    /// empty if it is nothing. By this dockerd's builds tell archives of the same files apart.
    pub mark: String,
}

/// What an entry is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EntryKind {
    /// A regular file, with its content.
    File(Vec<u8>),
    /// A folder.
    Directory,
    /// A symbolic link, with its target.
    Symlink(String),
    /// Another name of an entry before it.
    Link(String),
    /// A device.
    Device {
        /// Whether it is a block device.
        block: bool,
        /// The driver's number.
        major: u32,
        /// The device's number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// Why bytes are no archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TarError {
    /// A header whose checksum is wrong, or that holds what is no number.
    Header {
        /// Where it begins, in bytes from the start of the archive.
        offset: u64,
    },
    /// The archive ends within an entry.
    Truncated,
    /// A file, a name or an extended header is bigger than is taken.
    TooBig {
        /// The bytes that it announces.
        size: u64,
    },
}

impl fmt::Display for TarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header { .. } => f.write_str("archive/tar: invalid tar header"),
            Self::Truncated => f.write_str("unexpected EOF"),
            Self::TooBig { size } => write!(f, "archive/tar: an entry of {size} bytes is too big"),
        }
    }
}

impl core::error::Error for TarError {}

/// What stands in extended headers, for the next entry.
#[derive(Default)]
struct Extended {
    name: Option<String>,
    link: Option<String>,
    size: Option<u64>,
    mtime: Option<i64>,
    uid: Option<u32>,
    gid: Option<u32>,
}

/// What the data that is being read belongs to.
enum Data {
    Entry(Entry),
    LongName,
    LongLink,
    Pax,
    /// A kind of entry that is passed over, or the padding behind data.
    Nothing,
}

/// Reads an archive from pieces.
///
/// ```
/// use libswarm::backend::simulator::files::tar::{Reader, Writer};
/// use libswarm::backend::simulator::files::{Meta, Node};
///
/// let mut archive = Vec::new();
/// let mut writer = Writer::new();
/// writer.add("etc/motd", Node::file("hello\n", Meta::new(0o644, 0)));
/// while writer.read(&mut archive, 1000) {}
///
/// let mut reader = Reader::new(1 << 20);
/// let mut names = Vec::new();
/// for piece in archive.chunks(100) {
///     for entry in reader.feed(piece).unwrap() {
///         names.push(entry.name);
///     }
/// }
/// reader.finish().unwrap();
/// assert_eq!(names, ["etc/motd"]);
/// ```
pub struct Reader {
    /// A header, or a block of data, that is not whole.
    block: Vec<u8>,
    data: Data,
    /// Bytes of data to come, and of padding behind them.
    left: u64,
    padding: u64,
    held: Vec<u8>,
    extended: Extended,
    offset: u64,
    most: u64,
    zeros: u8,
    failed: Option<TarError>,
}

impl Reader {
    /// A reader that takes files of at most so many bytes.
    #[must_use]
    pub fn new(most: u64) -> Self {
        Self {
            block: Vec::new(),
            data: Data::Nothing,
            left: 0,
            padding: 0,
            held: Vec::new(),
            extended: Extended::default(),
            offset: 0,
            most,
            zeros: 0,
            failed: None,
        }
    }

    /// Takes the next bytes: the entries that are whole with them. Bytes behind the end of the archive are passed over.
    ///
    /// # Errors
    ///
    /// Says why they are no archive; all further calls say the same.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<Vec<Entry>, TarError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let mut entries = Vec::new();
        while !bytes.is_empty() && self.zeros < 2 {
            let taken = if self.left > 0 {
                let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                if !matches!(self.data, Data::Nothing) {
                    self.held.extend_from_slice(&bytes[..taken]);
                }
                self.left -= taken as u64;
                taken
            } else if self.padding > 0 {
                let taken = usize::try_from(self.padding).unwrap_or(usize::MAX).min(bytes.len());
                self.padding -= taken as u64;
                taken
            } else {
                let taken = (BLOCK - self.block.len()).min(bytes.len());
                self.block.extend_from_slice(&bytes[..taken]);
                if let Ok(block) = <&[u8; BLOCK]>::try_from(self.block.as_slice()) {
                    let block = *block;
                    self.block.clear();
                    if let Err(error) =
                        self.header(&block, self.offset + taken as u64 - BLOCK as u64)
                    {
                        self.failed = Some(error.clone());
                        return Err(error);
                    }
                }
                taken
            };
            bytes = &bytes[taken..];
            self.offset += taken as u64;
            if self.left == 0 && self.block.is_empty() {
                entries.extend(self.complete());
            }
        }
        Ok(entries)
    }

    /// The archive has ended.
    ///
    /// # Errors
    ///
    /// [`TarError::Truncated`] within an entry. The blocks of zeros that end an archive may be missing.
    pub fn finish(&self) -> Result<(), TarError> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None if self.zeros < 2 && (self.left > 0 || !self.block.is_empty()) => {
                Err(TarError::Truncated)
            }
            None => Ok(()),
        }
    }

    /// Whether the end of the archive was read.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.zeros == 2
    }

    fn header(&mut self, block: &[u8; BLOCK], offset: u64) -> Result<(), TarError> {
        if block.iter().all(|byte| *byte == 0) {
            self.zeros += 1;
            return Ok(());
        }
        self.zeros = 0;
        let wrong = || TarError::Header { offset };
        let read = |place| number(field(block, place)).ok_or_else(wrong);
        if read(header::CHECKSUM)? != header::checksum(block) {
            return Err(wrong());
        }
        let lossy = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let kind = block[header::KIND];
        let extended = match kind {
            b'L' | b'K' | b'x' | b'g' => Extended::default(),
            _ => core::mem::take(&mut self.extended),
        };
        let size =
            extended.size.unwrap_or(u64::try_from(read(header::SIZE)?).map_err(|_| wrong())?);
        let mut name = lossy(text(block, header::NAME));
        let prefix = text(block, header::PREFIX);
        if field(block, header::MAGIC).starts_with(b"ustar\0") && !prefix.is_empty() {
            name = format!("{}/{name}", lossy(prefix));
        }
        let name = extended.name.unwrap_or(name);
        let link = extended.link.unwrap_or_else(|| lossy(text(block, header::LINK)));
        let id = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
        let meta = Meta {
            mode: (read(header::MODE)? & 0o7777) as u16,
            uid: extended.uid.unwrap_or(id(read(header::UID)?)),
            gid: extended.gid.unwrap_or(id(read(header::GID)?)),
            mtime: extended.mtime.unwrap_or(read(header::MTIME)?),
        };
        let (user, group) = (lossy(text(block, header::USER)), lossy(text(block, header::GROUP)));
        let above = read(header::MODE)? >> 12;
        let mark = match (&*user, &*group, above) {
            ("", "", 0) => String::new(),
            _ => format!("{user}:{group}:{above:o}"),
        };
        let entry =
            |name: String, kind| Data::Entry(Entry { name, kind, meta, mark: mark.clone() });
        let limit = match kind {
            b'L' | b'K' | b'x' => MAX_EXTENSION,
            b'g' => u64::MAX >> 1,
            _ => self.most,
        };
        if size > limit {
            return Err(TarError::TooBig { size });
        }
        let device = |block_device| {
            let number = |place| number(field(block, place)).map_or(0, id);
            EntryKind::Device {
                block: block_device,
                major: number(header::MAJOR),
                minor: number(header::MINOR),
            }
        };
        let has_data = matches!(kind, 0 | b'0' | b'7' | b'L' | b'K' | b'x' | b'g');
        self.data = match kind {
            0 | b'0' | b'7' if name.ends_with('/') => entry(name, EntryKind::Directory),
            0 | b'0' | b'7' => entry(name, EntryKind::File(Vec::new())),
            b'1' => entry(name, EntryKind::Link(link)),
            b'2' => entry(name, EntryKind::Symlink(link)),
            b'3' => entry(name, device(false)),
            b'4' => entry(name, device(true)),
            b'5' => entry(name, EntryKind::Directory),
            b'6' => entry(name, EntryKind::Fifo),
            b'L' => Data::LongName,
            b'K' => Data::LongLink,
            b'x' => Data::Pax,
            _ => Data::Nothing,
        };
        // Links and folders have no data, whatever their headers say; unknown kinds may have some.
        let known = matches!(kind, b'1'..=b'6');
        self.left = if has_data || !known { size } else { 0 };
        self.padding = self.left.next_multiple_of(BLOCK as u64) - self.left;
        Ok(())
    }

    /// The data of an entry is there.
    fn complete(&mut self) -> Option<Entry> {
        let held = core::mem::take(&mut self.held);
        let lossy = |bytes: &[u8]| {
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            String::from_utf8_lossy(&bytes[..end]).into_owned()
        };
        match core::mem::replace(&mut self.data, Data::Nothing) {
            Data::Entry(mut entry) => {
                if let EntryKind::File(content) = &mut entry.kind {
                    *content = held;
                }
                return Some(entry);
            }
            Data::LongName => self.extended.name = Some(lossy(&held)),
            Data::LongLink => self.extended.link = Some(lossy(&held)),
            Data::Pax => self.pax(&held),
            Data::Nothing => {}
        }
        None
    }

    /// Records of `length key=value`, a line each.
    fn pax(&mut self, mut bytes: &[u8]) {
        while let Some(space) = bytes.iter().position(|byte| *byte == b' ') {
            let length = core::str::from_utf8(&bytes[..space])
                .ok()
                .and_then(|text| text.parse::<usize>().ok());
            let Some(record) = length.and_then(|length| bytes.get(space + 1..length)) else {
                return;
            };
            bytes = &bytes[space + 1 + record.len()..];
            let record = String::from_utf8_lossy(record).into_owned();
            let Some((key, value)) = record.trim_end_matches('\n').split_once('=') else {
                continue;
            };
            let whole = value.split('.').next().unwrap_or_default();
            match key {
                "path" => self.extended.name = Some(value.into()),
                "linkpath" => self.extended.link = Some(value.into()),
                "size" => self.extended.size = whole.parse().ok(),
                "mtime" => self.extended.mtime = whole.parse().ok(),
                "uid" => self.extended.uid = whole.parse().ok(),
                "gid" => self.extended.gid = whole.parse().ok(),
                _ => {}
            }
        }
    }
}

/// What has become of an entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unpacked {
    /// It is there now.
    Laid(Place),
    /// It was the folder itself, or a whiteout that is no part of the files.
    Skipped,
}

/// Lays an entry into a folder. Names stay below it: `..` in them does not lead out of it, and neither does a link that
/// stands there. What is in the way is replaced, but for a folder by a folder.
///
/// With `whiteouts`, as in the layers of an image, `.wh.NAME` removes NAME and `.wh..wh..opq` empties its folder.
///
/// # Errors
///
/// As the calls of [`View`] that it takes; `EINVAL` for a name that leads out of the folder.
pub fn unpack(
    view: &mut View<'_>,
    folder: &str,
    entry: &Entry,
    whiteouts: bool,
) -> Result<Unpacked, Errno> {
    let names: Vec<&str> =
        entry.name.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    if names.contains(&"..") {
        return Err(Errno::Inval);
    }
    let Some((last, way)) = names.split_last() else { return Ok(Unpacked::Skipped) };
    let mut path = String::from(folder.trim_end_matches('/'));
    for name in way {
        path.push('/');
        path.push_str(name);
        match view.node("/", &path, false).ok().as_deref() {
            Some(node) if node.is_directory() => {}
            Some(node)
                if matches!(node.kind, Kind::Symlink(_)) && view.is_directory("/", &path) => {}
            Some(_) => return Err(Errno::NotDir),
            None => drop(view.mkdir("/", &path, 0o755)?),
        }
    }
    if whiteouts && let Some(hidden) = last.strip_prefix(".wh.") {
        if hidden == ".wh..opq" {
            let names: Vec<_> =
                view.list("/", if path.is_empty() { "/" } else { &path })?.into_keys().collect();
            for name in names {
                let (place, _) = view.locate("/", &format!("{path}/{name}"), false)?;
                view.take(&place)?;
            }
        } else if let (place, Some(_)) = view.locate("/", &format!("{path}/{hidden}"), false)? {
            view.take(&place)?;
        }
        return Ok(Unpacked::Skipped);
    }
    path.push('/');
    path.push_str(last);
    let kind = match &entry.kind {
        EntryKind::File(content) => Kind::File(Arc::new(content.clone())),
        EntryKind::Directory => Kind::Directory(alloc::collections::BTreeMap::new()),
        EntryKind::Symlink(target) => Kind::Symlink(target.as_str().into()),
        EntryKind::Link(target) => {
            let target =
                format!("{}/{}", folder.trim_end_matches('/'), target.trim_start_matches('/'));
            view.node("/", &target, false)?.kind.clone()
        }
        EntryKind::Device { block, major, minor } => {
            Kind::Device { block: *block, major: *major, minor: *minor }
        }
        EntryKind::Fifo => Kind::Fifo,
    };
    let (place, old) = view.locate("/", &path, false)?;
    let both =
        old.as_ref().is_some_and(|old| old.is_directory()) && matches!(kind, Kind::Directory(_));
    if both {
        drop(old);
        view.set_meta("/", &path, false, |meta| *meta = entry.meta)?;
    } else {
        drop(old);
        view.put(&place, Node { meta: entry.meta, kind, inode: 0 })?;
    }
    Ok(Unpacked::Laid(place))
}
