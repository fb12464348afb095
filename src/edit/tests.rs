//! What becomes of files that are edited.

use fleet_driver::ErrorKind;

use super::*;

const FILE: &str = "\
# The lab of the third floor.

# Everything else is at its default.
[defaults]
memory = \"1 GiB\"   # enough

[machine.host1]
role = 'manager'

# Workers come and go.
[machine.worker]
count = 3   # at least two
cpus = 2

[machine.worker.engine]
version = \"28\"

[network]
subnet = \"10.1.0.0/24\"
";

fn without(text: &str, names: &[&str]) -> Result<String> {
    remove(text, &names.iter().map(|name| (*name).to_owned()).collect())
}

fn machine(name: &str) -> NewMachine {
    NewMachine { name: name.to_owned(), ..NewMachine::default() }
}

#[test]
fn a_machine_is_added_behind_the_others() {
    let added = add(FILE, &machine("db")).unwrap();
    assert_eq!(added, FILE.replace("\n[network]", "\n[machine.db]\n\n[network]"));
    assert_eq!(add("", &machine("db")).unwrap(), "[machine.db]\n");
    let full = NewMachine {
        texts: vec![("driver", "qemu".to_owned()), ("memory", "2 GiB".to_owned())],
        cpus: Some(2),
        ports: vec!["8080:80".to_owned()],
        labels: vec![("site".to_owned(), "lab".to_owned()), ("a.b".to_owned(), "c".to_owned())],
        engine: NewEngine {
            texts: vec![("storage_driver", "overlay2".to_owned())],
            lists: vec![("insecure_registries", vec!["r:5000".to_owned()]), ("none", vec![])],
            tables: vec![("env", vec![("HTTPS_PROXY".to_owned(), "http://p".to_owned())])],
        },
        options: Some((
            "qemu".to_owned(),
            vec![
                ("accel".to_owned(), "tcg".to_owned()),
                ("engine_port".to_owned(), "7".to_owned()),
            ],
        )),
        ..machine("db")
    };
    assert_eq!(
        add("[machine.a]\n", &full).unwrap(),
        "[machine.a]\n\n[machine.db]\ndriver = \"qemu\"\nmemory = \"2 GiB\"\ncpus = 2\n\
         ports = [\"8080:80\"]\nlabels = { site = \"lab\", \"a.b\" = \"c\" }\n\
         qemu = { accel = \"tcg\", engine_port = 7 }\n\n[machine.db.engine]\n\
         storage_driver = \"overlay2\"\ninsecure_registries = [\"r:5000\"]\n\
         env = { HTTPS_PROXY = \"http://p\" }\n"
    );
}

#[test]
fn a_file_in_another_style_takes_a_machine_too() {
    for text in ["machine = { a = {} }\n", "machine.a.cpus = 1\n", "[machine]\na = {}\n"] {
        let added = add(text, &machine("b")).unwrap();
        let table: toml::Table = toml::from_str(&added).unwrap();
        let machines = table["machine"].as_table().unwrap();
        assert!(machines.contains_key("a") && machines.contains_key("b"), "{added}");
    }
}

#[test]
fn a_name_that_is_taken_is_refused() {
    let error = add(FILE, &machine("host1")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(add("[machine", &machine("a")).unwrap_err().kind(), ErrorKind::Config);
}

#[test]
fn a_machine_goes_with_what_is_its_own() {
    let removed = without(FILE, &["host1"]).unwrap();
    assert_eq!(removed, FILE.replace("[machine.host1]\nrole = 'manager'\n\n", ""));
    let removed = without(FILE, &["worker-3", "worker-2", "worker-1"]).unwrap();
    let start = FILE.find("# Workers").unwrap();
    let end = FILE.find("[network]").unwrap();
    assert_eq!(removed, format!("{}{}", &FILE[..start], &FILE[end..]));
    assert!(has_machines(&removed));
    let empty = without(&removed, &["host1"]).unwrap();
    assert!(!has_machines(&empty) && empty.contains("# The lab of the third floor."), "{empty}");
}

#[test]
fn a_comment_that_is_not_the_machines_stays() {
    let text = "# Mine.\n\n# The first.\n[machine.a]\n\n[machine.b]\n";
    assert_eq!(without(text, &["a"]).unwrap(), "# Mine.\n\n[machine.b]\n");
    let text = "# Mine.\n\n# The only one.\n[machine.a]\ncpus = 1\n";
    assert_eq!(without(text, &["a"]).unwrap(), "# Mine.\n");
}

#[test]
fn the_last_of_a_count_lowers_it() {
    let removed = without(FILE, &["worker-3"]).unwrap();
    assert_eq!(removed, FILE.replace("count = 3 ", "count = 2 "));
    let removed = without(FILE, &["worker-3", "worker-2"]).unwrap();
    assert_eq!(removed, FILE.replace("count = 3 ", "count = 1 "));
    let error = without(FILE, &["worker-2"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.hint_text().unwrap().contains("fleet rm worker-3"), "{error:?}");
    for name in ["worker", "worker-4", "worker-0", "nobody"] {
        assert_eq!(without(FILE, &[name]).unwrap_err().kind(), ErrorKind::NotFound, "{name}");
    }
}

#[cfg(unix)]
#[test]
fn a_file_keeps_its_permissions_and_its_link() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real.toml"), dir.path().join("machines.toml"));
    std::fs::write(&real, "old").unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    save(&link, "new").unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::read_to_string(&real).unwrap(), "new");
    assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "a scratch file is left");
}
