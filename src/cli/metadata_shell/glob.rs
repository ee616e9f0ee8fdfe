//! Nodes by path: relative ones, `.` and `..`, and the patterns `*`, `?` and `{a,b}`.

use std::rc::Rc;

use regex_lite::Regex;

use super::tree::Node;

/// A node that was found, and the names that lead to it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) path: Vec<String>,
    pub(super) node: Rc<Node>,
}

impl Found {
    /// The last of its names.
    pub(super) fn name(&self) -> &str {
        self.path.last().map_or("/", String::as_str)
    }

    /// Its whole path.
    pub(super) fn absolute(&self) -> String {
        format!("/{}", self.path.join("/"))
    }
}

/// The nodes of a path, seen from `directory`, in the order of their names.
pub(super) fn find(root: &Rc<Node>, directory: &str, pattern: &str) -> Vec<Found> {
    let whole = if pattern.starts_with('/') { pattern.to_owned() } else { format!("{directory}/{pattern}") };
    let mut found = vec![Found { path: Vec::new(), node: Rc::clone(root) }];
    for component in components(&whole) {
        let matcher = Matcher::new(&component);
        found = found.iter().flat_map(|parent| children(parent, &matcher)).collect();
    }
    found
}

fn children(parent: &Found, matcher: &Matcher) -> Vec<Found> {
    let Node::Directory(children) = &*parent.node else { return Vec::new() };
    let matching = children.iter().filter(|(name, _)| matcher.matches(name));
    let below = |(name, node): (&String, &Rc<Node>)| {
        let path = parent.path.iter().chain([name]).cloned().collect();
        Found { path, node: Rc::clone(node) }
    };
    matching.map(below).collect()
}

/// The names of a path without those that mean nothing.
fn components(path: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        match name {
            "." => {}
            ".." => drop(names.pop()),
            name => names.push(name.to_owned()),
        }
    }
    names
}

enum Matcher {
    Name(String),
    Pattern(Regex),
}

impl Matcher {
    /// What is no pattern, or a wrong one, is a name.
    fn new(component: &str) -> Self {
        match expression(component).and_then(|text| Regex::new(&text).ok()) {
            Some(pattern) => Self::Pattern(pattern),
            None => Self::Name(component.to_owned()),
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(wanted) => name == wanted,
            Self::Pattern(pattern) => pattern.is_match(name),
        }
    }
}

/// The pattern as a regular expression; `None` if it is a name, or malformed.
fn expression(glob: &str) -> Option<String> {
    let mut text = String::from("^");
    let mut is_pattern = false;
    let mut in_group = false;
    let mut letters = glob.chars();
    while let Some(letter) = letters.next() {
        is_pattern |= matches!(letter, '?' | '*' | '{');
        match letter {
            '?' => text.push('.'),
            '*' => text.push_str(".*"),
            '\\' => text.push_str(&regex_lite::escape(&letters.next().unwrap_or('\\').to_string())),
            '{' if in_group => return None,
            '{' => {
                in_group = true;
                text.push_str("(?:(?:");
            }
            ',' if in_group => text.push_str(")|(?:"),
            '}' if in_group => {
                in_group = false;
                text.push_str("))");
            }
            other => text.push_str(&regex_lite::escape(&other.to_string())),
        }
    }
    text.push('$');
    (is_pattern && !in_group).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, matching, other) in [
            ("a*", "abc", "bac"),
            ("a?c", "abc", "abbc"),
            ("{x,y}.z", "y.z", "yaz"),
            ("plain.name", "plain.name", "plainxname"),
            ("a\\*", "a\\*", "ab"),
            ("{a", "{a", "a"),
        ] {
            let matcher = Matcher::new(pattern);
            assert!(matcher.matches(matching), "{pattern}");
            assert!(!matcher.matches(other), "{pattern}");
        }
    }

    #[test]
    fn dots_lead_nowhere_and_up() {
        assert_eq!(components("//a/./b/../c/"), ["a", "c"]);
        assert_eq!(components("../.."), [""; 0]);
    }
}
