//! The files of `tests/golden/config`, what loads from a folder, and who gets which address.

use std::path::{Path, PathBuf};

use super::*;

/// No machine exists yet.
pub(super) fn fresh(text: &str) -> Result<Fleet, Invalid> {
    Fleet::parse(text, "machines.toml", &BTreeMap::new())
}

/// A path in the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares a text with the golden file `path`; `FLEET_BLESS=1` rewrites it instead.
fn golden(path: &Path, text: &str) -> Result<(), String> {
    if std::env::var_os("FLEET_BLESS").is_some() {
        std::fs::write(path, text).unwrap();
        return Ok(());
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    let name = path.display();
    if expected == text { Ok(()) } else { Err(format!("{name} is not what came out:\n{text}")) }
}

/// Renders every `*.toml` of a folder and compares it with the file beside it.
fn compare_all(folder: &str, ending: &str, render: impl Fn(&str, &str) -> String) {
    let folder = repository("tests/golden/config").join(folder);
    let mut cases: Vec<PathBuf> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    cases.sort();
    assert!(cases.len() > 5, "the cases are missing");
    let failed: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let name = case.file_stem().unwrap().to_string_lossy();
            let text = render(&name, &std::fs::read_to_string(case).unwrap());
            golden(&case.with_extension(ending), &text).err()
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn every_invalid_file_says_where_and_what_to_do() {
    compare_all("invalid", "txt", |name, text| {
        let invalid = fresh(text).expect_err(name);
        for problem in invalid.problems() {
            assert!(problem.place().is_some(), "{name}: `{problem}` has no place");
            assert!(problem.help_text().is_some(), "{name}: `{problem}` has no help");
        }
        invalid.render(Colour::Off)
    });
}

#[test]
fn every_doubtful_file_is_valid_and_warns() {
    compare_all("warning", "txt", |name, text| {
        let fleet = fresh(text).unwrap_or_else(|e| panic!("{name}: {}", e.render(Colour::Off)));
        assert!(!fleet.warnings.is_empty(), "{name} does not warn");
        render_all(&fleet.warnings, Colour::Off)
    });
}

#[test]
fn every_valid_file_becomes_complete_machines() {
    compare_all("valid", "json", |name, text| {
        let fleet = fresh(text).unwrap_or_else(|e| panic!("{name}: {}", e.render(Colour::Off)));
        assert!(fleet.warnings.is_empty(), "{name}: {:?}", fleet.warnings);
        let value = serde_json::json!({
            "name": fleet.name,
            "network": fleet.network,
            "swarm": fleet.swarm,
            "machines": fleet.machines,
        });
        let root = repository("").display().to_string();
        serde_json::to_string_pretty(&value).unwrap().replace(&root, "[DIR]/") + "\n"
    });
}

#[test]
fn the_lab_of_the_repository_is_three_machines_and_a_swarm() {
    let path = repository(FILE_NAME);
    let fleet = Fleet::load(&path, &BTreeMap::new()).unwrap();
    let names: Vec<_> = fleet.machines.iter().map(|spec| (spec.name.as_str(), spec.role)).collect();
    let (manager, worker) = (Some(Role::Manager), Some(Role::Worker));
    assert_eq!(names, [("host1", manager), ("worker-1", worker), ("worker-2", worker)]);
    assert!(fleet.machines.iter().all(|spec| spec.driver == "qemu" && spec.memory_mib == 1024));
    assert!(fleet.warnings.is_empty());
    assert_eq!(fleet.file, path);
}

#[test]
fn the_schema_is_the_published_one() {
    golden(&repository("docs/machines.schema.json"), &json_schema()).unwrap();
}

#[test]
fn the_reference_explains_every_key() {
    let text = std::fs::read_to_string(repository("docs/machines.toml.md")).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&json_schema()).unwrap();
    let tables = schema["definitions"].as_object().unwrap().values();
    let keys = tables.chain([&schema]).filter_map(|table| table["properties"].as_object());
    let missing: Vec<&String> = keys
        .flat_map(|keys| keys.keys())
        .filter(|key| !text.contains(&format!("`{key}`")))
        .collect();
    assert!(missing.is_empty(), "docs/machines.toml.md does not explain {missing:?}");
}

#[test]
fn a_terminal_gets_colour_and_others_plain_ascii() {
    let invalid = fresh("[machine.host1]\nmemroy = \"1 GiB\"\n").unwrap_err();
    assert!(invalid.render(Colour::Off).is_ascii());
    assert!(invalid.render(Colour::On).contains("\u{1b}["));
}

#[test]
fn a_problem_as_json_has_its_place() {
    let invalid = fresh("[machine.host1]\nmemroy = \"1 GiB\"\n").unwrap_err();
    let error = &invalid.to_json()["errors"][0];
    assert_eq!(error["file"], "machines.toml");
    assert_eq!((&error["line"], &error["column"]), (&2.into(), &1.into()));
    assert_eq!(error["help"], "did you mean `memory`?");
}

#[test]
fn files_that_cannot_be_read() {
    use fleet_driver::ErrorKind;
    let dir = tempfile::tempdir().unwrap();
    let load = |name: &str| Fleet::load(&dir.path().join(name), &BTreeMap::new()).unwrap_err();

    let missing = load("machines.toml");
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(missing.render(Colour::Off).contains("fleet init"));

    std::fs::create_dir(dir.path().join("folder")).unwrap();
    assert_eq!(load("folder").kind(), ErrorKind::Config);
    assert!(load("folder").render(Colour::Off).contains("is a folder"));

    std::fs::write(dir.path().join("latin1"), b"[machine.a]\n# gr\xf6\xdfe\n").unwrap();
    let latin1 = load("latin1");
    assert_eq!(latin1.problems()[0].place(), Some((2, 5)));
    assert!(latin1.render(Colour::Off).contains("0xf6"));

    std::fs::write(dir.path().join("bom"), "\u{feff}[machine.a]\n").unwrap();
    assert_eq!(Fleet::load(&dir.path().join("bom"), &BTreeMap::new()).unwrap().machines.len(), 1);
}

#[test]
fn the_file_is_found_upwards_and_names_the_fleet_after_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("My Lab/a/b");
    std::fs::create_dir_all(&deep).unwrap();
    assert_eq!(find(&deep), None);
    let file = dir.path().join("My Lab/machines.toml");
    std::fs::write(&file, "[machine.a]\n").unwrap();
    assert_eq!(find(&deep), Some(file.clone()));
    assert_eq!(Fleet::load(&file, &BTreeMap::new()).unwrap().name, "my-lab");
}

