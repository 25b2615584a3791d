//! Shell scripts in a simulated container: what they print and how they end, which is what busybox prints and how it ends.
//!
//! `rows.txt` holds them: `$ ` a line of the script, `< ` of its stdin, `> ` of stdout, `! ` of stderr (a `\` alone: the
//! line before has no end), `= ` the status. They are compared with the recording always, and with the busybox of this
//! machine where there is one.

mod container;
mod hostile;
mod rows;
mod terminal;
