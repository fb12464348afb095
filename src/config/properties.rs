//! Properties that hold for every file, whatever is in it.

use proptest::prelude::*;

use super::tests::{addresses, fresh};
use super::*;

/// Words and signs of which files are made.
fn toml_ish() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        "=",
        ",",
        ".",
        "\n",
        "\n",
        "\"",
        "'",
        "#",
        " ",
        "machine",
        "a",
        "worker-1",
        "fleet",
        "defaults",
        "network",
        "engine",
        "swarm",
        "driver",
        "qemu",
        "count",
        "role",
        "\"manager\"",
        "memory",
        "\"1 GiB\"",
        "\"999999999999 TiB\"",
        "disk",
        "cpus",
        "image",
        "address",
        "\"10.77.0.254\"",
        "subnet",
        "\"10.77.0.0/24\"",
        "\"1/0\"",
        "ports",
        "[\"8080:80\"]",
        "labels",
        "install",
        "version",
        "address_pools",
        "0",
        "-1",
        "2",
        "250",
        "1.5",
        "99999999999999999999",
        "true",
        "1979-05-27",
        "é",
        "\u{feff}",
        "\r\n",
        "\"",
        "\"\"\"",
        "0x1f",
        "subnet_size",
        "8",
    ]);
    prop_oneof![
        prop::collection::vec(words, 0..60).prop_map(|words| words.concat()),
        any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_text_makes_it_panic(text in toml_ish()) {
        match fresh(&text) {
            Ok(fleet) => prop_assert!(!fleet.machines.is_empty()),
            Err(invalid) => prop_assert!(!invalid.render(Colour::Off).is_empty()),
        }
    }

    #[test]
    fn no_value_makes_it_panic(
        key in prop::sample::select(vec![
            "memory", "disk", "image", "address", "user", "role", "ports", "labels", "count",
            "cpus", "availability", "engine.version", "engine.install", "engine.env", "qemu",
        ]),
        value in prop_oneof![
            any::<String>().prop_map(|text| toml::Value::from(text).to_string()),
            any::<i64>().prop_map(|n| n.to_string()),
            any::<f64>().prop_map(|n| toml::Value::from(n).to_string()),
            "[0-9]{1,20}(\\.[0-9]{1,20})? ?[KMGT]?i?B?".prop_map(|size| format!("\"{size}\"")),
            "[0-9.]{1,16}".prop_map(|address| format!("\"{address}\"")),
            "[0-9:/.-]{1,16}".prop_map(|port| format!("[\"{port}\"]")),
        ],
    ) {
        let text = format!("[swarm]\n[machine.a]\n{key} = {value}\n");
        if let Err(invalid) = fresh(&text) {
            prop_assert!(!invalid.render(Colour::On).is_empty());
        }
    }

    #[test]
    fn inserting_machines_never_moves_others(
        names in prop::collection::btree_set("[a-z]{1,6}", 1..12),
        picks in prop::collection::vec(any::<bool>(), 12),
    ) {
        let file = |names: &[&String]| -> String {
            names.iter().flat_map(|name| ["[machine.", name, "]\n"]).collect()
        };
        let all: Vec<&String> = names.iter().filter(|name| *name != "localhost").collect();
        let some: Vec<&String> =
            all.iter().zip(&picks).filter(|(_, pick)| **pick).map(|(name, _)| *name).collect();
        prop_assume!(!some.is_empty());
        let before = addresses(&file(&some), &BTreeMap::new());
        let after = addresses(&file(&all), &before);
        for (name, address) in &before {
            prop_assert_eq!(&after[name], address);
        }
        let mut distinct: Vec<_> = after.values().collect();
        distinct.sort();
        distinct.dedup();
        prop_assert_eq!(distinct.len(), all.len());
    }
}
