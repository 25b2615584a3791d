//! Conversations that were captured, for tests.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Something that was asked for, and what was answered.
pub(super) struct Capture {
    title: String,
    pub(super) sent: Vec<u8>,
    pub(super) received: Vec<Vec<u8>>,
}

impl Capture {
    pub(super) fn all() -> Vec<Self> {
        let (mut all, mut title): (Vec<Self>, _) = (Vec::new(), "");
        for line in include_str!("captured.txt").lines() {
            let (mark, rest) = line.split_at(1);
            match mark {
                "#" => title = rest.trim(),
                ">" => all.push(Self {
                    title: title.to_string(),
                    sent: bytes(rest),
                    received: Vec::new(),
                }),
                _ => all.last_mut().expect("something was sent").received.push(bytes(rest)),
            }
        }
        all
    }

    /// The first with that title.
    pub(super) fn find<'a>(all: &'a [Self], title: &str) -> &'a Self {
        all.iter().find(|it| it.title == title).expect("it was captured")
    }
}

fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.trim().chars().map(|it| it.to_digit(16).expect("hexadecimal") as u8).collect();
    digits.chunks(2).map(|two| two[0] << 4 | two[1]).collect()
}
