//! Tests of what `fleet env` prints, in the shells that this host has.

use std::path::Path;
use std::process::Command;

use super::*;

/// Everything that some shell might take for something else.
const NASTY: [&str; 8] = [
    "/home/me/.fleet/certs",
    "/home/it's me/two  spaces   three",
    "/a \"quoted\" $HOME ${PATH} $(id) `id`",
    "C:\\Users\\me\\n %PATH% ^&|<>",
    "/bang!bang !! !$",
    "/star*? [a-z] {a,b} ~ #no; comment",
    "-n",
    "/ünïcode ‘quotes’ 🐳",
];

fn view_of(value: &str) -> EnvView {
    let mut view = EnvView::default();
    view.set("DOCKER_CERT_PATH", value);
    view.set("FLEET_MACHINE", "host1");
    view.unset("DOCKER_CONTEXT");
    view.notes.push("A note with `id` and $(id) and 'quotes'.".to_owned());
    view.command = "fleet env host1".to_owned();
    view
}

/// Evaluates a script in a shell, and gives the three variables it is about.
fn evaluate(shell: &Path, args: &[&str], before: &str, code: &str) -> String {
    // Without quotes, a shell compares what looks like a pattern with the files here.
    let empty = tempfile::tempdir().unwrap();
    let output = Command::new(shell)
        .args(args)
        .arg(format!("{before}{code}"))
        .env("DOCKER_CONTEXT", "old")
        .env_remove("DOCKER_CERT_PATH")
        .current_dir(empty.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{code}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const SHOW: &str =
    "printf '<%s>' \"$DOCKER_CERT_PATH\" \"$FLEET_MACHINE\" \"${DOCKER_CONTEXT-unset}\"";

#[cfg(unix)]
#[test]
fn sh_takes_it_with_and_without_quotes() {
    for name in ["sh", "dash", "bash", "zsh", "busybox"] {
        let Ok(shell) = which::which(name) else {
            continue;
        };
        let args: &[&str] = if name == "busybox" { &["sh", "-c"] } else { &["-c"] };
        for value in NASTY {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("env");
            std::fs::write(&file, script(Shell::Bash, &view_of(value)).unwrap()).unwrap();
            for eval in ["eval \"$(cat ENV)\"", "eval $(cat ENV)", ". ENV"] {
                let eval = eval.replace("ENV", &file.display().to_string());
                let shown = evaluate(&shell, args, &format!("{eval}\n"), SHOW);
                assert_eq!(shown, format!("<{value}><host1><unset>"), "{name}: {eval}");
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn fish_takes_it() {
    let Ok(shell) = which::which("fish") else {
        return;
    };
    for value in NASTY {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("env");
        std::fs::write(&file, script(Shell::Fish, &view_of(value)).unwrap()).unwrap();
        for eval in ["eval (cat ENV)", "cat ENV | source"] {
            let eval = eval.replace("ENV", &file.display().to_string());
            let show = "set -q DOCKER_CONTEXT; or set DOCKER_CONTEXT unset; \
                printf '<%s>' (printenv DOCKER_CERT_PATH) $FLEET_MACHINE $DOCKER_CONTEXT";
            let shown = evaluate(&shell, &["--no-config", "-c"], &format!("{eval}\n"), show);
            assert_eq!(shown, format!("<{value}><host1><unset>"), "{eval}");
        }
    }
}

#[cfg(unix)]
#[test]
fn tcsh_takes_it() {
    let Ok(shell) = which::which("tcsh") else {
        return;
    };
    for value in NASTY {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("env");
        std::fs::write(&file, script(Shell::Tcsh, &view_of(value)).unwrap()).unwrap();
        let show = "if ( ! $?DOCKER_CONTEXT ) setenv DOCKER_CONTEXT unset\n\
            printenv DOCKER_CERT_PATH\nprintenv FLEET_MACHINE\nprintenv DOCKER_CONTEXT";
        // As the last line of the script says: the double quotes keep tcsh from
        // expanding `*` and `{}`.
        let eval = format!("eval \"`cat {}`\"\n", file.display());
        let shown = evaluate(&shell, &["-f", "-c"], &eval, show);
        assert_eq!(shown, format!("{value}\nhost1\nunset\n"));
    }
}

#[test]
fn powershell_takes_it() {
    let Ok(shell) = which::which("pwsh") else {
        return;
    };
    for value in NASTY {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("env.ps1");
        std::fs::write(&file, script(Shell::Powershell, &view_of(value)).unwrap()).unwrap();
        let eval = format!("Get-Content '{}' | Invoke-Expression\n", file.display());
        let show = "[Console]::Out.Write(\"<$Env:DOCKER_CERT_PATH><$Env:FLEET_MACHINE>\")";
        let shown = evaluate(&shell, &["-NoProfile", "-Command"], &eval, show);
        assert_eq!(shown, format!("<{value}><host1>"));
    }
}

#[test]
fn the_shell_is_found_by_its_name() {
    let found = |path: &str| detect(&Host::captured("/", &[("SHELL", path)]));
    for (path, shell) in [
        ("/bin/bash", Shell::Bash),
        ("/usr/bin/zsh", Shell::Bash),
        ("/bin/ksh93", Shell::Bash),
        ("/usr/bin/fish", Shell::Fish),
        ("/bin/tcsh", Shell::Tcsh),
        ("/usr/bin/pwsh", Shell::Powershell),
        ("C:\\Program Files\\Git\\bin\\bash.exe", Shell::Bash),
    ] {
        assert_eq!(found(path).unwrap(), shell, "{path}");
    }
    let error = found("/usr/bin/nu").unwrap_err();
    assert_eq!(error.kind(), fleet_driver::ErrorKind::Usage);
    assert!(error.hint_text().unwrap().contains("--shell"));
    #[cfg(unix)]
    assert_eq!(detect(&Host::captured("/", &[])).unwrap(), Shell::Bash);
}

fn pairs(view: &EnvView) -> Vec<(&str, &str)> {
    view.set.iter().map(|v| (v.name.as_str(), v.value.as_str())).collect()
}

#[test]
fn the_variables_are_those_that_clients_know() {
    let host = Host::captured("/", &[("no_proxy", "localhost")]);
    let engine = "127.0.0.1:40123".parse().unwrap();
    let view = view::tls("host1", engine, Path::new("/f/.fleet/certs"), Proxy::Bypass, &host);
    assert_eq!(
        pairs(&view),
        [
            ("DOCKER_TLS_VERIFY", "1"),
            ("DOCKER_HOST", "tcp://127.0.0.1:40123"),
            ("DOCKER_CERT_PATH", "/f/.fleet/certs"),
            ("DOCKER_MACHINE_NAME", "host1"),
            ("FLEET_MACHINE", "host1"),
            ("no_proxy", "localhost,127.0.0.1"),
        ]
    );
    let view = view::ssh("host1");
    assert_eq!(pairs(&view)[0], ("DOCKER_HOST", "ssh://host1"));
    assert_eq!(view.unset, ["DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"]);
}

#[test]
fn unset_takes_back_what_was_set_and_no_more() {
    let set = [("DOCKER_HOST", "tcp://127.0.0.1:1"), ("NO_PROXY", "a,127.0.0.1,b")];
    let host = Host::captured("/", &set);
    let view = view::unset(Proxy::Bypass, &host);
    assert_eq!(pairs(&view), [("NO_PROXY", "a,b")]);
    assert_eq!(view.unset.len(), 5);
    assert!(pairs(&view::unset(Proxy::Leave, &host)).is_empty());
    // Nothing was set: nothing is known to take out of the list.
    let view = view::unset(Proxy::Bypass, &Host::captured("/", &[("NO_PROXY", "a")]));
    assert!(pairs(&view).is_empty());
}

#[test]
fn the_include_is_asked_for_once() {
    let config = Path::new("/f/.fleet/ssh/config");
    let line = view::missing_include(config, "Host x\n").unwrap();
    assert_eq!(line, "Include \"/f/.fleet/ssh/config\"");
    assert_eq!(view::missing_include(config, &format!("  {line}\n")), None);
    assert!(view::missing_include(config, "# Include nothing\nü\n").is_some());
}

#[tokio::test]
async fn a_failure_prints_nothing_on_standard_output() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::captured(dir.path(), &[("SHELL", "/bin/sh")]);
    let code = crate::cli::main(host.clone(), ["fleet", "env", "host1"].map(Into::into)).await;
    let (out, err) = host.printed();
    assert_eq!((code, out.as_str()), (5, ""));
    assert!(err.contains("machines.toml"), "{err}");
}

#[tokio::test]
async fn unset_needs_no_fleet() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::captured(dir.path(), &[("SHELL", "/usr/bin/fish")]);
    let code = crate::cli::main(host.clone(), ["fleet", "env", "-u"].map(Into::into)).await;
    let (out, err) = host.printed();
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("set -e DOCKER_TLS_VERIFY;\nset -e DOCKER_HOST;\n"), "{out}");
    assert!(out.ends_with("# fleet env --unset | source\n"), "{out}");
}
