//! Scripts that install and configure the engine in a guest, as pure functions.

use std::time::Duration;

use fleet_driver::{Answer, Cx, Error, ErrorKind, Result, Secret};
use serde::Serialize;

use super::facts::GuestFacts;
use super::settings::{ENGINE_PORT, Settings};
use super::source::{self, Init, Manager, Origin};
use super::{Guest, Script, Telling};
use crate::config::{EngineSpec, Install};
use crate::pki::ServerCert;
use crate::templates;

/// Where Docker's own packages are.
const DOCKER_LINUX: &str = "https://download.docker.com/linux";
/// Docker's official script.
const GET_DOCKER: &str = "https://get.docker.com";
/// Package lists and a few hundred megabytes over a slow line, in an emulated guest.
const INSTALL_LIMIT: Duration = Duration::from_secs(1200);

#[derive(Serialize)]
struct Begin<'a> {
    package: &'a str,
    others: String,
    version: &'a str,
}

#[derive(Serialize)]
struct Dnf<'a> {
    repository: String,
    release: &'a str,
    extras: &'a str,
}

#[derive(Serialize)]
struct Zypper {
    module: String,
}

#[derive(Serialize)]
struct Apk<'a> {
    community: &'a str,
}

#[derive(Serialize)]
struct End<'a> {
    init: &'a str,
    user: &'a str,
}

#[derive(Serialize)]
struct Openrc<'a> {
    conf: &'a str,
}

#[derive(Serialize)]
struct Firewall<'a> {
    engine: String,
    lab: &'a str,
}

#[derive(Serialize)]
struct GetDocker<'a> {
    url: &'a str,
    version: &'a str,
    user: &'a str,
}

/// Says how to get the wanted engine into a guest; `None` if it is there.
///
/// `script` is the text of the user's own script, for [`Install::Script`]; `user` is the
/// account that may use the engine without `sudo`.
///
/// # Errors
/// `Guest`: fleet cannot install it on this system, or it is not there and must not be
/// installed. `Conflict`: another version is there that fleet does not replace.
pub fn install(
    engine: &EngineSpec,
    script: Option<&str>,
    facts: &GuestFacts,
    user: &str,
) -> Result<Option<Script>> {
    let wanted = engine.version.as_deref();
    let there = match (&facts.engine, wanted) {
        (Some(found), Some(wanted)) => matches(wanted, found),
        (Some(_), None) => true,
        (None, _) => false,
    };
    if there {
        return Ok(None);
    }
    match (&engine.install, &facts.engine, wanted) {
        (Install::GetDocker | Install::Script(_) | Install::None, Some(found), Some(wanted)) => {
            Err(other_version(found, wanted))
        }
        (Install::None, ..) => Ok(None),
        _ => installer(engine, script, facts, user).map(Some),
    }
}

/// Says how to get the newest engine of the wanted version into a guest, whatever is there.
///
/// # Errors
/// As [`install`]; `Config` where fleet does not install engines.
pub fn upgrade(
    engine: &EngineSpec,
    script: Option<&str>,
    facts: &GuestFacts,
    user: &str,
) -> Result<Script> {
    if let (Install::GetDocker | Install::Script(_), Some(found), Some(wanted)) =
        (&engine.install, &facts.engine, engine.version.as_deref())
        && !matches(wanted, found)
    {
        return Err(other_version(found, wanted));
    }
    installer(engine, script, facts, user)
}

/// The script that installs the engine in the way that the file says.
fn installer(
    engine: &EngineSpec,
    script: Option<&str>,
    facts: &GuestFacts,
    user: &str,
) -> Result<Script> {
    let version = engine.version.as_deref().unwrap_or_default();
    match &engine.install {
        Install::Auto | Install::Distro => package(facts, version, user),
        Install::GetDocker => {
            let view = GetDocker { url: GET_DOCKER, version, user };
            Ok(installing(templates::render("guest/install-get-docker.sh", &view)?))
        }
        Install::Script(path) => {
            let text = script.ok_or_else(|| {
                Error::bug("the user's script was not read").with("script", path.display())
            })?;
            Ok(Script {
                purpose: "run your script to install the engine",
                text: Secret::new(text.to_owned()),
                as_user: false,
                telling: Telling::Lines,
                limit: INSTALL_LIMIT,
            })
        }
        Install::None => Err(Error::config("fleet does not install the engine of this machine")
            .hint("the file says `install = \"none\"`: upgrade it in the machine itself")),
    }
}

