//! What both runtimes share and needs std of libswarm.
