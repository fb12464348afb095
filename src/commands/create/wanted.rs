//! The flags that describe a machine, and what they mean in the file.

use std::path::Path;

use fleet_driver::{Error, Result};

use crate::edit::{NewEngine, NewMachine};
use crate::host::Host;

/// Docker's own script, as docker-machine's users name it.
const GET_DOCKER: &str = "https://get.docker.com";

/// A machine as it is wanted
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Wanted {
    /// What makes the machine
    #[arg(long, short = 'd', value_name = "DRIVER")]
    driver: Option<String>,
    /// Virtual processors
    #[arg(long, value_name = "N")]
    cpus: Option<i64>,
    /// Memory, such as `2 GiB`; a bare number is MiB
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Size of the root disk, such as `20 GiB`; a bare number is MiB
    #[arg(long, value_name = "SIZE")]
    disk: Option<String>,
    /// The base image: a name such as `debian-12`, or a path
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Its address on the lab network
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// Its part in the swarm: `manager` or `worker`
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// A port of this computer that leads into the machine, such as `8080:80`
    #[arg(long = "port", value_name = "PORT")]
    ports: Vec<String>,
    /// A label of its swarm node
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// An option of the driver, such as `accel=tcg`
    #[arg(long = "driver-opt", value_name = "KEY=VALUE", value_parser = pair)]
    driver_options: Vec<(String, String)>,
    /// The version of the engine, in full or its first parts
    #[arg(long, value_name = "VERSION")]
    engine_version: Option<String>,
    /// How the engine gets in: `auto`, `distro`, `get-docker`, `none` or a script's path
    #[arg(long, value_name = "HOW", visible_alias = "engine-install-url")]
    engine_install: Option<String>,
    /// A label of the engine
    #[arg(long = "engine-label", value_name = "KEY=VALUE", value_parser = pair)]
    engine_labels: Vec<(String, String)>,
    /// A variable of the engine's environment, such as `HTTPS_PROXY=http://proxy:3128`
    #[arg(long = "engine-env", value_name = "KEY=VALUE", value_parser = pair)]
    engine_env: Vec<(String, String)>,
    /// A registry that may be spoken to without TLS
    #[arg(long = "engine-insecure-registry", value_name = "HOST")]
    insecure_registries: Vec<String>,
    /// A mirror of the public registry
    #[arg(long = "engine-registry-mirror", value_name = "URL")]
    registry_mirrors: Vec<String>,
    /// The engine's storage driver
    #[arg(long = "engine-storage-driver", value_name = "NAME")]
    storage_driver: Option<String>,
    /// An option of the engine: `log-driver=NAME` or `log-opt=KEY=VALUE`, for example
    #[arg(long = "engine-opt", value_name = "KEY=VALUE", value_parser = pair)]
    engine_options: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}

impl Wanted {
    /// The machine that the flags describe, for a file in `folder`.
    ///
    /// # Errors
    /// `Usage` for what has no place in the file.
    pub(super) fn machine(&self, name: &str, host: &Host, folder: &Path) -> Result<NewMachine> {
        let options = match (&self.driver, self.driver_options.as_slice()) {
            (_, []) => None,
            (Some(driver), options) => Some((driver.clone(), options.to_vec())),
            (None, _) => {
                return Err(Error::usage("options of which driver?")
                    .hint("name it: `--driver qemu --driver-opt …`"));
            }
        };
        let texts = [
            ("driver", self.driver.clone()),
            ("image", self.image.as_deref().map(|image| path(image, host, folder))),
            ("memory", self.memory.as_deref().map(size)),
            ("disk", self.disk.as_deref().map(size)),
            ("address", self.address.clone()),
            ("role", self.role.clone()),
        ];
        Ok(NewMachine {
            name: name.to_owned(),
            texts: given(texts),
            cpus: self.cpus,
            ports: self.ports.clone(),
            labels: self.labels.clone(),
            engine: self.engine(host, folder)?,
            options,
        })
    }