/// The package that the table names for this system: a beginning and an end around what
/// its package manager needs.
fn package(facts: &GuestFacts, version: &str, user: &str) -> Result<Script> {
    let os = &facts.os;
    let from = source::of(os)?;
    let (package, others) =
        from.packages.split_first().ok_or_else(|| Error::bug("a system has no package"))?;
    let mut text = templates::render(
        "guest/install-begin.sh",
        &Begin { package, others: others.join(" "), version },
    )?;
    text += &match from.manager {
        Manager::Apt => templates::plain("guest/install-apt.sh").to_owned(),
        Manager::Pacman => templates::plain("guest/install-pacman.sh").to_owned(),
        Manager::Dnf => {
            let mut view = Dnf { repository: String::new(), release: os.major(), extras: "" };
            match from.origin {
                Origin::Docker(folder) => view.repository = format!("{DOCKER_LINUX}/{folder}"),
                Origin::Extras(topic) => view.extras = topic,
                Origin::Distribution | Origin::Module(_) | Origin::Beside(_) => {}
            }
            templates::render("guest/install-dnf.sh", &view)?
        }
        Manager::Zypper => {
            let module = match from.origin {
                Origin::Module(module) => format!("{module}/{}", os.version),
                _ => String::new(),
            };
            templates::render("guest/install-zypper.sh", &Zypper { module })?
        }
        Manager::Apk => {
            let community = match from.origin {
                Origin::Beside(repository) => repository,
                _ => "",
            };
            templates::render("guest/install-apk.sh", &Apk { community })?
        }
    };
    let init = facts.init.unwrap_or(from.init).name();
    text += &templates::render("guest/install-end.sh", &End { init, user })?;
    Ok(installing(text))
}

fn installing(text: String) -> Script {
    Script {
        purpose: "install the engine",
        text: Secret::new(text),
        as_user: false,
        telling: Telling::Lines,
        limit: INSTALL_LIMIT,
    }
}

fn other_version(found: &str, wanted: &str) -> Error {
    Error::conflict(format!("the machine has engine {found}, but {wanted} is wanted"))
        .hint("remove `version` from [engine], or make the machine anew from another image")
}

/// Whether a version is the wanted one or begins with its parts: 20.10 is wanted,
/// 20.10.24+dfsg1 is found.
pub fn matches(wanted: &str, found: &str) -> bool {
    found
        .strip_prefix(wanted)
        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
}

/// Adds what a failed installation most likely suffers from.
///
/// `internet` is what `[network]` says.
pub fn explain(error: Error, internet: bool) -> Error {
    if error.kind() != ErrorKind::Guest {
        error
    } else if internet {
        error.hint("look whether the machine reaches its package mirror: `fleet ssh MACHINE`")
    } else {
        error.hint(
            "the machine has no way to the outside: set `internet = true` in [network], or use \
             an image that has the engine (`fleet image build`)",
        )
    }
}

/// Makes the folders of the settings; to be run before the files are put there.
pub fn prepare() -> Script {
    Script {
        purpose: "make room for the engine's settings",
        text: Secret::new(templates::plain("guest/prepare.sh").to_owned()),
        as_user: false,
        telling: Telling::Lines,
        limit: Duration::from_secs(60),
    }
}

/// Restarts the engine with the settings that were put there.
///
/// # Errors
/// `Bug`: a template is broken.
pub fn apply(init: Init) -> Result<Script> {
    let text = match init {
        Init::Systemd => templates::plain("guest/apply.sh").to_owned(),
        Init::OpenRc => {
            let view = Openrc { conf: templates::plain("docker/conf.d") };
            templates::render("guest/apply-openrc.sh", &view)?
        }
    };
    Ok(Script {
        purpose: "restart the engine with its new settings",
        text: Secret::new(text),
        as_user: false,
        telling: Telling::Lines,
        // An emulated guest takes its time.
        limit: Duration::from_secs(300),
    })
}

/// Lets the engine and the swarm through a guest's firewall; `lab` is the network of the
/// machines, such as `10.77.0.0/24`.
///
/// # Errors
/// `Bug`: a template is broken.
pub fn firewall(lab: &str) -> Result<Script> {
    let view = Firewall { engine: ENGINE_PORT.to_string(), lab };
    Ok(Script {
        purpose: "let the engine through the machine's firewall",
        text: Secret::new(templates::render("guest/firewall.sh", &view)?),
        as_user: false,
        telling: Telling::Lines,
        limit: Duration::from_secs(120),
    })
}

/// Writes the engine's settings and certificate into a guest and restarts the engine.
///
/// # Errors
/// `Conflict`: the guest's own `daemon.json` is damaged. `Guest`: the engine does not
/// start with the settings; holds the end of its journal.
pub fn configure<'a>(
    guest: &'a dyn Guest,
    settings: &'a Settings,
    cert: &'a ServerCert,
    facts: &'a GuestFacts,
    cx: &'a Cx,
) -> Answer<'a, ()> {
    Box::pin(async move {
        let init = facts.init.unwrap_or_default();
        let files = settings.files(cert, &facts.disk, init)?;
        guest.run(&prepare(), cx).await?;
        guest.put(&files, cx).await?;
        guest.run(&apply(init)?, cx).await.map(drop).map_err(|error| {
            error.hint(
                "correct [engine] and run `fleet up` again; what the machine had before fleet \
                 is in /etc/docker/daemon.json.before-fleet",
            )
        })
    })
}

#[cfg(test)]
pub(super) mod tests;
