//! Bodies that tell whose they are and whether they are whole.

/// The bytes of a body of that request, from one place to another.
pub(super) fn bytes(tag: u32, from: usize, to: usize) -> Vec<u8> {
    (from..to).map(|at| byte(tag, at)).collect()
}

fn byte(tag: u32, at: usize) -> u8 {
    // Neighbours differ, and so do requests; no period is a power of two.
    let mixed = (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ u64::from(tag).wrapping_mul(0xd6e8_feb8_6659_fd93);
    b'a' + ((mixed >> 32) % 25) as u8
}

/// Whether `bytes` are the first of that body.
pub(super) fn is_start(tag: u32, bytes: &[u8]) -> bool {
    bytes.iter().enumerate().all(|(at, got)| *got == byte(tag, at))
}
