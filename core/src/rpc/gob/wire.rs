//! Gob's numbers and strings, from bytes and to bytes.

use alloc::vec::Vec;

/// The bytes are no gob, or end early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Malformed;

/// Reads one message, whose bytes are all there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) const fn left(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn uint(&mut self) -> Result<u64, Malformed> {
        match prefix(self.rest)? {
            Some((length, value)) => {
                self.rest = &self.rest[length..];
                Ok(value)
            }
            None => Err(Malformed),
        }
    }

    pub(super) fn int(&mut self) -> Result<i64, Malformed> {
        let bits = self.uint()?;
        let value = (bits >> 1) as i64;
        Ok(if bits & 1 == 1 { !value } else { value })
    }

    /// A string, or a slice of bytes.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.uint()?;
        self.take(length)
    }

    /// How many elements come; each takes at least one byte.
    pub(super) fn count(&mut self) -> Result<u64, Malformed> {
        let count = self.uint()?;
        if count > self.left() as u64 { Err(Malformed) } else { Ok(count) }
    }

    /// Reads the fields of a structure: `read` is told the number of each, from 1 on.
    pub(super) fn fields(
        &mut self,
        mut read: impl FnMut(&mut Self, u64) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let mut field: u64 = 0;
        loop {
            let distance = self.uint()?;
            if distance == 0 {
                return Ok(());
            }
            field = field.checked_add(distance).ok_or(Malformed)?;
            read(self, field)?;
        }
    }
}

/// A number at the start of `bytes`, and the length of its encoding; `None` if more must come.
pub(super) fn prefix(bytes: &[u8]) -> Result<Option<(usize, u64)>, Malformed> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    if first < 128 {
        return Ok(Some((1, u64::from(first))));
    }
    let length = 256 - usize::from(first);
    if length > 8 {
        return Err(Malformed);
    }
    let Some(digits) = bytes.get(1..=length) else { return Ok(None) };
    let value = digits.iter().fold(0, |value, digit| value << 8 | u64::from(*digit));
    Ok(Some((1 + length, value)))
}

pub(super) fn put_uint(value: u64, out: &mut Vec<u8>) {
    if value < 128 {
        out.push(value as u8);
        return;
    }
    let skipped = (value.leading_zeros() / 8) as usize;
    out.push((256 - (8 - skipped)) as u8);
    out.extend_from_slice(&value.to_be_bytes()[skipped..]);
}

pub(super) fn put_int(value: i64, out: &mut Vec<u8>) {
    let shifted = (value as u64) << 1;
    put_uint(if value < 0 { !shifted } else { shifted }, out);
}

pub(super) fn put_string(text: &str, out: &mut Vec<u8>) {
    put_uint(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

/// Writes a message: its length, then what `fill` writes.
pub(super) fn put_message(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    // Most are shorter than 128 bytes, whose length takes one.
    out.push(0);
    fill(out);
    let length = out.len() - start - 1;
    if length < 128 {
        out[start] = length as u8;
        return;
    }
    let mut encoded = Vec::with_capacity(9);
    put_uint(length as u64, &mut encoded);
    out.splice(start..=start, encoded);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_go_s() {
        for (value, bytes) in [
            (0, &[0][..]),
            (127, &[127]),
            (128, &[0xff, 128]),
            (256, &[0xfe, 1, 0]),
            (u64::MAX, &[0xf8, 255, 255, 255, 255, 255, 255, 255, 255]),
        ] {
            let mut out = Vec::new();
            put_uint(value, &mut out);
            assert_eq!(out, bytes);
        }
        for (value, bytes) in
            [(0, &[0][..]), (-1, &[1]), (1, &[2]), (-65, &[0xff, 129]), (65, &[0xff, 130])]
        {
            let mut out = Vec::new();
            put_int(value, &mut out);
            assert_eq!(out, bytes);
        }
        // Nine bytes are no number.
        assert_eq!(prefix(&[0xf7]), Err(Malformed));
        assert_eq!(prefix(&[0x80; 20]), Err(Malformed));
        assert_eq!(prefix(&[0xfe, 1]), Ok(None));
        // Longer than need be is Go's to accept.
        assert_eq!(Reader::new(&[0xfe, 0, 5]).uint(), Ok(5));
    }

    proptest! {
        #[test]
        fn numbers_come_back(value: u64, int: i64) {
            let mut out = Vec::new();
            put_uint(value, &mut out);
            put_int(int, &mut out);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.uint(), Ok(value));
            prop_assert_eq!(reader.int(), Ok(int));
            prop_assert_eq!(reader.left(), 0);
        }

        #[test]
        fn a_message_has_its_length_in_front(length in 0_usize..70_000) {
            let mut out = b"before".to_vec();
            put_message(&mut out, |out| out.resize(out.len() + length, 7));
            let (prefix, value) = prefix(&out[6..]).unwrap().unwrap();
            prop_assert_eq!(value, length as u64);
            prop_assert_eq!(out.len(), 6 + prefix + length);
        }
    }
}
