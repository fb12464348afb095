//! Addresses: the gateway of a fleet's network, and which networks overlap.

use std::net::Ipv4Addr;

use fleet_driver::LabNic;
use serde::Serialize;

/// Who gets which address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lease {
    /// The card.
    pub mac: String,
    /// The machine's name.
    pub name: String,
    /// The address.
    pub ip: String,
}

impl Lease {
    /// Its element in a network.
    pub fn element(&self) -> String {
        format!("<host mac='{}' name='{}' ip='{}'/>", self.mac, self.name, self.ip)
    }
}

/// An IPv4 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    first: u32,
    last: u32,
}

impl Subnet {
    /// The network that an address with a prefix is in.
    pub fn of(address: Ipv4Addr, prefix: u8) -> Self {
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
        let first = u32::from(address) & mask;
        Self { first, last: first | !mask }
    }

    /// Whether both share an address.
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Whether an address is in it.
    pub fn has(self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&u32::from(address))
    }
}

/// The host's address in a fleet's own network: the first one, or the last if a machine has
/// the first.
///
/// It depends on the machine alone, so that each machine of a fleet finds the same one
/// unless one of them sits on the first address; `check` tells about that.
pub fn gateway(lab: &LabNic, taken: &[Ipv4Addr]) -> Ipv4Addr {
    let net = Subnet::of(lab.address, lab.prefix);
    let first = Ipv4Addr::from(net.first + 1);
    if lab.address == first || taken.contains(&first) {
        Ipv4Addr::from(net.last - 1)
    } else {
        first
    }
}

/// Whether a machine has the first address of its network.
pub fn is_first(lab: &LabNic) -> bool {
    u32::from(lab.address) == Subnet::of(lab.address, lab.prefix).first + 1
}

/// A network as libvirt describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// Its forward mode, if it leads anywhere.
    pub forward: Option<String>,
    /// The host's addresses in it.
    pub addresses: Vec<(Ipv4Addr, u8)>,
    /// Who gets which address.
    pub leases: Vec<Lease>,
}

impl Described {
    /// Reads a network's XML; none if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let document = roxmltree::Document::parse(text).ok()?;
        let root = document.root_element();
        let text_of = |name: &str| -> String {
            let node = root.children().find(|node| node.has_tag_name(name));
            node.and_then(|n| n.text()).unwrap_or_default().trim().to_owned()
        };
        let ips = root.children().filter(|node| node.has_tag_name("ip"));
        let forward = root.children().find(|node| node.has_tag_name("forward"));
        let leases = root.descendants().filter(|n| n.has_tag_name("host"));
        Some(Self {
            name: text_of("name"),
            uuid: text_of("uuid"),
            forward: forward.map(|n| n.attribute("mode").unwrap_or("nat").to_owned()),
            addresses: ips.filter_map(|ip| address(ip)).collect(),
            leases: leases
                .filter_map(|n| {
                    Some(Lease {
                        mac: n.attribute("mac")?.to_owned(),
                        name: n.attribute("name").unwrap_or_default().to_owned(),
                        ip: n.attribute("ip")?.to_owned(),
                    })
                })
                .collect(),
        })
    }

    /// The host's address in it, if a machine with this card is in one of its networks.
    pub fn gateway_for(&self, lab: &LabNic) -> Option<Ipv4Addr> {
        let near = |(ip, prefix): &&(Ipv4Addr, u8)| Subnet::of(*ip, *prefix).has(lab.address);
        self.addresses.iter().find(near).map(|(ip, _)| *ip)
    }
}

fn address(ip: roxmltree::Node) -> Option<(Ipv4Addr, u8)> {
    let address = ip.attribute("address")?.parse().ok()?;
    let prefix = match (ip.attribute("prefix"), ip.attribute("netmask")) {
        (Some(prefix), _) => prefix.parse().ok()?,
        (None, Some(mask)) => u32::from(mask.parse::<Ipv4Addr>().ok()?).count_ones() as u8,
        (None, None) => 24,
    };
    Some((address, prefix))
}

