//! The threaded runtime of libswarm.