#[test]
fn scripts_and_images_are_found_from_the_folder_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("engine.sh"), "#!/bin/sh\n").unwrap();
    let text =
        "[defaults]\nimage = \"../disk.img\"\n[engine]\ninstall = \"./engine.sh\"\n[machine.a]\n";
    std::fs::write(dir.path().join(FILE_NAME), text).unwrap();
    let fleet = Fleet::load(&dir.path().join(FILE_NAME), &BTreeMap::new()).unwrap();
    let spec = &fleet.machines[0];
    assert_eq!(spec.engine.install, Install::Script(dir.path().join("engine.sh")));
    assert_eq!(spec.image, ImageRef::Path(dir.path().join("../disk.img")));
}

/// The addresses of a file's machines, given those that exist.
pub(super) fn addresses(
    text: &str,
    recorded: &BTreeMap<String, Ipv4Addr>,
) -> BTreeMap<String, Ipv4Addr> {
    let fleet = Fleet::parse(text, "machines.toml", recorded)
        .unwrap_or_else(|e| panic!("{}\n{text}", e.render(Colour::Off)));
    fleet.machines.into_iter().map(|spec| (spec.name, spec.address)).collect()
}

#[test]
fn a_new_machine_gets_the_lowest_free_address_and_moves_nobody() {
    let before = addresses("[machine.a]\n[machine.c]\n", &BTreeMap::new());
    assert_eq!(before["a"], Ipv4Addr::new(10, 77, 0, 11));
    let after = addresses("[machine.a]\n[machine.b]\n[machine.c]\n", &before);
    assert_eq!(after["c"], before["c"]);
    assert_eq!(after["b"], Ipv4Addr::new(10, 77, 0, 13));
    // A machine that left the file but still exists keeps its address too.
    let without = addresses("[machine.b]\n[machine.d]\n", &before);
    assert_eq!(without["b"], Ipv4Addr::new(10, 77, 0, 13));
    assert_eq!(without["d"], Ipv4Addr::new(10, 77, 0, 14));
}

