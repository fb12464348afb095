//! Connecting: pinned keys, refusals, and guests that are not there yet.

use std::time::Duration;

use fleet::guest::Guest;
use fleet::guest::keys::KeyPair;
use fleet::guest::ssh::{Contact, Ssh};
use fleet_driver::event::Reporter;
use fleet_driver::{Cx, ErrorKind};
use tokio_util::sync::CancellationToken;

use super::{context, cx, script};
use crate::support::ssh::{Greeting, Manner, Server};

#[tokio::test]
async fn a_changed_host_key_is_an_error_and_no_login_is_tried() {
    let server = Server::proper().await;
    let pinned = KeyPair::generate("another").unwrap();
    let mut target = server.target();
    target.host_key = pinned.public.clone();
    let error = Ssh::wait_for(&target, Contact::First, &cx()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(error.message(), "the host key of `host1` has changed");
    assert_eq!(context(&error, "expected"), pinned.fingerprint().unwrap());
    assert_eq!(context(&error, "offered"), server.host_key.fingerprint().unwrap());
    assert!(error.hint_text().unwrap().contains("nothing was sent"));
    assert_eq!((server.seen().connections, server.seen().logins), (1, 0));
}

#[tokio::test]
async fn a_refused_key_is_an_error_at_once_for_a_guest_that_knew_it() {
    let server = Server::proper().await;
    let mut target = server.target();
    target.key = KeyPair::generate("stranger").unwrap();
    let error = Ssh::wait_for(&target, Contact::Known, &cx()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Guest);
    assert_eq!(context(&error, "key"), target.key.fingerprint().unwrap());
    assert_eq!(server.seen().connections, 1);
}

#[tokio::test]
async fn a_guest_that_boots_is_waited_for() {
    let boot = [Greeting::Close, Greeting::Silence, Greeting::Refusal, Greeting::Proper];
    let server = Server::start(&boot, Manner::Runs).await;
    let ssh = Ssh::wait_for(&server.target(), Contact::First, &cx()).await.unwrap();
    assert_eq!(server.seen().connections, 4);
    assert_eq!(ssh.run(&script("echo up"), &cx()).await.unwrap().stdout, b"up\n");
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_busy_until_the_deadline() {
    let mut target = Server::proper().await.target();
    // Bound but not listening: connections are refused, and nobody else gets the port.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    target.address = socket.local_addr().unwrap();
    let error = Ssh::connect(&target, &cx()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    let soon = cx().within(Duration::from_millis(300));
    let error = Ssh::wait_for(&target, Contact::First, &soon).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Driver);
    assert!(error.message().contains(&format!("SSH at {}", target.address)), "{error}");
    assert!(error.hint_text().unwrap().contains("fleet logs host1"));
}

#[tokio::test]
async fn something_else_on_the_port_is_named() {
    let server = Server::start(&[Greeting::Garbage], Manner::Runs).await;
    let error = Ssh::wait_for(&server.target(), Contact::First, &cx()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("does not speak SSH"), "{error}");
}

#[tokio::test]
async fn ctrl_c_ends_a_wait() {
    let server = Server::start(&[Greeting::Silence; 9], Manner::Runs).await;
    let cancel = CancellationToken::new();
    let cx = Cx::new("/nowhere", Reporter::silent(), cancel.clone());
    let target = server.target();
    let waiting = Ssh::wait_for(&target, Contact::First, &cx);
    let interrupt = async {
        while server.seen().connections == 0 {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(waiting, interrupt);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Interrupted);
}
