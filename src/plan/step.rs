//! The steps that plans are made of.

use fleet_driver::Rest;
use fleet_driver::event::StepId;

use crate::config::Role;

/// One thing that changes the world, or makes sure that it need not be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Write down again who a machine is, from its mark.
    Adopt,
    /// Define the machine.
    Create,
    /// Give a machine that is off another size, ports or options.
    Resize,
    /// Start it.
    Start,
    /// Wait until it answers by SSH with the pinned host key.
    Connect,
    /// Install the engine where it is missing or of another version.
    InstallEngine,
    /// Install the newest engine of the wanted version, also where an older one is.
    UpgradeEngine,
    /// Write the engine's settings and certificates where they differ.
    ConfigureEngine,
    /// Wait until the engine answers over mutual TLS.
    WaitEngine,
    /// Initialise the swarm.
    InitSwarm,
    /// Make a swarm decide again whose other managers are gone for good.
    RecoverSwarm,
    /// Join the swarm.
    JoinSwarm(Role),
    /// Set role, labels and availability of the node.
    UpdateNode,
    /// Set labels and availability of the node that was drained to be away for a while.
    Activate,
    /// Wait until the node is ready.
    WaitReady,
    /// Take the first-boot seed away.
    Unseed,
    /// Move the node's tasks elsewhere and wait until they run there.
    Drain,
    /// Leave the swarm.
    LeaveSwarm,
    /// Leave a swarm that ends with it.
    EndSwarm,
    /// Remove the node from the swarm.
    RemoveNode,
    /// Put the machine to rest with what is in its memory.
    Suspend(Rest),
    /// Shut the machine down.
    Stop,
    /// Cut the machine's power.
    Kill,
    /// Remove the machine.
    Destroy,
}

impl Step {
    /// The name that events and the log show.
    pub fn id(&self) -> StepId {
        match self {
            Self::Adopt => StepId::Adopt,
            Self::Create => StepId::Create,
            Self::Resize => StepId::Resize,
            Self::Start => StepId::Start,
            Self::Connect => StepId::Connect,
            Self::InstallEngine | Self::UpgradeEngine => StepId::InstallEngine,
            Self::ConfigureEngine => StepId::ConfigureEngine,
            Self::WaitEngine => StepId::WaitEngine,
            Self::InitSwarm => StepId::InitSwarm,
            Self::RecoverSwarm => StepId::RecoverSwarm,
            Self::JoinSwarm(_) => StepId::JoinSwarm,
            Self::UpdateNode => StepId::UpdateNode,
            Self::Activate => StepId::Activate,
            Self::WaitReady => StepId::WaitReady,
            Self::Unseed => StepId::Unseed,
            Self::Drain => StepId::Drain,
            Self::LeaveSwarm | Self::EndSwarm => StepId::LeaveSwarm,
            Self::RemoveNode => StepId::RemoveNode,
            Self::Suspend(_) => StepId::Suspend,
            Self::Stop | Self::Kill => StepId::Stop,
            Self::Destroy => StepId::Destroy,
        }
    }

    /// Whether it takes away what somebody may be using: a reason to ask first.
    pub fn interrupts(&self) -> bool {
        match self {
            Self::EndSwarm | Self::Suspend(_) | Self::Stop | Self::Kill | Self::Destroy => true,
            Self::Adopt
            | Self::Create
            | Self::Resize
            | Self::Start
            | Self::Connect
            | Self::InstallEngine
            | Self::UpgradeEngine
            | Self::ConfigureEngine
            | Self::WaitEngine
            | Self::InitSwarm
            | Self::RecoverSwarm
            | Self::JoinSwarm(_)
            | Self::UpdateNode
            | Self::Activate
            | Self::WaitReady
            | Self::Unseed
            | Self::Drain
            | Self::LeaveSwarm
            | Self::RemoveNode => false,
        }
    }
}
