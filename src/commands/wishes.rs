//! What `up` may do, and `plan` then shows: the flags that both of them have.

use std::collections::BTreeSet;

use fleet_driver::Result;

use super::Session;
use crate::config::Spec;
use crate::plan::{Force, Intent, Plan, Step, Up};

/// What may happen beyond what harms nobody
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Wishes {
    /// Machines of the file; all of them if none is named
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Remove machines of this fleet that the file does not name any more
    #[arg(long)]
    pub prune: bool,
    /// Restart machines whose size, ports or driver options differ from the file
    #[arg(long)]
    pub restart: bool,
    /// Make this machine anew, with an empty disk; may be given several times
    #[arg(long, value_name = "NAME")]
    pub replace: Vec<String>,
    /// Machines that get the newest engine of their version: `fleet upgrade`
    #[arg(skip)]
    pub upgrade: BTreeSet<String>,
    /// Remove or replace what is protected, and the last manager of a swarm
    #[arg(long)]
    pub force: bool,
}

impl Wishes {
    /// The machines to make anew.
    pub(super) fn replaced(&self) -> BTreeSet<String> {
        self.replace.iter().cloned().collect()
    }

    /// Takes back the wishes that a plan fulfils: what was made anew once is not made anew
    /// again.
    pub(super) fn fulfil(&mut self, plan: &Plan) {
        let made = |name: &String| {
            let mut lanes = plan.lanes.iter().filter(|lane| lane.machine == *name);
            lanes.any(|lane| lane.steps.iter().any(|planned| planned.step == Step::Create))
        };
        if !self.names.is_empty() {
            self.names.extend(self.replace.iter().filter(|name| made(name)).cloned());
        }
        self.replace.retain(|name| !made(name));
        let upgraded = |name: &String| {
            let mut lanes = plan.lanes.iter().filter(|lane| lane.machine == *name);
            lanes.any(|lane| lane.steps.iter().any(|p| p.step == Step::UpgradeEngine))
        };
        self.upgrade.retain(|name| !upgraded(name));
    }

    /// The machines meant, and what may be done to them.
    ///
    /// # Errors
    /// `NotFound` for a name that is not in the file.
    pub(super) fn resolve(&self, session: &Session) -> Result<(Vec<Spec>, Intent)> {
        for name in &self.replace {
            session.spec(name)?;
        }
        let mut named = self.names.clone();
        if !named.is_empty() {
            named.extend(self.replace.iter().cloned());
        }
        let specs = session.select(&named)?;
        let names: BTreeSet<String> = specs.iter().map(|spec| spec.name.clone()).collect();
        let up = Up {
            names,
            prune: self.prune,
            restart: self.restart,
            replace: self.replaced(),
            upgrade: self.upgrade.clone(),
            force: Force::when(self.force),
        };
        Ok((specs, Intent::Up(up)))
    }
}
