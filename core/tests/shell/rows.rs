//! The scripts of `rows.txt`.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::container::{Container, Outcome};

struct Row {
    script: String,
    stdin: String,
    expected: Outcome,
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for block in include_str!("rows.txt").split("\n\n") {
        let mut row =
            Row { script: String::new(), stdin: String::new(), expected: Outcome::default() };
        let mut last = ' ';
        for line in block.lines() {
            let (kind, text) =
                (line.chars().next().unwrap_or(' '), line.get(2..).unwrap_or_default());
            let Outcome { stdout, stderr, .. } = &mut row.expected;
            let field = match if kind == '\\' { last } else { kind } {
                '$' => &mut row.script,
                '<' => &mut row.stdin,
                '>' => stdout,
                '!' => stderr,
                _ => {
                    row.expected.code = text.parse().unwrap();
                    continue;
                }
            };
            if kind == '\\' {
                field.pop();
            } else {
                field.push_str(text);
                field.push('\n');
            }
            last = kind;
        }
        row.script.pop();
        rows.push(row);
    }
    rows
}

#[test]
fn scripts_do_what_busybox_recorded() {
    let rows = rows();
    assert!(rows.len() >= 250, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        let seen = Container::new().script(&row.script, &[row.stdin.as_bytes()]);
        if seen != row.expected {
            wrong.push(format!("{}\nexpected {:?}\n    seen {seen:?}", row.script, row.expected));
        }
    }
    assert!(wrong.is_empty(), "{} rows differ:\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn any_split_of_stdin_gives_the_same() {
    for row in rows().iter().filter(|row| !row.stdin.is_empty()) {
        let bytes: Vec<&[u8]> = row.stdin.as_bytes().chunks(1).collect();
        assert_eq!(Container::new().script(&row.script, &bytes), row.expected, "{}", row.script);
    }
}

#[test]
fn any_amount_of_fuel_gives_the_same() {
    for row in rows().iter().step_by(3) {
        let mut container = Container::new();
        let mut spec = libswarm::backend::simulator::process::Spec::new(["sh", "-c", &row.script])
            .open_stdin();
        (spec.cwd, spec.env) =
            ("/tmp".into(), vec!["PATH=/bin:/usr/bin".into(), "HOME=/root".into()]);
        let pid = container.start(spec).unwrap();
        container.processes.stdin(pid, row.stdin.as_bytes());
        container.processes.close_stdin(pid);
        let mut seen = Outcome::default();
        while container.processes.exited(pid).is_none() {
            if let libswarm::backend::simulator::process::Progress::Idle(Some(until)) =
                container.step(1)
            {
                container.now = until.since_epoch();
            }
            container.drain(pid, &mut seen);
        }
        container.drain(pid, &mut seen);
        seen.code = container.processes.exited(pid).unwrap().code;
        assert_eq!(seen, row.expected, "{}", row.script);
    }
}

#[test]
fn the_recording_is_what_busybox_says() {
    let Ok(version) = Command::new("busybox").output() else {
        eprintln!("skipped: there is no busybox on this machine");
        return;
    };
    // Messages differ from one release to the next.
    if !String::from_utf8_lossy(&version.stdout).starts_with("BusyBox v1.35") {
        eprintln!("skipped: the recording is of busybox 1.35");
        return;
    }
    let folder = std::env::temp_dir().join(format!("libswarm-shell-{}", std::process::id()));
    for (index, row) in rows().iter().enumerate() {
        let folder = folder.join(index.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        // A job in the background is born deaf to an interrupt, which no trap changes.
        let mut child = Command::new("env")
            .args(["--default-signal=INT,QUIT", "busybox", "sh", "-c", &row.script])
            .env_clear()
            .env("PATH", "/bin:/usr/bin")
            .env("HOME", "/root")
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Who reads no stdin may be gone already.
        let _ = child.stdin.take().unwrap().write_all(row.stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        let seen = Outcome {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: u8::try_from(output.status.code().unwrap_or(255)).unwrap(),
        };
        if !simulated_only(row) {
            assert_eq!(seen, row.expected, "{}", row.script);
        }
    }
    let _ = std::fs::remove_dir_all(&folder);
}

/// Rows in which a simulated container is another place than this machine.
fn simulated_only(row: &Row) -> bool {
    row.script.contains("# simulated")
}
