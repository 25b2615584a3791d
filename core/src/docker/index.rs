//! The table, arranged at compile time so that a look-up sees only the few rows that may match.
//!
//! The method, the first letters of a path and its last bytes choose a bucket of rows. Rows that
//! end with a parameter have no last bytes of their own: they are in the buckets of zero.

use memchr::memchr;

use super::routes::{Params, Route};
use super::table::ROUTES;

/// How many of a path's first letters, and of its last bytes, choose a bucket.
const WORD: usize = 4;
const BUCKETS: usize = 256;

static INDEX: Index = Index::new();

/// The rows in the order of their buckets.
struct Index {
    /// Where each bucket starts in `shapes`; it ends where the next one starts.
    starts: [u8; BUCKETS + 1],
    shapes: [Shape; ROUTES.len()],
}

/// How a row matches a path.
#[derive(Clone, Copy)]
struct Shape {
    route: u8,
    method: u8,
    form: Form,
    /// What the path's last bytes are; zero if the row ends with a parameter.
    tail: u32,
}

#[derive(Clone, Copy)]
enum Form {
    /// Without parameters.
    Literal,
    /// One parameter: all that lies between these many bytes of the row's path and those from
    /// `suffix` on.
    One { prefix: u8, suffix: u8, slashes: bool },
    /// Several parameters, each of one segment.
    Several,
}

/// The row for a method and a path that starts at `start` of its target, and the parameters.
#[inline]
pub(super) fn find(method: &str, path: &[u8], start: usize) -> Option<(&'static Route, Params)> {
    let head = u32::from_le_bytes(*path.get(1..)?.first_chunk::<WORD>()?);
    let tail = u32::from_le_bytes(*path.last_chunk::<WORD>()?);
    let code = code(method)?;
    for tail in [tail, 0] {
        let bucket = bucket(code, head, tail);
        let range = usize::from(INDEX.starts[bucket])..usize::from(INDEX.starts[bucket + 1]);
        for shape in &INDEX.shapes[range] {
            if shape.tail != tail || shape.method != code {
                continue;
            }
            let route = &ROUTES[usize::from(shape.route)];
            if let Some(params) = shape.params(route, path, start) {
                return Some((route, params));
            }
        }
    }
    None
}

impl Shape {
    /// The parameters of `path`, if it is one of this row's.
    #[inline]
    fn params(&self, route: &Route, path: &[u8], start: usize) -> Option<Params> {
        let pattern = route.path.as_bytes();
        match self.form {
            Form::Literal => (pattern == path).then(Params::default),
            Form::One { prefix, suffix, slashes } => {
                let (prefix, suffix) = (&pattern[..prefix.into()], &pattern[suffix.into()..]);
                let param = path.strip_prefix(prefix)?.strip_suffix(suffix)?;
                if !is_clean(param, slashes) {
                    return None;
                }
                Params::default().with(start + prefix.len(), param.len())
            }
            Form::Several => several(pattern, path, start),
        }
    }

    const fn new(nth: usize) -> Self {
        let path = ROUTES[nth].path.as_bytes();
        let (mut open, mut close, mut params) = (path.len(), path.len(), 0);
        let mut at = 0;
        while at < path.len() {
            if path[at] == b'{' {
                (open, params) = (at, params + 1);
            } else if path[at] == b'}' {
                close = at + 1;
            }
            at += 1;
        }
        assert!(params <= Params::MAX && path.len() < 256);
        let form = match params {
            0 => Form::Literal,
            1 => {
                let slashes = may_hold_slashes(path);
                Form::One { prefix: open as u8, suffix: close as u8, slashes }
            }
            _ => Form::Several,
        };
        let tail = if params > 0 && close == path.len() {
            0
        } else {
            // What is compared must not reach into a parameter.
            assert!(params == 0 || path.len() - close >= WORD);
            word(path, path.len() - WORD)
        };
        let Some(method) = code(ROUTES[nth].method) else {
            panic!("a row has a method that code() does not know")
        };
        Self { route: nth as u8, method, form, tail }
    }

    const RANKS: usize = 3;

    /// Rows of a lower rank are tried first: the more of a row is fixed, the lower.
    const fn rank(&self) -> usize {
        match self.form {
            Form::Literal => 0,
            Form::Several => 1,
            Form::One { .. } => 2,
        }
    }
}

