//! Which host a new machine goes to.

use fleet_driver::{Error, Result};

/// A host with what is left of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Its name.
    pub name: String,
    /// All its memory for machines, in MiB.
    pub memory_mib: u64,
    /// What is given away of it.
    pub used_mib: u64,
    /// All its processors; `None`: any number.
    pub cpus: Option<u32>,
    /// What is given away of them.
    pub used_cpus: u32,
    /// Machines of the same fleet with the same word `apart`.
    pub alike: usize,
}

impl Room {
    fn free_mib(&self) -> u64 {
        self.memory_mib.saturating_sub(self.used_mib)
    }

    fn fits(&self, memory_mib: u64, cpus: u32) -> bool {
        self.free_mib() >= memory_mib
            && self.cpus.is_none_or(|all| all.saturating_sub(self.used_cpus) >= cpus)
    }

    /// What share of the memory is free, in thousandths.
    fn free_share(&self) -> u64 {
        self.free_mib() * 1000 / self.memory_mib.max(1)
    }
}

/// Chooses a host: one with room; the fewest alike, then the most free memory by share,
/// then the fewest processors given away, then the first.
///
/// # Errors
/// `Host`, naming what each host has left.
pub fn place(memory_mib: u64, cpus: u32, rooms: &[Room]) -> Result<usize> {
    let fitting = rooms.iter().enumerate().filter(|(_, room)| room.fits(memory_mib, cpus));
    let best = fitting
        .min_by_key(|(at, room)| (room.alike, u64::MAX - room.free_share(), room.used_cpus, *at));
    best.map(|(at, _)| at).ok_or_else(|| {
        let each = |room: &Room| {
            let cpus = room.cpus.map_or(String::new(), |all| {
                format!(" and {}", processors(all.saturating_sub(room.used_cpus)))
            });
            format!("{} has {} MiB{cpus} left", room.name, room.free_mib())
        };
        let all: Vec<String> = rooms.iter().map(each).collect();
        Error::host(format!(
            "no host has room for a machine of {memory_mib} MiB and {}: {}",
            processors(cpus),
            all.join(", ")
        ))
        .hint("give the machine less `memory`, stop others, or add a host")
    })
}

fn processors(n: u32) -> String {
    if n == 1 { "1 CPU".to_owned() } else { format!("{n} CPUs") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(memory_mib: u64, used_mib: u64, cpus: Option<u32>, used: u32, alike: usize) -> Room {
        let name = format!("h{memory_mib}");
        Room { name, memory_mib, used_mib, cpus, used_cpus: used, alike }
    }

    #[test]
    fn the_best_host() {
        for (rooms, wanted) in [
            (vec![room(4096, 0, None, 0, 0), room(4096, 0, None, 0, 0)], Some(0)),
            (vec![room(4096, 2048, None, 0, 0), room(4096, 0, None, 0, 0)], Some(1)),
            (vec![room(4096, 0, None, 0, 1), room(4096, 2048, None, 0, 0)], Some(1)),
            (vec![room(4096, 3500, None, 0, 0), room(4096, 0, None, 0, 2)], Some(1)),
            (vec![room(8192, 4096, None, 0, 0), room(4096, 0, None, 0, 0)], Some(1)),
            (vec![room(4096, 0, None, 4, 0), room(4096, 0, None, 2, 0)], Some(1)),
            (vec![room(4096, 0, Some(4), 4, 0), room(4096, 2048, None, 9, 0)], Some(1)),
            (vec![room(512, 0, None, 0, 0)], None),
            (vec![room(1024, 2048, None, 0, 0)], None),
            (vec![], None),
        ] {
            assert_eq!(place(1024, 1, &rooms).ok(), wanted, "{rooms:?}");
        }
    }

    #[test]
    fn why_nothing_fits() {
        let error = place(1024, 1, &[room(512, 0, None, 0, 0), room(4096, 4096, Some(2), 1, 0)]);
        let text = error.unwrap_err().to_string();
        assert!(text.contains("h512 has 512 MiB left"), "{text}");
        assert!(text.contains("h4096 has 0 MiB and 1 CPU left"), "{text}");
    }

    #[test]
    fn never_more_than_a_host_has() {
        let mut rooms = vec![room(3000, 0, None, 0, 0), room(5000, 0, Some(3), 0, 0)];
        while let Ok(at) = place(700, 1, &rooms) {
            rooms[at].used_mib += 700;
            rooms[at].used_cpus += 1;
        }
        assert!(rooms.iter().all(|room| room.used_mib <= room.memory_mib));
        assert_eq!((rooms[0].used_cpus, rooms[1].used_cpus), (4, 3));
    }
}
