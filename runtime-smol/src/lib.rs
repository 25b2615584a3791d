//! The smol runtime of libswarm.
