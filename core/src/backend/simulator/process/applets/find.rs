//! `find`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Output, Sys};
use crate::backend::simulator::files::{Kind, Node};
use crate::backend::simulator::process::pattern::Pattern;

enum Test {
    Name(Pattern),
    Path(Pattern),
    Type(char),
    Empty,
    Size(char, u64),
    Print,
    PrintZero,
    Delete,
    Prune,
    Exec(Vec<String>),
    Not,
    Or,
}

/// A search: what it prints, and what it wants to be run, in order.
#[derive(Default)]
pub(super) struct Search {
    pub(super) output: Output,
    pub(super) runs: Vec<Vec<String>>,
    pub(super) status: u8,
}

pub(super) fn find(sys: &mut Sys<'_, '_>, args: &[String]) -> Search {
    let mut search = Search::default();
    if let Err(text) = run(sys, args, &mut search) {
        search.output.complain(&format!("find: {text}"));
        search.status = 1;
    }
    search
}

fn run(sys: &mut Sys<'_, '_>, args: &[String], search: &mut Search) -> Result<(), String> {
    let is_test = |arg: &String| {
        arg.starts_with('-') && arg.len() > 1 || matches!(arg.as_str(), "!" | "(" | ")")
    };
    let count = args[1..].iter().take_while(|arg| !is_test(arg)).count();
    let mut paths = args[1..=count].to_vec();
    if paths.is_empty() {
        paths.push(".".into());
    }
    let (mut deepest, mut least) = (usize::MAX, 0);
    let (mut tests, mut acts, mut depth_first) = (Vec::new(), false, false);
    let mut rest = args[1 + count..].iter();
    while let Some(arg) = rest.next() {
        let mut value = || rest.next().cloned().ok_or_else(|| format!("{arg}: argument expected"));
        match arg.as_str() {
            "-name" => tests.push(Test::Name(Pattern::new(&value()?))),
            "-path" => tests.push(Test::Path(Pattern::new(&value()?))),
            "-type" => tests.push(Test::Type(value()?.chars().next().unwrap_or('f'))),
            "-maxdepth" => deepest = value()?.parse().unwrap_or(usize::MAX),
            "-mindepth" => least = value()?.parse().unwrap_or(0),
            "-size" => {
                let text = value()?;
                let sign = text.chars().next().filter(|c| "+-".contains(*c)).unwrap_or('=');
                let digits = text.trim_start_matches(['+', '-']);
                let unit = if digits.ends_with(|c: char| c.is_ascii_digit()) {
                    format!("{digits}b")
                } else {
                    digits.into()
                };
                tests.push(Test::Size(sign, super::files::size(&unit).unwrap_or(0)));
            }
            "-empty" => tests.push(Test::Empty),
            "-print" => tests.push(Test::Print),
            "-print0" => tests.push(Test::PrintZero),
            "-delete" => {
                depth_first = true;
                tests.push(Test::Delete);
            }
            "-depth" => depth_first = true,
            "-prune" => tests.push(Test::Prune),
            "-exec" => {
                let mut words = Vec::new();
                loop {
                    match value()?.as_str() {
                        ";" | "+" => break,
                        word => words.push(word.to_string()),
                    }
                }
                tests.push(Test::Exec(words));
            }
            "!" | "-not" => tests.push(Test::Not),
            "-o" | "-or" => tests.push(Test::Or),
            "-a" | "-and" | "-xdev" | "-follow" => {}
            _ => return Err(format!("unrecognized: {arg}")),
        }
        acts |= matches!(
            tests.last(),
            Some(Test::Print | Test::PrintZero | Test::Delete | Test::Exec(_))
        );
    }
    let cwd = sys.cwd();
    for path in paths {
        let mut left = Vec::from([(path.clone(), 0_usize, false)]);
        while let Some((path, depth, children_done)) = left.pop() {
            let node = match sys.system.files.node(&cwd, &path, false) {
                Ok(node) => node,
                Err(error) => {
                    search.output.complain(&format!("find: {path}: {error}"));
                    search.status = 1;
                    continue;
                }
            };
            let mut enters = !children_done && depth < deepest && node.is_directory();
            let first = !depth_first || children_done || !enters;
            if first && depth >= least {
                let mut prune = false;
                let matched = check(sys, &cwd, &tests, &path, &node, search, &mut prune);
                if matched && !acts {
                    search.output.line(&path);
                }
                enters &= !prune;
            }
            if enters {
                if depth_first {
                    left.push((path.clone(), depth, true));
                }
                let entries = node.entries().into_iter().flatten().rev();
                left.extend(entries.map(|(name, _)| {
                    (format!("{}/{name}", path.trim_end_matches('/')), depth + 1, false)
                }));
            }
        }
    }
    Ok(())
}

fn check(
    sys: &mut Sys<'_, '_>,
    cwd: &str,
    tests: &[Test],
    path: &str,
    node: &Node,
    search: &mut Search,
    prune: &mut bool,
) -> bool {
    let (mut holds, mut negated) = (true, false);
    for test in tests {
        match test {
            Test::Or if holds => return true,
            Test::Or => {
                holds = true;
                continue;
            }
            Test::Not => {
                negated = !negated;
                continue;
            }
            _ if !holds => continue,
            _ => {}
        }
        let result = match test {
            Test::Name(pattern) => pattern.matches(super::base(path.trim_end_matches('/'))),
            Test::Path(pattern) => pattern.matches(path),
            Test::Type(letter) => match node.kind {
                Kind::File(_) => *letter == 'f',
                Kind::Directory(_) => *letter == 'd',
                Kind::Symlink(_) => *letter == 'l',
                Kind::Device { block, .. } => *letter == if block { 'b' } else { 'c' },
                Kind::Fifo => *letter == 'p',
            },
            Test::Empty => match &node.kind {
                Kind::Directory(entries) => entries.is_empty(),
                _ => node.size() == 0,
            },
            Test::Size(sign, size) => match sign {
                '+' => node.size() > *size,
                '-' => node.size() < *size,
                _ => node.size().div_ceil(512) == size.div_ceil(512),
            },
            Test::Print => {
                search.output.line(path);
                true
            }
            Test::PrintZero => {
                search.output.out.extend_from_slice(path.as_bytes());
                search.output.out.push(0);
                true
            }
            Test::Prune => {
                *prune = true;
                true
            }
            Test::Delete => {
                let files = &mut sys.system.files;
                let removed = if node.is_directory() {
                    files.rmdir(cwd, path)
                } else {
                    files.unlink(cwd, path)
                };
                if let Err(error) = &removed {
                    search.output.complain(&format!("find: {path}: {error}"));
                    search.status = 1;
                }
                removed.is_ok()
            }
            Test::Exec(words) => {
                search.runs.push(words.iter().map(|word| word.replace("{}", path)).collect());
                true
            }
            Test::Not | Test::Or => true,
        };
        holds = result != negated;
        negated = false;
    }
    holds
}
