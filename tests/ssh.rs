//! SSH against a server in this process: pinning, streams, limits, faults.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use fleet::guest::ssh::{Ended, Piece, Pty, Request, Ssh};
use fleet::guest::terminal::Size;
use fleet::guest::{Guest, GuestFile, Script, Telling};
use fleet_driver::event::{EventKind, Reporter, Stream};
use fleet_driver::{Cx, Error, ErrorKind, Secret};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::support::ssh::{Manner, Server};

mod connect;

fn cx() -> Cx {
    Cx::new("/nowhere", Reporter::silent(), CancellationToken::new())
        .within(Duration::from_secs(40))
}

fn script(text: &str) -> Script {
    Script {
        purpose: "test a script",
        text: Secret::new(text.to_owned()),
        as_user: false,
        telling: Telling::Lines,
        limit: Duration::from_secs(30),
    }
}

async fn connected(server: &Server) -> Ssh {
    Ssh::connect(&server.target(), &cx()).await.unwrap()
}

/// Runs a command to its end: standard output, standard error, and how it ended.
async fn exec(ssh: &Ssh, command: &str, input: Vec<u8>) -> (Vec<u8>, Vec<u8>, Ended) {
    let request = Request { command: Some(command.to_owned()), pty: None };
    let (to, mut from) = ssh.start(&request, &cx()).await.unwrap();
    let feed = async {
        to.send(input).await.unwrap();
        to.end().await.unwrap();
    };
    let read = async {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        while let Some(piece) = from.next().await.unwrap() {
            match piece {
                Piece::Stdout(bytes) => out.extend_from_slice(&bytes),
                Piece::Stderr(bytes) => err.extend_from_slice(&bytes),
            }
        }
        (out, err, from.end().unwrap())
    };
    tokio::join!(feed, read).1
}

fn context<'a>(error: &'a Error, key: &str) -> &'a str {
    let found = error.context().iter().find(|(known, _)| *known == key);
    let (_, value) = found.unwrap_or_else(|| panic!("no `{key}` in {error:?}"));
    value
}

#[tokio::test]
async fn the_pinned_host_is_let_in_and_one_connection_serves_all() {
    let server = Server::proper().await;
    let ssh = connected(&server).await;
    for n in 0..3 {
        let out = ssh.run(&script(&format!("echo {n}; id -u >/dev/null")), &cx()).await.unwrap();
        assert_eq!(out.stdout, format!("{n}\n").into_bytes());
    }
    let seen = server.seen();
    assert_eq!((seen.connections, seen.logins), (1, 1));
    assert_eq!(seen.commands, vec!["sudo -n sh -s"; 3]);
    ssh.close().await;
}

#[tokio::test]
async fn twenty_megabytes_go_through_and_come_back() {
    let server = Server::proper().await;
    let ssh = connected(&server).await;
    let sent: Vec<u8> = (0..20 << 20_u32).map(|n: u32| (n % 251) as u8).collect();
    let (out, err, ended) = exec(&ssh, "cat; echo done >&2", sent.clone()).await;
    assert!(out == sent, "{} bytes came back", out.len());
    assert_eq!((err.as_slice(), ended), (&b"done\n"[..], Ended::Status(0)));
}

#[tokio::test]
async fn a_status_is_an_error_with_the_last_words() {
    let server = Server::proper().await;
    let ssh = connected(&server).await;
    let failing = script("echo fine; echo 'no \u{1b}[31mspace' >&2; exit 7");
    let error = ssh.run(&failing, &cx()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Guest);
    assert_eq!(error.to_string(), "could not test a script: no space");
    assert_eq!(context(&error, "status"), "the script ended with status 7");
    let (.., ended) = exec(&ssh, "exit 7", Vec::new()).await;
    assert_eq!(ended, Ended::Status(7));
}

#[tokio::test]
async fn a_signal_is_told() {
    let server = Server::start(&[], Manner::Signal).await;
    let ssh = connected(&server).await;
    let error = ssh.run(&script("true"), &cx()).await.unwrap_err();
    assert!(context(&error, "status").contains("TERM"), "{error:?}");
    let request = Request { command: Some("true".to_owned()), pty: None };
    let (_input, mut output) = ssh.start(&request, &cx()).await.unwrap();
    assert_eq!(output.next().await.unwrap(), None);
    assert_eq!(output.end().unwrap().code(), 143);
}

#[tokio::test]
async fn a_silent_script_ends_at_its_limit_and_the_connection_lives_on() {
    let server = Server::proper().await;
    let ssh = connected(&server).await;
    let silent = Script { limit: Duration::from_millis(300), ..script("exec sleep 600") };
    let error = ssh.run(&silent, &cx()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Guest);
    assert!(error.message().contains("test a script within"), "{error}");
    while server.seen().killed == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(ssh.run(&script("echo on"), &cx()).await.unwrap().stdout, b"on\n");
}

#[tokio::test]
async fn a_reset_in_the_middle_is_an_error_of_the_guest() {
    let server = Server::start(&[], Manner::Reset).await;
    let ssh = connected(&server).await;
    let error = ssh.run(&script("echo never"), &cx()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Guest);
    assert_eq!(context(&error, "machine"), "host1");
    // And so is everything after it.
    let error = ssh.run(&script("echo never"), &cx()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Guest);
    assert!(ssh.is_closed());
}

