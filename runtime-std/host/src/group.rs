//! Groups of users.

use std::fs;

const FILE: &str = "/etc/group";

/// The number of a group, of which the name or the number is given.
pub(crate) fn number(group: &str) -> Result<u32, String> {
    let text = fs::read_to_string(FILE).unwrap_or_default();
    // A name may consist of digits, and is a name then.
    in_file(&text, group).or_else(|| group.parse().ok()).ok_or_else(|| {
        if !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()) {
            return format!("--group {group}: no group has so large a number: {} is the last", u32::MAX);
        }
        format!("--group {group}: {FILE} has no group of that name: create it (groupadd {group}), or give a number")
    })
}

/// Lines are `name:password:number:members` (group(5)).
fn in_file(text: &str, group: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(group)).then_some(())?;
        fields.nth(1)?.trim().parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        let text = "root:x:0:\n# docker:x:1:\ndocker:x:998:me,you\nbroken:x\n4:x:5:\n";
        for (group, expected) in
            [("root", Some(0)), ("docker", Some(998)), ("4", Some(5)), ("broken", None), ("", None)]
        {
            assert_eq!(in_file(text, group), expected, "{group}");
        }
        assert_eq!(number("root"), Ok(0));
        assert_eq!(number("4294967294"), Ok(4_294_967_294));
        assert!(number("4294967296").unwrap_err().contains("4294967295 is the last"));
        for unknown in ["no such group", "-1", ""] {
            let error = number(unknown).unwrap_err();
            assert!(error.contains(&format!("--group {unknown}: /etc/group")), "{error}");
        }
    }
}
