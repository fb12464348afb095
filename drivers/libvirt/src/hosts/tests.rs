use super::*;

const TWO: &str = r#"
[[host]]
name = "small"
uri = "qemu:///system"
[[host]]
name = "big"
uri = "qemu+ssh://big/system"
memory = "16 GiB"
cpus = 8
pool = "fast"
bridge = "br0"
"#;

fn hosts(text: &str) -> Result<Vec<Host>> {
    read(&text.parse().unwrap())
}

fn options(text: &str) -> Options {
    Options::parse(&text.parse().unwrap()).unwrap()
}

#[test]
fn hosts_are_read() {
    let hosts = hosts(TWO).unwrap();
    assert_eq!(hosts[0].title(), "small");
    assert_eq!(hosts[1].memory_mib, Some(16384));
    assert_eq!(hosts[1].pool(&options("pool = \"slow\"")), "fast");
    assert_eq!(hosts[0].pool(&options("pool = \"slow\"")), "slow");
    assert_eq!(hosts[0].pool(&options("")), "default");
    assert_eq!(hosts[1].lan(&options("network = \"lan\"")), Lan::Bridge("br0".to_owned()));
    assert_eq!(hosts[0].lan(&options("network = \"lan\"")), Lan::Network("lan".to_owned()));
    assert_eq!(hosts[0].lan(&options("")), Lan::Own);
    assert_eq!(Host::at("qemu:///session").lan(&options("")), Lan::Segment);
}

#[test]
fn what_is_wrong_is_named() {
    for (text, key) in [
        ("host = 1", "host"),
        ("[[host]]\nname = 'a'", "host"),
        ("[[host]]\nname = 'a'\nuri = 'qemu:///system'\nmemori = '1 GiB'", "host.memori"),
        ("[[host]]\nname = 'a'\nuri = 'qemu:///system'\nmemory = 'lots'", "host.memory"),
        ("[[host]]\nname = 'a'\nuri = 'vbox:///'", "host.uri"),
    ] {
        let error = hosts(text).unwrap_err();
        assert_eq!(error.context()[0], ("key", key.to_owned()), "{text}");
    }
}

#[test]
fn amounts_of_memory() {
    for (text, amount) in [
        ("16 GiB", Some(16384)),
        ("512MiB", Some(512)),
        ("1t", Some(1 << 20)),
        ("16", None),
        ("GiB", None),
        ("0 GiB", None),
    ] {
        assert_eq!(mib(text), amount, "{text}");
    }
}

#[test]
fn a_machine_may_live_where_its_options_say() {
    let hosts = hosts(TWO).unwrap();
    let names = |text: &str| -> Vec<String> {
        let found = of_machine(&hosts, &options(text)).unwrap();
        found.iter().map(|host| host.title().to_owned()).collect()
    };
    assert_eq!(names(""), ["small", "big"]);
    assert_eq!(names("on = \"big\""), ["big"]);
    assert_eq!(names("uri = \"qemu:///session\""), ["qemu:///session"]);
    let error = of_machine(&hosts, &options("on = \"huge\"")).unwrap_err();
    assert_eq!(error.hint_text(), Some("the hosts are small, big"));
    assert_eq!(of_machine(&[], &options("")).unwrap(), [Host::at(DEFAULT_URI)]);
}

#[test]
fn every_host_of_the_settings_is_looked_at() {
    let settings = Settings {
        driver: TWO.parse().unwrap(),
        machines: vec![
            "uri = 'qemu:///session'".parse().unwrap(),
            "uri = 'qemu:///system'".parse().unwrap(),
        ],
        ..Settings::default()
    };
    let uris: Vec<String> = all(&settings).unwrap().into_iter().map(|host| host.uri).collect();
    assert_eq!(uris, ["qemu:///system", "qemu+ssh://big/system", "qemu:///session"]);
    assert_eq!(all(&Settings::default()).unwrap(), [Host::at(DEFAULT_URI)]);
}

#[test]
fn remote_and_session() {
    assert!(is_local("qemu:///system") && is_local("test:///default"));
    assert!(is_local("qemu+unix:///system?socket=/run/x"));
    assert!(!is_local("qemu+ssh://me@far/system"));
    assert!(is_session("qemu:///session?x=y") && !is_session("qemu:///system"));
}

fn settings(driver: &str, machines: &[&str]) -> Settings {
    Settings {
        driver: driver.parse().unwrap(),
        machines: machines.iter().map(|text| text.parse().unwrap()).collect(),
        ..Settings::default()
    }
}

#[test]
fn every_machine_is_looked_for_where_it_may_be() {
    let uris = |driver: &str, machines: &[&str]| -> Vec<String> {
        all(&settings(driver, machines)).unwrap().into_iter().map(|host| host.uri).collect()
    };
    assert_eq!(uris("", &[]), ["qemu:///system"]);
    assert_eq!(uris("uri = 'qemu:///session'", &[]), ["qemu:///session"]);
    assert_eq!(uris("", &["uri = 'qemu:///session'"]), ["qemu:///session"]);
    // One machine of two says where it is.
    let both = ["qemu:///session", "qemu:///system"];
    assert_eq!(uris("", &["uri = 'qemu:///session'", ""]), both);
    assert_eq!(uris(TWO, &["on = 'big'"]), ["qemu:///system", "qemu+ssh://big/system"]);
}

#[test]
fn a_mistake_is_told_before_anybody_is_asked() {
    check(&settings(TWO, &["", "on = 'big'", "xml = '<rng/>'"])).unwrap();
    for (machine, key) in [
        ("pol = 'x'", "pol"),
        ("uri = 'qemux:///system'", "uri"),
        ("type = 'vax'", "type"),
        ("on = 'huge'", "on"),
        ("xml = '<a><b></a>'", "xml"),
    ] {
        let error = check(&settings(TWO, &["", machine])).unwrap_err();
        assert_eq!(error.kind(), fleet_driver::ErrorKind::Config, "{machine}");
        assert!(error.to_string().contains(key), "{machine}: {error}");
    }
}
