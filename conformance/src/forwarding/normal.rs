//! What differs between any two runs of a command, made the same.

/// Ids, times, ages and the widths of columns, replaced.
pub(super) fn normal(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let line = names(line);
        let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        lines.push(ages(&words));
    }
    lines.join("\n")
}

/// What else differs between a real engine and a simulated one: how and where it keeps its files, its very version, and the
/// cache of a builder that only real ones have.
pub(super) fn of_machine(text: &str) -> String {
    let mut kept = Vec::new();
    // Open braces of what is left out.
    let mut hidden = 0_usize;
    for line in text.split('\n') {
        if hidden > 0 || line.starts_with("\"GraphDriver\": {") {
            hidden += usize::from(line.ends_with('{'));
            hidden -= usize::from(line.starts_with('}'));
        } else if !line.starts_with("\"DockerVersion\":") && !line.starts_with("Build Cache ") {
            kept.push(line.replace("vfs", "STORAGE").replace("overlay2", "STORAGE"));
        }
    }
    for line in &mut kept {
        if line.starts_with("\"SandboxKey\":") {
            *line = String::from(line.rsplit('/').next().unwrap_or_default());
        }
    }
    kept.join("\n")
}

/// `ID` for 12 hexadecimal digits or more, `TIME` for a date with a time or for seconds and nanoseconds since 1970.
fn names(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let word = run(rest, |letter| letter.is_ascii_alphanumeric());
        if let Some(length) = time(rest) {
            out.push_str("TIME");
            rest = &rest[length..];
        } else if word == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            let (name, after) = rest.split_at(word);
            let digits = name.bytes().all(|byte| byte.is_ascii_digit());
            out.push_str(match name.len() {
                10 | 19 if digits && name.starts_with('1') => "TIME",
                12.. if name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) => "ID",
                _ => name,
            });
            rest = after;
        }
    }
    out
}

fn run(text: &str, allowed: impl Fn(char) -> bool) -> usize {
    text.find(|letter| !allowed(letter)).unwrap_or(text.len())
}

/// The length of a date with a time, its fraction and zone included, at the start of `text`.
fn time(text: &str) -> Option<usize> {
    let shape = "0000-00-00T00:00:00";
    let mut letters = text.chars();
    let fits = shape.chars().all(|wanted| {
        letters.next().is_some_and(|letter| match wanted {
            '0' => letter.is_ascii_digit(),
            'T' => letter == 'T' || letter == ' ',
            _ => letter == wanted,
        })
    });
    if !fits {
        return None;
    }
    let mut length = shape.len();
    if let Some(fraction) = text[length..].strip_prefix('.') {
        length += 1 + run(fraction, |letter| letter.is_ascii_digit());
    }
    for zone in ["Z", "+00:00", " +0000 UTC"] {
        if text[length..].starts_with(zone) {
            return Some(length + zone.len());
        }
    }
    Some(length)
}

/// `AGE` for a duration as docker's command words it.
fn ages(words: &[&str]) -> String {
    let mut out: Vec<&str> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let length = match &words[at..] {
            ["Less", "than", "a", what, ..] if unit(what) => 4,
            ["About", "a" | "an", what, ..] if unit(what) => 3,
            [number, what, ..] if unit(what) && number.parse::<u32>().is_ok() => 2,
            _ => 0,
        };
        out.push(if length == 0 { words[at] } else { "AGE" });
        at += length.max(1);
    }
    out.join(" ")
}

fn unit(word: &str) -> bool {
    matches!(word.trim_end_matches('s'), "second" | "minute" | "hour")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_replaced() {
        for (text, same) in [
            ("f29fa18a8953   web  sh", "ID web sh"),
            ("\"sha256:0657b83b8bbf61c8fdc9ff9501b17b3d\",", "\"sha256:ID\","),
            ("Up 3 seconds (Paused)", "Up AGE (Paused)"),
            ("Exited (0) Less than a second ago", "Exited (0) AGE ago"),
            ("About a minute ago", "AGE ago"),
            ("2026-11-22T04:11:22.123456789Z out 1", "TIME out 1"),
            ("at 2026-11-22 04:11:22 +0000 UTC\n1795320000", "at TIME\nTIME"),
        ] {
            assert_eq!(normal(text), same);
        }
    }

    #[test]
    fn a_machine_decides_on_its_storage() {
        let text = "\"Driver\": \"vfs\",\n\"GraphDriver\": {\n\"Data\": {\n\"a\": \"b\"\n},\n\"Name\": \"vfs\"\n},\n\"Mounts\": []";
        assert_eq!(of_machine(text), "\"Driver\": \"STORAGE\",\n\"Mounts\": []");
    }

    #[test]
    fn what_tells_something_is_kept() {
        for text in
            ["exit 137", "2.048kB", "added 12 files", "decade", "10.0.0.1:2375", "größer", "é"]
        {
            assert_eq!(normal(text), text);
        }
    }
}
