//! The images that the sessions were recorded with.

use std::fs;
use std::process::Command;

/// A tar with these files: a directory, a link, or a program.
fn tar(entries: &[(&str, Entry<'_>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, entry) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o755);
        header.set_mtime(0);
        let written = match entry {
            Entry::Folder => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_size(0);
                tar.append_data(&mut header, name, &[][..])
            }
            Entry::Link(to) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_mode(0o777);
                header.set_size(0);
                tar.append_link(&mut header, name, to)
            }
            Entry::File(content) => {
                header.set_size(content.len() as u64);
                tar.append_data(&mut header, name, *content)
            }
        };
        written.expect("names are short, and a Vec takes all");
    }
    tar.into_inner().expect("a Vec takes all")
}

enum Entry<'a> {
    Folder,
    Link(&'a str),
    File(&'a [u8]),
}

/// A busybox of this machine's, or the given tar.
pub(super) fn busybox(rootfs: Option<&str>) -> Result<Vec<u8>, String> {
    if let Some(file) = rootfs {
        return fs::read(file).map_err(|error| format!("cannot read {file}: {error}"));
    }
    let program = ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .find(|path| fs::exists(path).unwrap_or(false));
    let Some(program) = program else {
        return Err("the sessions need an image of busybox, which the engine does not have and this machine cannot make: \
                    install busybox-static, or name a tar with --rootfs"
            .to_owned());
    };
    let content = fs::read(program).map_err(|error| format!("cannot read {program}: {error}"))?;
    let list = Command::new(program)
        .arg("--list")
        .output()
        .map_err(|error| format!("cannot run {program}: {error}"))?;
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    let names: Vec<String> =
        list.lines().filter(|name| *name != "busybox").map(|name| format!("bin/{name}")).collect();
    let mut entries = vec![("bin", Entry::Folder), ("tmp", Entry::Folder), ("etc", Entry::Folder)];
    entries.push(("bin/busybox", Entry::File(&content)));
    entries.extend(names.iter().map(|name| (name.as_str(), Entry::Link("busybox"))));
    Ok(tar(&entries))
}

/// An image with two entries, which are listed quickly.
pub(super) fn tiny() -> Vec<u8> {
    tar(&[("hello", Entry::File(b"hello\n")), ("data", Entry::Folder)])
}
