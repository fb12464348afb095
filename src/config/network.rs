//! Networks: notation, which ones a lab may have, and who gets which address.

use std::fmt;
use std::net::Ipv4Addr;

use super::Network;
use super::diagnose::{Problem, Problems};
use super::raw::{At, NetworkTable};

/// An IPv4 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cidr {
    base: u32,
    prefix: u8,
}

impl Cidr {
    /// The network of this prefix that contains an address.
    pub(crate) fn around(address: Ipv4Addr, prefix: u8) -> Self {
        Self { base: u32::from(address) & mask(prefix), prefix }
    }

    /// Reads `10.77.0.0/24`; the error is what is wrong and what to write instead.
    pub(crate) fn parse(text: &str) -> Result<Self, (String, String)> {
        let example = || "write it like `\"10.77.0.0/24\"`".to_owned();
        let Some((address, prefix)) = text.split_once('/') else {
            let help = match text.parse::<Ipv4Addr>() {
                Ok(address) => format!("did you mean `\"{}\"`?", Self::around(address, 24)),
                Err(_) => example(),
            };
            return Err(("the length of the prefix is missing".to_owned(), help));
        };
        let Ok(address) = address.parse::<Ipv4Addr>() else {
            let six = address.parse::<std::net::Ipv6Addr>().is_ok();
            let label = if six { "only IPv4 is supported" } else { "not an IPv4 address" };
            return Err((label.to_owned(), example()));
        };
        let Some(prefix) = prefix.parse::<u8>().ok().filter(|prefix| *prefix <= 32) else {
            return Err(("the prefix goes from 0 to 32".to_owned(), example()));
        };
        let network = Self::around(address, prefix);
        if network.base != u32::from(address) {
            let label = "an address in a network, not the network's own".to_owned();
            return Err((label, format!("did you mean `\"{network}\"`?")));
        }
        Ok(network)
    }

    /// The network's own address.
    pub(crate) fn address(self) -> Ipv4Addr {
        self.base.into()
    }

    /// The last address.
    pub(crate) fn broadcast(self) -> Ipv4Addr {
        (self.base | !mask(self.prefix)).into()
    }

    /// The address with this host part, if the network reaches that far.
    pub(crate) fn host(self, part: u32) -> Option<Ipv4Addr> {
        (part <= !mask(self.prefix)).then(|| (self.base + part).into())
    }

    /// The length of the prefix.
    pub(crate) fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether an address is inside.
    pub(crate) fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.prefix) == self.base
    }

    /// Whether two networks share an address.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.contains(other.address()) || other.contains(self.address())
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(), self.prefix)
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

/// The lab network unless the file says otherwise.
pub(crate) const DEFAULT: Cidr = Cidr { base: 0x0a4d_0000, prefix: 24 };

/// What a lab network must stay clear of, and who is there.
const TAKEN: [(Cidr, &str); 2] = [
    (Cidr { base: 0x0a00_0200, prefix: 24 }, "the NAT of QEMU and VirtualBox is 10.0.2.0/24"),
    (Cidr { base: 0xac11_0000, prefix: 16 }, "the engine's `docker0` is 172.17.0.0/16"),
];

/// Private networks: RFC 1918, section 3, and shared address space, RFC 6598.
const PRIVATE: [Cidr; 4] = [
    Cidr { base: 0x0a00_0000, prefix: 8 },
    Cidr { base: 0xac10_0000, prefix: 12 },
    Cidr { base: 0xc0a8_0000, prefix: 16 },
    Cidr { base: 0x6440_0000, prefix: 10 },
];

/// Resolves `[network]`.
pub(crate) fn resolve(table: &NetworkTable, problems: &mut Problems) -> (Network, Cidr) {
    let subnet = table.subnet.as_ref().map_or(Ok(DEFAULT), read).unwrap_or_else(|problem| {
        problems.push(problem);
        DEFAULT
    });
    let internet = table.internet.as_ref().is_none_or(|at| *at.get());
    (Network { subnet: subnet.address(), prefix: subnet.prefix(), internet }, subnet)
}

fn read(at: &At<String>) -> Result<Cidr, Problem> {
    let problem = |label: String, help: String| {
        Problem::error("bad lab network").at(at.span(), label).help(help)
    };
    let subnet = Cidr::parse(at.get()).map_err(|(label, help)| problem(label, help))?;
    if !PRIVATE.iter().any(|private| private.contains(subnet.address())) {
        return Err(problem(
            "not a private network".to_owned(),
            format!("machines would lose sight of real hosts; take one such as `\"{DEFAULT}\"`"),
        ));
    }
    if subnet.prefix() < 16 {
        let smaller = Cidr::around(subnet.address(), 24);
        return Err(problem(
            "larger than a lab can be".to_owned(),
            format!("the prefix goes from 16 to 28, such as `\"{smaller}\"`"),
        ));
    }
    if subnet.prefix() > 28 {
        let larger = Cidr::around(subnet.address(), 24);
        return Err(problem(
            "too small: machines start at host part 11".to_owned(),
            format!("the prefix goes from 16 to 28, such as `\"{larger}\"`"),
        ));
    }
    if let Some((_, who)) = TAKEN.iter().find(|(taken, _)| taken.overlaps(subnet)) {
        return Err(problem(
            format!("taken: {who}"),
            format!("take another one, such as `\"{DEFAULT}\"`"),
        ));
    }
    Ok(subnet)
}
