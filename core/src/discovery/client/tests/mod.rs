//! The client alone, and against a real node.
