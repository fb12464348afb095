//! This driver's part of `machines.toml`: a table in, typed options out.

use std::collections::BTreeSet;

use fleet_driver::text::nearest;
use fleet_driver::{Error, Result};
use serde::{Deserialize, Serialize};

const KEYS: &[&str] =
    &["accel", "args", "cpu", "engine_port", "machine", "ssh_port", "tcg_cache_mib"];

/// The options of one machine, under `qemu` in `machines.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// What executes the guest's code.
    pub accel: AccelChoice,
    /// QEMU's machine type, such as `q35` or `pc`.
    pub machine: String,
    /// QEMU's CPU model; `None`: `host` under KVM, `max` in emulation.
    pub cpu: Option<String>,
    /// The port of 127.0.0.1 that leads to the guest's SSH; `None`: a free one.
    pub ssh_port: Option<u16>,
    /// The port of 127.0.0.1 that leads to the guest's engine; `None`: a free one.
    pub engine_port: Option<u16>,
    /// How much translated code the emulator keeps, in MiB. Without a limit it takes
    /// a gigabyte a machine, for no visible gain.
    pub tcg_cache_mib: u32,
    /// Words added to the end of QEMU's command line.
    pub args: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            accel: AccelChoice::Auto,
            machine: "q35".to_owned(),
            cpu: None,
            ssh_port: None,
            engine_port: None,
            tcg_cache_mib: 256,
            args: Vec::new(),
        }
    }
}

/// What `machines.toml` says about acceleration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccelChoice {
    /// KVM where a guest really runs under it, else emulation.
    Auto,
    /// KVM, without a trial.
    Kvm,
    /// Emulation.
    Tcg,
}

impl Options {
    /// Reads and checks the driver's table.
    ///
    /// # Errors
    /// `Config`, naming the key.
    pub fn parse(table: &toml::Table) -> Result<Self> {
        if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(wrong(key, "is not an option of the driver").hint(
                match nearest(key, KEYS) {
                    Some(known) => format!("did you mean `{known}`?"),
                    None => format!("its options are {}", KEYS.join(", ")),
                },
            ));
        }
        for (key, value) in table {
            // One key at a time, since an error of the whole table does not name its key.
            let one = toml::Table::from_iter([(key.clone(), value.clone())]);
            if let Err(error) = one.try_into::<Self>() {
                let error = wrong(key, "has a bad value").because(error.message().to_owned());
                return Err(match key.as_str() {
                    "accel" => error.hint("use \"auto\", \"kvm\" or \"tcg\""),
                    "ssh_port" | "engine_port" => error.hint("use a number from 1 to 65535"),
                    _ => error,
                });
            }
        }
        let options: Self = table
            .clone()
            .try_into()
            .map_err(|e: toml::de::Error| Error::config("bad options").because(e))?;
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<()> {
        let ports = [("ssh_port", self.ssh_port), ("engine_port", self.engine_port)];
        for (key, port) in ports {
            if port == Some(0) {
                return Err(wrong(key, "has a bad value").hint("leave it out for a free port"));
            }
        }
        if self.ssh_port.is_some() && self.ssh_port == self.engine_port {
            return Err(wrong("engine_port", "is the same as `ssh_port`"));
        }
        if !(16..=4096).contains(&self.tcg_cache_mib) {
            return Err(wrong("tcg_cache_mib", "is not between 16 and 4096"));
        }
        for (key, word) in [("machine", Some(&self.machine)), ("cpu", self.cpu.as_ref())] {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.,=+".contains(c);
            if word.is_some_and(|w| w.is_empty() || !w.chars().all(plain)) {
                return Err(wrong(key, "has a bad value"));
            }
        }
        // Words that would break what the driver relies on to find and stop a machine.
        let kept: BTreeSet<&str> = ["-uuid", "-pidfile", "-daemonize", "-qmp", "-smbios"].into();
        if let Some(word) = self.args.iter().find(|word| kept.contains(word.as_str())) {
            return Err(wrong("args", &format!("contains `{word}`, which belongs to fleet")));
        }
        Ok(())
    }
}

fn wrong(key: &str, what: &str) -> Error {
    Error::config(format!("the QEMU option `{key}` {what}")).with("key", key)
}

#[cfg(test)]
mod tests {
    use fleet_driver::ErrorKind;

    use super::*;

    fn parse(text: &str) -> Result<Options> {
        Options::parse(&text.parse().unwrap())
    }

    #[test]
    fn nothing_means_the_defaults() {
        assert_eq!(parse("").unwrap(), Options::default());
    }

    #[test]
    fn everything_is_read() {
        let options = parse(
            r#"
            accel = "tcg"
            machine = "pc"
            cpu = "qemu64"
            ssh_port = 2201
            engine_port = 2301
            tcg_cache_mib = 128
            args = ["-device", "virtio-balloon-pci"]
            "#,
        )
        .unwrap();
        assert_eq!(options.accel, AccelChoice::Tcg);
        assert_eq!(options.ssh_port, Some(2201));
        assert_eq!(options.args.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, key, hint) in [
            ("acel = \"tcg\"", "acel", Some("did you mean `accel`?")),
            ("sshport = 1", "sshport", Some("did you mean `ssh_port`?")),
            ("accel = \"fast\"", "accel", Some("use \"auto\", \"kvm\" or \"tcg\"")),
            ("accel = 1", "accel", Some("use \"auto\", \"kvm\" or \"tcg\"")),
            ("ssh_port = 70000", "ssh_port", Some("use a number from 1 to 65535")),
            ("ssh_port = 0", "ssh_port", Some("leave it out for a free port")),
            ("ssh_port = 22\nengine_port = 22", "engine_port", None),
            ("machine = \"q 35\"", "machine", None),
            ("tcg_cache_mib = 1", "tcg_cache_mib", None),
            ("args = [\"-uuid\", \"x\"]", "args", None),
            ("args = \"-uuid x\"", "args", None),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{text}");
            assert_eq!(error.context(), [("key", key.to_owned())], "{text}");
            assert_eq!(error.hint_text(), hint, "{text}");
        }
        let error = parse("colour = 1").unwrap_err();
        assert!(error.hint_text().unwrap().starts_with("its options are accel"));
    }
}