#[tokio::test]
async fn what_a_script_leaves_running_does_not_hold_it_up() {
    let server = Server::start(&[], Manner::Lingers).await;
    let ssh = connected(&server).await;
    assert_eq!(ssh.run(&script("echo on"), &cx()).await.unwrap().stdout, b"on\n");
}

#[tokio::test]
async fn no_command_can_eat_its_script_and_lines_come_as_events() {
    let server = Server::proper().await;
    let ssh = connected(&server).await;
    let (reporter, mut events) = Reporter::channel();
    let cx = Cx::new("/nowhere", reporter, CancellationToken::new());
    let text = "cat\necho after\nprintf 'a\\rb\\n' >&2\nprintf end # no line end";
    let out = ssh.run(&Script { as_user: true, ..script(text) }, &cx).await.unwrap();
    assert_eq!(out.stdout, b"after\nend");
    assert_eq!(server.seen().commands, ["sh -s"]);
    let (mut printed, mut complained) = (Vec::new(), Vec::new());
    while let Ok(event) = events.try_recv() {
        match event.kind {
            EventKind::Line { stream: Stream::Stdout, text } => printed.push(text),
            EventKind::Line { stream: Stream::Stderr, text } => complained.push(text),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        (printed, complained),
        (vec!["after".to_owned(), "end".to_owned()], vec!["a".to_owned(), "b".to_owned()])
    );
}

#[tokio::test]
async fn commands_share_the_channels_that_a_guest_allows() {
    let server = Server::proper().await;
    let ssh = Arc::new(connected(&server).await);
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let ssh = Arc::clone(&ssh);
            tokio::spawn(async move {
                let out = ssh.run(&script(&format!("sleep 0.05; echo {n}")), &cx()).await.unwrap();
                assert_eq!(out.stdout, format!("{n}\n").into_bytes());
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let seen = server.seen();
    assert_eq!((seen.connections, seen.commands.len()), (1, 20));
    assert!(seen.most <= 8, "{} at once", seen.most);
}

#[tokio::test]
async fn files_arrive_whole_with_their_modes() {
    let server = Server::proper().await;
    let ssh = connected(&server).await;
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join("it's new").join(name);
    let binary: Vec<u8> = (0..300_000_u32).map(|n| (n % 256) as u8).collect();
    let file = |name: &str, mode, content: &[u8]| GuestFile {
        path: place(name).to_str().unwrap().to_owned(),
        mode,
        content: Secret::new(content.to_vec()),
    };
    std::fs::create_dir_all(place("")).unwrap();
    std::fs::write(place("key.pem"), "old").unwrap();
    let files = [
        file("key.pem", 0o600, b"secret words\n"),
        file("deep/er/binary", 0o644, &binary),
        file("empty", 0o755, b""),
    ];
    ssh.put(&files, &cx()).await.unwrap();
    for (file, wanted) in files.iter().zip([0o600, 0o644, 0o755]) {
        assert!(std::fs::read(&file.path).unwrap() == *file.content.expose(), "{}", file.path);
        let mode = std::fs::metadata(&file.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, wanted, "{}", file.path);
    }
    let seen = server.seen();
    assert_eq!(seen.commands, ["sudo -n sh -s"], "one round trip, nothing in argv");
    let left: Vec<_> =
        std::fs::read_dir(place("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[tokio::test]
async fn files_change_all_or_not_at_all() {
    let server = Server::proper().await;
    let ssh = connected(&server).await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let file = |path: &str| GuestFile {
        path: dir.path().join(path).to_str().unwrap().to_owned(),
        mode: 0o600,
        content: Secret::new(b"words".to_vec()),
    };
    // A file where a folder is needed.
    let error = ssh.put(&[file("first"), file("file/second")], &cx()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Guest);
    assert!(error.message().contains("write files"), "{error}");
    let left: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["file"]);
}

#[tokio::test]
async fn a_terminal_is_asked_for() {
    let server = Server::proper().await;
    let ssh = connected(&server).await;
    let pty = Pty { term: "xterm-256color".to_owned(), size: Size { columns: 100, rows: 30 } };
    let (input, mut output) =
        ssh.start(&Request { command: None, pty: Some(pty) }, &cx()).await.unwrap();
    input.send(Bytes::from_static(b"echo hello; exit 3\n")).await.unwrap();
    assert_eq!(output.next().await.unwrap(), Some(Piece::Stdout(Bytes::from_static(b"hello\n"))));
    assert_eq!(output.next().await.unwrap(), None);
    assert_eq!(output.end().unwrap(), Ended::Status(3));
    assert_eq!(server.seen().terminals, [("xterm-256color".to_owned(), 100, 30)]);
}

#[tokio::test]
async fn a_port_leads_through_the_guest() {
    let server = Server::proper().await;
    let ssh = Arc::new(connected(&server).await);
    let inside = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = inside.local_addr().unwrap().port();
    let open = ssh.forward(&format!("0:127.0.0.1:{port}").parse().unwrap(), &cx()).await.unwrap();
    let client = async {
        let mut stream = tokio::net::TcpStream::connect(open.address).await.unwrap();
        stream.write_all(b"ping").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let service = async {
        let (mut stream, _) = inside.accept().await.unwrap();
        let mut asked = String::new();
        stream.read_to_string(&mut asked).await.unwrap();
        stream.write_all(format!("{asked} pong").as_bytes()).await.unwrap();
    };
    let (answer, ()) = tokio::join!(client, service);
    assert_eq!(answer, "ping pong");
}