impl Index {
    const fn new() -> Self {
        // A place in the index is a byte.
        assert!(ROUTES.len() < 256);
        let mut starts = [0; BUCKETS + 1];
        let mut nth = 0;
        while nth < ROUTES.len() {
            starts[bucket_of(nth) + 1] += 1;
            nth += 1;
        }
        let mut bucket = 0;
        while bucket < BUCKETS {
            starts[bucket + 1] += starts[bucket];
            bucket += 1;
        }
        let mut shapes = [Shape::new(0); ROUTES.len()];
        let mut free = starts;
        let mut rank = 0;
        while rank < Shape::RANKS {
            let mut nth = 0;
            while nth < ROUTES.len() {
                let shape = Shape::new(nth);
                if shape.rank() == rank {
                    let place = &mut free[bucket_of(nth)];
                    shapes[*place as usize] = shape;
                    *place += 1;
                }
                nth += 1;
            }
            rank += 1;
        }
        Self { starts, shapes }
    }
}

/// The bucket of a row.
const fn bucket_of(nth: usize) -> usize {
    let Shape { method, tail, .. } = Shape::new(nth);
    bucket(method, word(ROUTES[nth].path.as_bytes(), 1), tail)
}

/// The bucket of a method, of the bytes that follow a path's first slash and of its last ones.
///
/// Any odd factors are correct; these spread the rows well, and a test tells when they no longer do.
const fn bucket(code: u8, head: u32, tail: u32) -> usize {
    let mixed = (head ^ (code as u32)).wrapping_mul(0x76D5_35D1) ^ tail.wrapping_mul(0x3177_C5A9);
    (mixed >> (u32::BITS - BUCKETS.ilog2())) as usize
}

const fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The parameters of `path`, if each segment is the one of `pattern` or the value of its parameter.
#[cold]
fn several(pattern: &[u8], path: &[u8], start: usize) -> Option<Params> {
    let mut params = Params::default();
    let mut at = start;
    let mut segments = path.split(|byte| *byte == b'/');
    for wanted in pattern.split(|byte| *byte == b'/') {
        let segment = segments.next()?;
        if wanted.starts_with(b"{") {
            if !is_clean(segment, false) {
                return None;
            }
            params = params.with(at, segment.len())?;
        } else if wanted != segment {
            return None;
        }
        at += segment.len() + 1;
    }
    segments.next().is_none().then_some(params)
}

/// Whether dockerd's router lets this path's parameter hold slashes.
const fn may_hold_slashes(path: &[u8]) -> bool {
    let groups: [&[u8]; 7] = [
        b"/containers/",
        b"/distribution/",
        b"/exec/",
        b"/images/",
        b"/networks/",
        b"/plugins/",
        b"/volumes/",
    ];
    let mut nth = 0;
    while nth < groups.len() {
        let (group, mut at) = (groups[nth], 0);
        while at < group.len() && at < path.len() && group[at] == path[at] {
            at += 1;
        }
        if at == group.len() {
            return true;
        }
        nth += 1;
    }
    false
}

/// Whether a parameter is one segment, or several if it may be, and none is empty or only dots.
#[inline]
fn is_clean(param: &[u8], slashes: bool) -> bool {
    match memchr(b'/', param) {
        None => is_name(param),
        Some(_) => slashes && are_names(param),
    }
}

#[inline(never)]
fn are_names(param: &[u8]) -> bool {
    param.split(|byte| *byte == b'/').all(is_name)
}

#[inline]
fn is_name(segment: &[u8]) -> bool {
    !matches!(segment, b"" | b"." | b"..")
}

const fn code(method: &str) -> Option<u8> {
    match method.as_bytes() {
        b"GET" => Some(0),
        b"POST" => Some(1),
        b"DELETE" => Some(2),
        b"PUT" => Some(3),
        b"HEAD" => Some(4),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, INDEX, ROUTES};

    #[test]
    fn the_index_has_each_row_once() {
        let mut places: [usize; ROUTES.len()] = INDEX.shapes.map(|shape| shape.route.into());
        places.sort_unstable();
        assert!(places.iter().copied().eq(0..ROUTES.len()));
        assert_eq!(usize::from(INDEX.starts[BUCKETS]), ROUTES.len());
    }

    #[test]
    fn buckets_are_small() {
        let fullest = INDEX.starts.windows(2).map(|ends| ends[1] - ends[0]).max();
        assert!(fullest <= Some(3), "a bucket has {fullest:?} rows: try other factors");
    }
}
