use super::*;
use std::path::Path;
#[test]
fn lab() {
    let f = Fleet::load(Path::new(env!("CARGO_MANIFEST_DIR")).join("machines.toml").as_path(), &BTreeMap::new());
    match f { Ok(f) => eprintln!("{f:#?}"), Err(e) => panic!("{}", e.render(Colour::Off)) }
    let t = "[fleet]\nnam='x'\n[defaults]\nmemroy = \"1 GiB\"\ncpus=\"2\"\n[host1]\nrole='manager'\n[machine.A_b]\ncount=2\nmemory=1024\nports=['80:80:80']\nrole='mangr'\nqemu.accel='kvm'\nvirtualbx.x=1\ninstall='auto'\n";
    eprintln!("{}", Fleet::parse(t, "machines.toml", &BTreeMap::new()).unwrap_err().render(Colour::Off));
    eprintln!("{}", Fleet::parse("[machine.x]\nrole = manager\n", "machines.toml", &BTreeMap::new()).unwrap_err().render(Colour::On));
    eprintln!("{}", Fleet::parse("[machine.x]\n[machine.x]\ncpus=\n", "machines.toml", &BTreeMap::new()).unwrap_err().render(Colour::On));
    eprintln!("{}", super::schema::json_schema());
}
