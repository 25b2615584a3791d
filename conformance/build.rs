//! The shipped sessions become part of the binary: whoever installs it has them.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    all.sort();
    Ok(all)
}

fn main() -> io::Result<()> {
    let folder =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("sessions");
    println!("cargo::rerun-if-changed=sessions");
    let mut table = String::from("&[\n");
    for client in sorted(&folder)?.iter().filter(|path| path.is_dir()) {
        println!("cargo::rerun-if-changed={}", client.display());
        let sessions = sorted(client)?;
        for file in
            sessions.iter().filter(|path| path.extension().is_some_and(|end| end == "session"))
        {
            let name =
                |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let _ = writeln!(
                table,
                "    Shipped {{ client: {:?}, name: {:?}, text: include_str!({:?}) }},",
                name(client),
                name(file),
                file
            );
        }
    }
    table.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("shipped.rs");
    fs::write(out, table)
}
