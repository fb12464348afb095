//! The templates, compiled in from one table and rendered through one function.
//!
//! A template is named as the file it becomes. Undefined variables are errors. In
//! YAML and JSON every value goes through the filter `json`, in shell files
//! through `sh`; XML is escaped by itself. Other kinds of files have filters of their
//! own, all in [`quote`].

mod quote;

use std::sync::LazyLock;

use fleet_driver::{Error, Result};
use serde::Serialize;
use tera::{Context, Kwargs, State, Tera};

macro_rules! table {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../templates/", $name)))),*]
    };
}

/// All templates: name and text.
pub const ALL: &[(&str, &str)] = table![
    "cloud-init/meta-data",
    "cloud-init/network-config",
    "cloud-init/user-data",
    "docker/10-fleet.conf",
    "docker/conf.d",
    "docker/environment",
    "env/bash.sh",
    "env/cmd.bat",
    "env/emacs.el",
    "env/fish.fish",
    "env/powershell.ps1",
    "env/tcsh.csh",
    "guest/apply-openrc.sh",
    "guest/apply.sh",
    "guest/early.sh",
    "guest/facts.sh",
    "guest/firewall.sh",
    "guest/install-apk.sh",
    "guest/install-apt.sh",
    "guest/install-begin.sh",
    "guest/install-dnf.sh",
    "guest/install-end.sh",
    "guest/install-get-docker.sh",
    "guest/install-pacman.sh",
    "guest/install-zypper.sh",
    "guest/last.sh",
    "guest/prepare.sh",
    "guest/scrub.sh",
];

static TERA: LazyLock<Tera> = LazyLock::new(|| {
    let mut tera = Tera::default();
    tera.autoescape_on(vec![".xml"]);
    for (name, quote) in quote::FILTERS.iter().copied() {
        // Not `String`, which takes anything, an undefined value for an empty text.
        tera.register_filter(name, move |word: &str, _: Kwargs, _: &State<'_>| quote(word));
    }
    tera.add_raw_templates(ALL.iter().copied()).expect("a test renders every template");
    tera
});

/// Renders the template `name` with its view.
///
/// # Errors
/// `Bug`: the template is unknown, or asks for what the view does not have.
pub fn render(name: &str, view: &impl Serialize) -> Result<String> {
    let bug = |e: tera::Error| Error::bug(format!("template `{name}` failed")).because(e);
    let context = Context::from_serialize(view).map_err(bug)?;
    TERA.render(name, &context).map_err(bug)
}

/// Gives a template without variables as it stands.
pub(crate) fn plain(name: &str) -> &'static str {
    let found = ALL.iter().find(|(known, _)| *known == name);
    found.expect("a test looks up every template without variables").1
}

#[cfg(test)]
mod tests;
