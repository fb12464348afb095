//! What a person probably meant.

/// Words from other tools, and ours.
const OTHERS: [(&str, &str); 20] = [
    ("ram", "memory"),
    ("mem", "memory"),
    ("vcpus", "cpus"),
    ("vcpu", "cpus"),
    ("cores", "cpus"),
    ("processors", "cpus"),
    ("ip", "address"),
    ("ipv4", "address"),
    ("provider", "driver"),
    ("backend", "driver"),
    ("box", "image"),
    ("os", "image"),
    ("replicas", "count"),
    ("instances", "count"),
    ("storage", "disk"),
    ("tags", "labels"),
    ("vm", "machine"),
    ("node", "machine"),
    ("docker", "engine"),
    ("forwards", "ports"),
];

/// The candidate that `word` was probably meant to be.
pub(crate) fn closest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = word.to_lowercase().replace('-', "_");
    let other = OTHERS.iter().find(|(theirs, _)| *theirs == word).map(|(_, ours)| *ours);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            if other == Some(candidate) {
                return Some((0, candidate));
            }
            let theirs = candidate.to_lowercase().replace('-', "_");
            let distance = strsim::osa_distance(&word, &theirs);
            let limit = (word.len().max(theirs.len()) / 3).clamp(1, 3);
            let prefix = theirs.len() > 3 && word.len() > 2 && theirs.starts_with(&word);
            (distance <= limit || prefix).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// "did you mean `memory`?", if anything is near.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    closest(word, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

/// A choice in words: `a`, `b` or `c`.
pub(crate) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    listed(names, "or")
}

/// A list in words: `a`, `b` and `c`.
pub(crate) fn all_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    listed(names, "and")
}

fn listed<'a>(names: impl IntoIterator<Item = &'a str>, last_word: &str) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} {last_word} {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// A host name (RFC 1123, section 2.1: letters, digits and hyphens, at most 63) that
/// resembles `name`.
pub(crate) fn host_name(name: &str, longest: usize) -> Option<String> {
    let mut fixed = String::new();
    for c in name.to_lowercase().chars() {
        let plain = c.is_ascii_lowercase() || c.is_ascii_digit();
        if plain {
            fixed.push(c);
        } else if !fixed.is_empty() && !fixed.ends_with('-') {
            fixed.push('-');
        }
    }
    fixed.truncate(longest);
    let fixed = fixed.trim_matches('-').to_owned();
    if fixed.is_empty() {
        return None;
    }
    if fixed.contains(|c: char| c.is_ascii_lowercase()) {
        return (fixed != "localhost").then_some(fixed);
    }
    Some(format!("host-{fixed}").chars().take(longest).collect())
}
