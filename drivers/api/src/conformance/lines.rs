//! The lines of the contract, as the documentation of [`Driver`](crate::Driver) has them.

macro_rules! lines {
    ($($name:ident = $text:literal;)*) => {
        $(#[doc = $text] pub const $name: &str = $text;)*

        /// All of them.
        pub const ALL: &[&str] = &[$($name),*];
    };
}

lines! {
    IDEMPOTENT = "Verbs are idempotent: starting what runs, stopping what is stopped and destroying what is absent succeed.";
    DROPPED = "A verb may be dropped at any await point. The next `create` or `destroy` copes with whatever that left.";
    DEADLINE = "A verb ends by the deadline of its [`Cx`].";
    AT_ONCE = "At most [`About::concurrency`] verbs run at once; the caller sees to it.";
    CHECK_CHANGES_NOTHING = "Changes nothing.";
    CHECK_FINDS = "Everything that would make `create` or `start` fail and can be known beforehand is a [`Finding`] with [`Level::Error`]: a missing program, too little memory or disk, a taken port, a bad driver option.";
    LIST_ONE_FLEET = "Sees machines of the given fleet only.";
    LIST_EVERY_FLEET = "`None` sees the machines of every fleet of this user.";
    LIST_HALF_MADE = "Lists half-made machines too.";
    INSPECT_UNKNOWN = "An unknown machine is `None`, not an error.";
    INSPECT_HALF_MADE = "A half-made machine (`create` was interrupted) is `None` or has [`Power::Broken`].";
    INSPECT_MARK = "Gives back the mark that the machine has; a half-made one may have none.";
    CREATE_TWICE = "The same spec twice changes nothing.";
    CREATE_CONFLICT = "Another image or address for the same id is [`ErrorKind::Conflict`].";
    CREATE_FINISHES = "An interrupted `create` is finished by the next one.";
    CREATE_BAD_OPTION = "A bad driver option is an [`ErrorKind::Config`] error that names its key.";
    CREATE_RESIZES = "A stopped machine takes over another size, ports or options (its disk only grows); a running one keeps what it has, and takes it over at the next `create` while it is off.";
    CREATE_MARKS = "A machine that exists takes over another mark, also while it runs where that can be done; that is never a conflict.";
    CREATE_KEEPS_SEED = "A machine that exists keeps its seed, or stays without, whatever seed is passed.";
    ABSENT = "An absent machine is [`ErrorKind::NotFound`].";
    KEEPS_RUNNING = "The machine keeps running after `fleet` has ended.";
    SOFT_STOP = "[`Stop::Soft`] asks the guest and waits until the deadline, then is [`ErrorKind::Busy`]; the caller decides about [`Stop::Hard`].";
    UNSEED = "Afterwards neither the host nor the running guest can read the seed, and later starts do without it.";
    DESTROY_RUNNING = "A running machine is stopped hard.";
    DESTROY_SCRATCH = "Nothing is left in [`Cx::scratch`], nor is an empty folder of its fleet.";
    DESTROY_ALONE = "Never touches the image or another machine.";
    CARDS_SAME = "Changes nothing, and says the same again for the same machine and spec.";
    CARDS_LAB = "One card has the lab address of the spec, unless the hypervisor hands out addresses by itself.";
    GOES_ON = "A machine at rest goes on where it was.";
    HARD_STOP_AT_REST = "[`Stop::Hard`] takes what a machine at rest had in its memory.";
    CONSOLE_LOG = "The log holds what the machine has printed until now.";
    CONSOLE_SOCKET = "While the machine runs and this value of the driver lives, the socket is its console.";
    REST_REFUSED = "An absent machine is [`ErrorKind::NotFound`], a stopped one [`ErrorKind::Conflict`].";
    AT_REST = "A machine at rest is [`Power::Paused`] or [`Power::Saved`]; resting twice the same way succeeds.";
    SNAPSHOT_REFUSED = "An absent machine is [`ErrorKind::NotFound`], a name that is taken [`ErrorKind::Conflict`].";
    REVERT_UNKNOWN = "An unknown snapshot is [`ErrorKind::NotFound`].";
    FORGET_TWICE = "Removing an unknown snapshot succeeds.";
    DESTROY_SNAPSHOTS = "`destroy` removes all of them.";
}

/// What the verbs themselves say in their first sentences.
pub mod verbs {
    /// `create`.
    pub const CREATE: &str = "Defines a machine and leaves it stopped.";
    /// `start`.
    pub const START: &str = "Starts a machine; returns when the hypervisor says it runs, which is before the guest answers.";
    /// `stop`.
    pub const STOP: &str = "Stops a machine.";
    /// `list`.
    pub const LIST: &str = "Lists the machines of `fleet`, or of every fleet.";
    /// `destroy`.
    pub const DESTROY: &str = "Removes a machine and everything that belongs to it alone.";
    /// `cards`.
    pub const CARDS: &str =
        "Says what network cards the guest will find, and how each gets its address.";
    /// `console`.
    pub const CONSOLE: &str =
        "Makes the serial console reachable; none where the driver keeps none.";
    /// `suspending`.
    pub const SUSPENDING: &str =
        "Putting machines to rest, where the driver can; [`Capabilities`] says which ways.";
    /// `snapshotting`.
    pub const SNAPSHOTTING: &str = "Snapshots, where the driver can.";
    /// `suspend`.
    pub const SUSPEND: &str = "Puts a running machine to rest.";
    /// `snapshot`.
    pub const SNAPSHOT: &str = "Takes a snapshot; a running machine runs on.";
    /// `snapshots`.
    pub const SNAPSHOTS: &str = "Lists the snapshots of a machine, the oldest first.";
    /// `revert`.
    pub const REVERT: &str =
        "Brings a machine back to a snapshot; it then runs if it ran at that moment.";
    /// `forget`.
    pub const FORGET: &str = "Removes a snapshot, not what the machine is now.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::ALL;

    /// Reads the bullets of the trait's documentation, each as one line.
    fn documented() -> BTreeSet<String> {
        let text = include_str!("../lib.rs");
        let contract = text.split("/// Makes and unmakes").nth(1).expect("the trait is there");
        let mut lines: Vec<String> = Vec::new();
        let mut inside = false;
        for line in contract.lines() {
            let doc = line.trim().strip_prefix("///").map(|d| d.strip_prefix(' ').unwrap_or(d));
            match doc {
                Some(bullet) if bullet.starts_with("- ") => {
                    lines.push(bullet[2..].to_owned());
                    inside = true;
                }
                Some(more) if inside && more.starts_with("  ") => {
                    let last = lines.last_mut().expect("a bullet came before");
                    *last = format!("{last} {}", more.trim());
                }
                _ => inside = false,
            }
        }
        lines.into_iter().collect()
    }

    #[test]
    fn every_documented_line_has_a_check_and_every_check_a_line() {
        let quoted: BTreeSet<String> = ALL.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(documented(), quoted);
    }

    #[test]
    fn every_line_is_used_by_a_check() {
        let checks = [
            include_str!("life.rs"),
            include_str!("marks.rs"),
            include_str!("changes.rs"),
            include_str!("cuts.rs"),
            include_str!("rest.rs"),
            include_str!("snapshots.rs"),
        ];
        let source = include_str!("lines.rs");
        for line in ALL {
            let position = source.find(&format!("= {line:?};")).expect("it is defined here");
            let name = source[..position].trim_end().rsplit(' ').next().expect("it has a name");
            let used = checks.iter().any(|check| check.contains(&format!("lines::{name}")))
                || include_str!("bench.rs").contains(&format!("lines::{name}"));
            assert!(used, "no check quotes lines::{name}");
        }
    }

    #[test]
    fn what_verbs_say_first_is_what_is_quoted() {
        let text = include_str!("../lib.rs");
        let joined: Vec<&str> =
            text.lines().map(|line| line.trim().trim_start_matches("///").trim()).collect();
        let joined = joined.join(" ");
        let source = include_str!("lines.rs");
        let quoted = source.split("pub mod verbs").nth(1).expect("it is in this file");
        let quoted = quoted.split("#[cfg(test)]").next().expect("the tests come last");
        let sentences = quoted.split(": &str =").skip(1);
        let sentences = sentences.filter_map(|rest| rest.trim_start().strip_prefix('"'));
        let sentences: Vec<&str> = sentences.filter_map(|rest| rest.split("\";").next()).collect();
        assert_eq!(sentences.len(), 14);
        for sentence in sentences {
            assert!(joined.contains(sentence), "no verb says: {sentence}");
        }
    }
}