    fn engine(&self, host: &Host, folder: &Path) -> Result<NewEngine> {
        let mut labels = self.engine_labels.clone();
        let mut log_options = Vec::new();
        let (mut mirrors, mut insecure) =
            (self.registry_mirrors.clone(), self.insecure_registries.clone());
        let (mut log_driver, mut storage) = (None, self.storage_driver.clone());
        for (key, value) in &self.engine_options {
            match key.trim_start_matches('-') {
                "log-driver" => log_driver = Some(value.clone()),
                "storage-driver" => storage = Some(value.clone()),
                "registry-mirror" => mirrors.push(value.clone()),
                "insecure-registry" => insecure.push(value.clone()),
                "label" => labels.push(two(key, value)?),
                "log-opt" => log_options.push(two(key, value)?),
                other => {
                    return Err(Error::usage(format!(
                        "the file has no key for the option `{other}`"
                    ))
                    .hint(
                        "it knows log-driver, log-opt, storage-driver, registry-mirror, \
                             insecure-registry and label; an install script may do the rest",
                    ));
                }
            }
        }
        let install = self.engine_install.as_deref().map(|how| match how {
            GET_DOCKER => Ok("get-docker".to_owned()),
            url if url.contains("://") => Err(Error::usage("no script is run from an address")
                .with("address", url)
                .hint("download it, read it, and name the file: `--engine-install ./engine.sh`")),
            how => Ok(path(how, host, folder)),
        });
        let texts = [
            ("install", install.transpose()?),
            ("version", self.engine_version.clone()),
            ("storage_driver", storage),
            ("log_driver", log_driver),
        ];
        Ok(NewEngine {
            texts: given(texts),
            lists: vec![("registry_mirrors", mirrors), ("insecure_registries", insecure)],
            tables: vec![
                ("labels", labels),
                ("log_opts", log_options),
                ("env", self.engine_env.clone()),
            ],
        })
    }
}

fn given<const N: usize>(
    texts: [(&'static str, Option<String>); N],
) -> Vec<(&'static str, String)> {
    texts.into_iter().filter_map(|(key, text)| Some((key, text?))).collect()
}

/// A value that is a pair itself.
fn two(key: &str, value: &str) -> Result<(String, String)> {
    pair(value).map_err(|_| {
        Error::usage(format!("`{key}` needs a key and a value"))
            .hint(format!("write it as `--engine-opt {key}=KEY=VALUE`"))
    })
}

/// A size as the file writes it; docker-machine's are bare MiB.
fn size(text: &str) -> String {
    let bare = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    if bare { format!("{text} MiB") } else { text.to_owned() }
}

/// A path from here as the file needs it, which counts from its own folder.
fn path(text: &str, host: &Host, folder: &Path) -> String {
    if !text.contains('/') || text.contains("://") || host.cwd() == folder {
        return text.to_owned();
    }
    host.cwd().join(text).display().to_string()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::edit::add;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        wanted: Wanted,
    }

    fn table(words: &[&str]) -> Result<String> {
        let cli = Cli::try_parse_from([&["create"], words].concat()).unwrap();
        let host = Host::captured("/lab", &[]);
        cli.wanted.machine("db", &host, Path::new("/lab")).and_then(|machine| add("", &machine))
    }

    #[test]
    fn flags_become_keys() {
        let text = table(&[
            "-d",
            "qemu",
            "--memory",
            "2048",
            "--disk",
            "20 GiB",
            "--driver-opt",
            "accel=tcg",
            "--engine-install-url",
            GET_DOCKER,
            "--engine-opt",
            "log-opt=max-size=1m",
            "--engine-opt",
            "log-driver=local",
            "--engine-label",
            "a=b=c",
        ]);
        assert_eq!(
            text.unwrap(),
            "[machine.db]\ndriver = \"qemu\"\nmemory = \"2048 MiB\"\ndisk = \"20 GiB\"\n\
             qemu = { accel = \"tcg\" }\n\n[machine.db.engine]\ninstall = \"get-docker\"\n\
             log_driver = \"local\"\nlabels = { a = \"b=c\" }\nlog_opts = { max-size = \"1m\" }\n"
        );
    }

    #[test]
    fn what_has_no_place_in_the_file_is_refused() {
        for words in [
            ["--engine-opt", "bip=10.0.0.1/24"],
            ["--engine-opt", "log-opt=x"],
            ["--engine-install", "https://example.org/x.sh"],
            ["--driver-opt", "accel=tcg"],
        ] {
            assert!(table(&words).is_err(), "{words:?}");
        }
        assert!(Cli::try_parse_from(["create", "--label", "x"]).is_err());
    }

    #[test]
    fn a_path_counts_from_where_it_was_typed() {
        let host = Host::captured("/lab/deep", &[]);
        assert_eq!(path("./x.qcow2", &host, Path::new("/lab")), "/lab/deep/./x.qcow2");
        assert_eq!(path("./x.qcow2", &host, Path::new("/lab/deep")), "./x.qcow2");
        assert_eq!(path("debian-12", &host, Path::new("/lab")), "debian-12");
    }
}