#[test]
fn an_address_of_an_existing_machine_cannot_be_given_away() {
    let recorded = BTreeMap::from([("a".to_owned(), Ipv4Addr::new(10, 77, 0, 11))]);
    let text = "[machine.a]\n[machine.b]\naddress = \"10.77.0.11\"\n";
    let invalid = Fleet::parse(text, "machines.toml", &recorded).unwrap_err();
    assert_eq!(invalid.problems()[0].place(), Some((3, 11)));
    // Another lab network: the old addresses mean nothing there.
    let moved = addresses("[network]\nsubnet = \"10.78.0.0/24\"\n[machine.a]\n", &recorded);
    assert_eq!(moved["a"], Ipv4Addr::new(10, 78, 0, 11));
}

#[test]
fn a_count_never_renames_a_machine() {
    let names = |text: &str| addresses(text, &BTreeMap::new()).into_keys().collect::<Vec<_>>();
    assert_eq!(names("[machine.web]\n"), ["web"]);
    assert_eq!(names("[machine.web]\ncount = 1\n"), ["web-1"]);
    assert_eq!(names("[machine.web]\ncount = 2\n"), ["web-1", "web-2"]);
}

#[test]
fn lists_of_tables_speak_of_the_driver_as_a_whole() {
    let fleet = fresh(
        "[defaults]\ndriver = \"libvirt\"\n[driver.libvirt]\npool = \"ssd\"\nargs = [\"a\"]\n\
         hosts = []\n[[driver.libvirt.host]]\nname = \"alpha\"\n[machine.a]\ncount = 2\n\
         [machine.b]\nlibvirt = { pool = \"hdd\", disk = [{ size = 1 }] }\n[machine.c]\n\
         driver = \"qemu\"\n",
    )
    .unwrap();
    let shared = toml::toml! {
        pool = "ssd"
        args = ["a"]
        hosts = []
    };
    assert_eq!(fleet.machines[0].options, shared);
    // A machine's own list of tables is the machine's.
    let own = toml::toml! {
        pool = "hdd"
        args = ["a"]
        hosts = []
        disk = [{ size = 1 }]
    };
    assert_eq!(fleet.machines[2].options, own);
    let settings = fleet.settings("libvirt", PathBuf::from("/cache"));
    assert_eq!(settings.driver["host"], toml::Value::from(vec![toml::toml! { name = "alpha" }]));
    assert_eq!(settings.driver["pool"].as_str(), Some("ssd"));
    assert_eq!(settings.machines, [shared, own]);
    assert_eq!(settings.cache, Path::new("/cache"));
    assert!(fleet.settings("azure", PathBuf::new()).driver.is_empty());
}

#[test]
fn nobody_looks_for_programs_before_the_file_names_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE_NAME);
    let load = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let asked = std::cell::Cell::new(0);
        let programs = || {
            asked.set(asked.get() + 1);
            ["toy".to_owned(), "cpus".to_owned()].into()
        };
        let fleet = Fleet::load_with(&file, &BTreeMap::new(), &programs);
        (fleet.map(|fleet| fleet.machines[0].clone()), asked.get())
    };
    let (machine, asked) = load("[driver.qemu]\na = 1\n[machine.a]\nqemu.b = 1\nlabels = {}\n");
    assert_eq!((machine.unwrap().driver.as_str(), asked), ("qemu", 0));
    let (machine, asked) =
        load("[driver.toy]\na = 1\nb = 1\n[machine.a]\ndriver = \"toy\"\ntoy.b = 2\n");
    let machine = machine.unwrap();
    assert_eq!((machine.driver.as_str(), asked), ("toy", 1));
    assert_eq!(
        machine.options,
        toml::toml! {
            a = 1
            b = 2
        }
    );
    let (wrong, asked) = load("[machine.a]\nmemroy = {}\n");
    assert!(wrong.is_err() && asked == 1);
}
