//! What a run found: for people, for programs, for those who collect such reports.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::json;

use super::{Line, Outcome};

/// How a report is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// A table.
    Text,
    /// One JSON object.
    Json,
    /// JUnit's XML.
    Junit,
}

impl Outcome {
    const fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(_) => "failed",
            Self::Skipped(_) => "skipped",
        }
    }

    fn why(&self) -> Option<&str> {
        match self {
            Self::Passed => None,
            Self::Failed(why) | Self::Skipped(why) => Some(why),
        }
    }
}

/// How many of the lines have that result.
pub(crate) fn count(lines: &[Line], word: &str) -> usize {
    lines.iter().filter(|line| line.outcome.word() == word).count()
}

/// Writes the report of a run against `target`.
#[must_use]
pub fn report(target: &str, lines: &[Line], format: Format) -> String {
    match format {
        Format::Text => text(lines),
        Format::Json => {
            let scenarios: Vec<_> = lines
                .iter()
                .map(|line| {
                    json!({"name": line.name, "client": line.client, "result": line.outcome.word(), "difference": line.outcome.why()})
                })
                .collect();
            let document = json!({
                "target": target,
                "scenarios": scenarios,
                "passed": count(lines, "passed"),
                "failed": count(lines, "failed"),
                "skipped": count(lines, "skipped"),
            });
            format!("{document:#}\n")
        }
        Format::Junit => junit(target, lines),
    }
}

fn text(lines: &[Line]) -> String {
    let width = lines.iter().map(|line| line.client.len() + line.name.len() + 1).max().unwrap_or(0);
    let mut out = String::new();
    for line in lines {
        let name = format!("{}/{}", line.client, line.name);
        let why = line.outcome.why().unwrap_or_default();
        let row = format!("{name:width$}  {:7}  {why}", line.outcome.word());
        let _ = writeln!(out, "{}", row.trim_end());
    }
    let [passed, failed, skipped] = ["passed", "failed", "skipped"].map(|word| count(lines, word));
    let _ = writeln!(out, "\n{passed} passed, {failed} failed, {skipped} skipped");
    out
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML 1.0 has no way to write these.
            control if control.is_control() && !matches!(control, '\n' | '\t') => {
                out.push('\u{fffd}')
            }
            other => out.push(other),
        }
    }
    out
}

fn junit(target: &str, lines: &[Line]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let seconds = lines.iter().map(|line| line.took.as_secs_f64()).sum::<f64>();
    let _ = writeln!(
        out,
        "<testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\" time=\"{seconds:.3}\">",
        escaped(target),
        lines.len(),
        count(lines, "failed"),
        count(lines, "skipped")
    );
    for line in lines {
        let _ = write!(
            out,
            "  <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
            escaped(&line.client),
            escaped(&line.name),
            line.took.as_secs_f64()
        );
        let _ = match &line.outcome {
            Outcome::Passed => writeln!(out, "/>"),
            Outcome::Failed(why) => {
                writeln!(out, "><failure message=\"{}\"/></testcase>", escaped(why))
            }
            Outcome::Skipped(why) => {
                writeln!(out, "><skipped message=\"{}\"/></testcase>", escaped(why))
            }
        };
    }
    out.push_str("</testsuite>\n");
    out
}

/// A Markdown table of implementations by clients, with each scenario that one of them does not pass below it.
#[must_use]
pub fn matrix(targets: &[(String, Vec<Line>)]) -> String {
    let mut out = String::from("| client |");
    for (name, _) in targets {
        let _ = write!(out, " {name} |");
    }
    let _ = writeln!(out, "\n| --- |{}", " --- |".repeat(targets.len()));
    let clients: BTreeSet<&str> =
        targets.iter().flat_map(|(_, lines)| lines).map(|line| line.client.as_str()).collect();
    let cell = |lines: &[Line], client: Option<&str>| {
        let mine: Vec<Line> = lines
            .iter()
            .filter(|line| client.is_none_or(|client| line.client == client))
            .cloned()
            .collect();
        let skipped = count(&mine, "skipped");
        let rest = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
        format!(" {} of {}{rest} |", count(&mine, "passed"), mine.len() - skipped)
    };
    for client in clients.iter().copied().map(Some).chain([None]) {
        let _ = write!(out, "| {} |", client.unwrap_or("all"));
        for (_, lines) in targets {
            out.push_str(&cell(lines, client));
        }
        out.push('\n');
    }
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (target, lines) in targets {
        for line in lines {
            let words = match &line.outcome {
                Outcome::Passed => "passed".to_owned(),
                Outcome::Failed(why) => {
                    format!("failed: {}", why.replace('|', "\\|").replace('\n', " "))
                }
                Outcome::Skipped(why) => format!("skipped: {}", why.replace('|', "\\|")),
            };
            rows.entry(format!("{}/{}", line.client, line.name))
                .or_default()
                .push(format!("{target} {words}"));
        }
    }
    let mut first = true;
    for (name, words) in
        rows.iter().filter(|(_, words)| words.iter().any(|word| !word.ends_with(" passed")))
    {
        if std::mem::take(&mut first) {
            out.push_str("\n| scenario |");
            for (target, _) in targets {
                let _ = write!(out, " {target} |");
            }
            let _ = writeln!(out, "\n| --- |{}", " --- |".repeat(targets.len()));
        }
        let _ = write!(out, "| {name} |");
        for ((target, _), word) in targets.iter().zip(words) {
            let _ = write!(
                out,
                " {} |",
                word.strip_prefix(target.as_str()).unwrap_or(word).trim_start()
            );
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn lines() -> Vec<Line> {
        let line = |name: &str, outcome| Line {
            client: "curl".to_owned(),
            name: name.to_owned(),
            outcome,
            took: Duration::from_millis(5),
        };
        vec![
            line("ping", Outcome::Passed),
            line("exec", Outcome::Failed("recorded \"a\" | got <b>\u{1}".to_owned())),
            line("prune", Outcome::Skipped("not empty".to_owned())),
        ]
    }

    #[test]
    fn each_form_tells_the_same() {
        let json: serde_json::Value =
            serde_json::from_str(&report("t", &lines(), Format::Json)).unwrap();
        assert_eq!(
            (&json["passed"], &json["failed"], &json["skipped"]),
            (&json!(1), &json!(1), &json!(1))
        );
        assert_eq!(
            json["scenarios"][0],
            json!({"name": "ping", "client": "curl", "result": "passed", "difference": null})
        );
        let xml = report("t", &lines(), Format::Junit);
        assert!(xml.contains("tests=\"3\" failures=\"1\" skipped=\"1\""));
        assert!(
            xml.contains("<failure message=\"recorded &quot;a&quot; | got &lt;b&gt;\u{fffd}\"/>")
        );
        assert!(
            report("t", &lines(), Format::Text)
                .ends_with("curl/prune  skipped  not empty\n\n1 passed, 1 failed, 1 skipped\n")
        );
        let table = matrix(&[("one".to_owned(), lines()), ("two".to_owned(), lines())]);
        assert!(table.starts_with("| client | one | two |\n| --- | --- | --- |\n| curl | 1 of 2, 1 skipped | 1 of 2, 1 skipped |\n| all |"), "{table}");
        assert!(
            table.contains("| curl/prune | skipped: not empty | skipped: not empty |")
                && !table.contains("curl/ping")
        );
    }
}