/// The networks in the output of `ip -4 -o addr`, each with its interface.
pub fn interfaces(output: &str) -> Vec<(String, Ipv4Addr, u8)> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.nth(1)?.to_owned();
        let (address, prefix) = words.skip_while(|word| *word != "inet").nth(1)?.split_once('/')?;
        Some((name, address.parse().ok()?, prefix.parse().ok()?))
    };
    output.lines().filter_map(line).collect()
}

/// The networks in the output of `ip -4 route`, each with the interface that leads there;
/// the default route is none.
pub fn routes(output: &str) -> Vec<(String, Ipv4Addr, u8)> {
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (address, prefix) = words.first()?.split_once('/')?;
        let dev = words.iter().position(|word| *word == "dev")?;
        Some(((*words.get(dev + 1)?).to_owned(), address.parse().ok()?, prefix.parse().ok()?))
    };
    output.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    #[test]
    fn the_gateway_is_no_machine() {
        for (address, prefix, taken, wanted) in [
            ("10.77.0.11", 24, "", "10.77.0.1"),
            ("10.77.0.1", 24, "", "10.77.0.254"),
            ("10.77.0.11", 24, "10.77.0.1", "10.77.0.254"),
            ("192.168.8.130", 25, "", "192.168.8.129"),
            ("10.1.2.3", 16, "", "10.1.0.1"),
        ] {
            let lab = LabNic { address: ip(address), prefix };
            let taken: Vec<Ipv4Addr> = taken.parse().into_iter().collect();
            assert_eq!(gateway(&lab, &taken), ip(wanted), "{address}");
        }
    }

    #[test]
    fn the_first_address() {
        let lab = |text: &str| LabNic { address: ip(text), prefix: 24 };
        assert!(is_first(&lab("10.77.0.1")) && !is_first(&lab("10.77.0.2")));
    }

    #[test]
    fn overlaps() {
        let net = |text: &str, prefix| Subnet::of(ip(text), prefix);
        assert!(net("10.77.0.0", 24).overlaps(net("10.77.0.9", 16)));
        assert!(net("0.0.0.0", 0).overlaps(net("10.77.0.9", 32)));
        assert!(!net("10.77.0.0", 24).overlaps(net("10.77.1.0", 24)));
        assert!(net("10.77.0.0", 24).has(ip("10.77.0.255")));
    }

    #[test]
    fn networks_are_read() {
        let seen = Described::parse(
            "<network><name>lan</name><uuid>u</uuid><forward mode='route'/>\
             <ip address='192.168.122.1' netmask='255.255.255.0'><dhcp>\
             <host mac='m' name='n' ip='192.168.122.5'/></dhcp></ip></network>",
        )
        .unwrap();
        assert_eq!(seen.addresses, [(ip("192.168.122.1"), 24)]);
        assert_eq!(seen.forward.as_deref(), Some("route"));
        assert_eq!(seen.leases[0].ip, "192.168.122.5");
        let lab = LabNic { address: ip("192.168.122.7"), prefix: 24 };
        assert_eq!(seen.gateway_for(&lab), Some(ip("192.168.122.1")));
        assert_eq!(Described::parse("nonsense"), None);
    }

    #[test]
    fn routes_are_read() {
        let output = "default via 192.168.1.1 dev eth0 proto dhcp\n\
                      10.8.0.0/16 via 10.9.0.1 dev tun0\n\
                      10.77.0.0/24 dev virbr0 proto kernel scope link src 10.77.0.1\n\
                      10.5.5.5 dev eth0\nunreachable 10.6.0.0/16\n";
        let read = routes(output);
        assert_eq!(read[0], ("tun0".to_owned(), ip("10.8.0.0"), 16));
        assert_eq!(read[1], ("virbr0".to_owned(), ip("10.77.0.0"), 24));
        assert_eq!(read.len(), 2);
    }

    #[test]
    fn interfaces_are_read() {
        let output = "1: lo    inet 127.0.0.1/8 scope host lo\\ x\n\
                      4: virbr0    inet 10.77.0.1/24 brd 10.77.0.255 scope global virbr0\\ x";
        assert_eq!(interfaces(output)[1], ("virbr0".to_owned(), ip("10.77.0.1"), 24));
    }
}
