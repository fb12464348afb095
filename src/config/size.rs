//! Sizes with units.
//!
//! `GiB`, `GB` and `G` all mean 2^30 bytes, and `MiB`, `MB` and `M` 2^20, because that
//! is what hypervisors count in and what people mean by "2 GB of memory". The units
//! are not case-sensitive; a fraction such as `1.5 GiB` is fine if whole MiB remain.

use super::diagnose::Problem;
use super::raw::At;

/// Reads a size, in MiB; the error is what is wrong and what to write instead.
pub(crate) fn parse(text: &str) -> Result<u64, (String, String)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..digits], text[digits..].trim());
    let example = || "write a number and a unit, such as `\"512 MiB\"` or `\"2 GiB\"`".to_owned();
    if text.starts_with('-') {
        return Err(("a size cannot be negative".to_owned(), example()));
    }
    let Some(value) = number.parse::<f64>().ok().filter(|value| value.is_finite()) else {
        return Err(("this is not a size".to_owned(), example()));
    };
    if unit.is_empty() {
        return Err(("the unit is missing".to_owned(), with_unit(number)));
    }
    let mib = match unit.to_ascii_lowercase().as_str() {
        "k" | "kb" | "kib" => 1.0 / 1024.0,
        "m" | "mb" | "mib" => 1.0,
        "g" | "gb" | "gib" => 1024.0,
        "t" | "tb" | "tib" => 1024.0 * 1024.0,
        _ => {
            return Err((
                format!("`{unit}` is not a unit"),
                format!("the units are MiB, GiB and TiB: `\"{number} GiB\"`"),
            ));
        }
    };
    let size = value * mib;
    if size.fract() != 0.0 {
        let below = if size < 1.0 { "less than 1 MiB" } else { "not a whole number of MiB" };
        let near = size.round().max(1.0);
        return Err((format!("this is {below}"), format!("write `\"{near} MiB\"`")));
    }
    Ok(size as u64)
}

/// What to write instead of a number without a unit.
pub(crate) fn with_unit(number: &str) -> String {
    let whole = number.parse::<u64>().unwrap_or(1);
    let (value, unit) = match whole {
        0 => (1, "GiB"),
        n if n < 128 => (n, "GiB"),
        n if n >= 1 << 27 => (n >> 20, "MiB"),
        n => (n, "MiB"),
    };
    format!("did you mean `\"{value} {unit}\"`?")
}

/// A size in words, in the largest unit that stays whole.
pub(crate) fn words(mib: u64) -> String {
    match mib {
        n if n >= 1 << 20 && n % (1 << 20) == 0 => format!("{} TiB", n >> 20),
        n if n >= 1 << 10 && n % (1 << 10) == 0 => format!("{} GiB", n >> 10),
        n => format!("{n} MiB"),
    }
}

/// The bounds of a kind of size, in MiB, and why they are there.
pub(crate) struct Bounds {
    /// The key.
    pub(crate) key: &'static str,
    /// The least that works.
    pub(crate) least: u64,
    /// Why less does not.
    pub(crate) because: &'static str,
    /// The most that is believed.
    pub(crate) most: u64,
}

/// Memory of a machine.
pub(crate) const MEMORY: Bounds = Bounds {
    key: "memory",
    least: 256,
    because: "a Linux guest with an engine does not boot with less",
    most: 4 << 20,
};

/// The root disk of a machine.
pub(crate) const DISK: Bounds = Bounds {
    key: "disk",
    least: 2 << 10,
    because: "the base image and an engine do not fit on less",
    most: 64 << 20,
};

impl Bounds {
    /// Reads a size in MiB and holds it against the bounds.
    pub(crate) fn read(&self, at: &At<String>) -> Result<u64, Problem> {
        let problem = |label: String, help: String| {
            Problem::error(format!("bad size for `{}`", self.key)).at(at.span(), label).help(help)
        };
        let mib = parse(at.get()).map_err(|(label, help)| problem(label, help))?;
        if mib < self.least {
            let least = words(self.least);
            Err(problem(
                format!("less than {least}"),
                format!("{}; write at least `\"{least}\"`", self.because),
            ))
        } else if mib > self.most {
            Err(problem(
                format!("more than {}", words(self.most)),
                "check the unit: GiB is a thousand times MiB".to_owned(),
            ))
        } else {
            Ok(mib)
        }
    }
}
