//! Archives: written and read in pieces.
