//! Names of fleets, machines and accounts.

use fleet_driver::Error;

use super::diagnose::{Problem, Problems};
use super::raw::At;
use super::suggest::host_name;

/// The longest host name (RFC 1035, section 2.3.4).
const LONGEST: usize = 63;

/// The longest name of a fleet; hypervisors put more behind it.
const LONGEST_FLEET: usize = 40;

/// The names of the machines that a table makes.
pub(crate) fn machines(
    at: &At<String>,
    count: Option<i64>,
    problems: &mut Problems,
) -> Vec<String> {
    let Some(count) = count else {
        check("machine", at, LONGEST, problems);
        return vec![at.get().clone()];
    };
    check("machine", at, LONGEST - 1 - count.to_string().len(), problems);
    (1..=count).map(|n| format!("{}-{n}", at.get())).collect()
}

/// The name of the fleet: as written, or after its folder.
pub(crate) fn fleet(at: Option<&At<String>>, folder: &str, problems: &mut Problems) -> String {
    match at {
        Some(at) => {
            check("fleet", at, LONGEST_FLEET, problems);
            at.get().clone()
        }
        None => name_of_folder(folder),
    }
}

/// The name of a fleet whose file does not give one: that of its folder, made fit.
pub fn name_of_folder(folder: &str) -> String {
    host_name(folder, LONGEST_FLEET).unwrap_or_else(|| "fleet".to_owned())
}

/// Checks the name of a fleet that came from somewhere else than a file.
///
/// # Errors
/// `Usage`, with a name that would do.
pub fn fleet_name(name: &str) -> Result<(), Error> {
    let Some((label, help)) = flaw(name, LONGEST_FLEET) else {
        return Ok(());
    };
    Err(Error::usage(format!("`{name}` cannot be the name of a fleet: {label}")).hint(help))
}

fn check(what: &str, at: &At<String>, longest: usize, problems: &mut Problems) {
    let name = at.get();
    if let Some((label, help)) = flaw(name, longest) {
        let message = format!("`{name}` cannot be the name of a {what}");
        problems.push(Problem::error(message).at(at.span(), label).help(help));
    }
}

/// What is wrong with a host name (RFC 1123, section 2.1) and what to write instead:
/// lower case, with a letter in it, so that it can never be taken for an address.
fn flaw(name: &str, longest: usize) -> Option<(String, String)> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let label = if name.is_empty() {
        "empty".to_owned()
    } else if !name.chars().all(plain) {
        "lower-case letters, digits and hyphens only".to_owned()
    } else if name.len() > longest {
        format!("longer than {longest} characters")
    } else if name.starts_with('-') || name.ends_with('-') {
        "a hyphen at the start or the end".to_owned()
    } else if !name.contains(|c: char| c.is_ascii_lowercase()) {
        "without a letter it looks like an address".to_owned()
    } else if name == "localhost" {
        "this is what every machine calls itself".to_owned()
    } else {
        return None;
    };
    let help = match host_name(name, longest) {
        Some(fixed) => format!("did you mean `{fixed}`?"),
        None => "write it like `host1`".to_owned(),
    };
    Some((label, help))
}

/// Reads the name of an account, as `useradd` allows it.
pub(crate) fn user(at: &At<String>) -> Result<String, Problem> {
    let name = at.get().as_str();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let start = |c: char| c.is_ascii_lowercase() || c == '_';
    let (label, help) = if name == "root" {
        ("root has an account already", "fleet makes one that may become root: `\"fleet\"`".into())
    } else if name.is_empty() || name.len() > 32 {
        ("from 1 to 32 characters", "write it like `\"fleet\"`".to_owned())
    } else if !name.chars().all(plain) || !name.starts_with(start) {
        let fixed: String = name.to_lowercase().chars().filter(|c| plain(*c)).collect();
        let fixed = fixed.trim_start_matches(|c: char| !start(c));
        let help = if fixed.is_empty() { "fleet" } else { fixed };
        ("lower-case letters, digits, `-` and `_` only", format!("did you mean `\"{help}\"`?"))
    } else {
        return Ok(name.to_owned());
    };
    let message = format!("`{name}` cannot be the account of a machine");
    Err(Problem::error(message).at(at.span(), label).help(help))
}
