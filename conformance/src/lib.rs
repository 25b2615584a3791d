//! Tests against real clients and servers of libswarm.
