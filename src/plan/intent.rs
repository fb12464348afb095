//! What the person wants, and what was allowed.

use std::collections::{BTreeMap, BTreeSet};

use fleet_driver::ImageFile;
use time::OffsetDateTime;

use crate::config::ImageRef;

/// What the person wants to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// Bring machines to what the file says.
    Up(Up),
    /// Remove all machines of the fleet, with the swarm.
    DownAll(Force),
    /// Remove these machines from the swarm and from the world.
    Down(BTreeSet<String>, Force),
    /// Shut these machines down and start them again.
    Restart(BTreeSet<String>),
}

/// What `up` is for, and what it may do beyond what harms nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Up {
    /// The machines to bring to what the file says.
    pub names: BTreeSet<String>,
    /// Whether machines of this fleet that the file does not name are removed.
    pub prune: bool,
    /// Whether machines may be shut down to take over another size.
    pub restart: bool,
    /// The machines to make anew, their disks included.
    pub replace: BTreeSet<String>,
    /// The machines that get the newest engine of the version that the file says.
    pub upgrade: BTreeSet<String>,
    /// Whether protection and the last manager are no obstacle.
    pub force: Force,
}

/// Whether to do what protects itself: a protected machine, the last manager.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Force {
    /// Refuse.
    #[default]
    No,
    /// Do it all the same.
    Yes,
}

impl Force {
    /// From a flag of the command line.
    pub fn when(flag: bool) -> Self {
        if flag { Self::Yes } else { Self::No }
    }
}

impl Intent {
    /// `up` for these machines, without any further permission.
    pub fn up(names: BTreeSet<String>) -> Self {
        Self::Up(Up { names, ..Up::default() })
    }
}

/// What the plan compares with, computed beforehand because it needs files or a clock.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The digest of the engine settings of each machine; missing as long as the
    /// fleet has no certificates.
    pub settings: BTreeMap<String, String>,
    /// The images that are on this host already.
    pub images: BTreeMap<ImageRef, ImageFile>,
    /// The digest of each machine's driver options.
    pub options: BTreeMap<String, String>,
    /// The machines that were protected when they left the file, as far as is known.
    pub protected: BTreeSet<String>,
    /// An engine's certificate that ends before this time is renewed.
    pub certs_due: Option<OffsetDateTime>,
}
