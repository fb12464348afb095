//! How long a fleet may live: `"8h"`, `"90 min"`, `"2 days"`.

use std::time::Duration;

use super::diagnose::Problem;
use super::raw::At;

/// Less is a mistake: a fleet needs minutes to come up.
const LEAST: Duration = Duration::from_secs(5 * 60);
/// More is not meant.
const MOST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Reads a time with its unit, in the words of `humantime`.
pub(crate) fn read(at: &At<String>) -> Result<Duration, Problem> {
    let problem = |label: &str, help: String| {
        Problem::error("bad time for `ttl`").at(at.span(), label.to_owned()).help(help)
    };
    let example = "write a number and a unit, such as `\"8h\"`, `\"90 min\"` or `\"2 days\"`";
    let text = at.get().trim();
    if text.parse::<f64>().is_ok() {
        return Err(problem("the unit is missing", format!("did you mean `\"{text}h\"`?")));
    }
    let time = humantime::parse_duration(text)
        .map_err(|_| problem("this is not a time", example.to_owned()))?;
    if time < LEAST {
        Err(problem("less than 5 min", "a fleet needs minutes to come up".to_owned()))
    } else if time > MOST {
        Err(problem("more than a year", "leave `ttl` out: the fleet then stays".to_owned()))
    } else {
        Ok(time)
    }
}
