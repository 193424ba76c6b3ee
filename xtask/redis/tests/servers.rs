//! The temporary servers: how they are found, and that they leave no process or file.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot continue")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use session_conformance::testing::{ChildProcess, child_args, say};
use xtask_redis::{Cluster, Options, Server};

#[expect(clippy::disallowed_methods, reason = "waits for another process, which runs in real time")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

fn eventually(what: &str, check: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if check() {
            return;
        }
        pause();
    }
    panic!("not within 20 s: {what}");
}

/// Whether a process is gone or a zombie.
fn is_dead(process: u32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    state.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

#[test]
fn package_unpacks_without_rights() {
    let home = tempfile::tempdir().unwrap();
    match xtask_redis::unpack(&home.path().join("redis-server")) {
        Ok(program) => {
            let output = Command::new(program).arg("--version").output().unwrap();
            assert!(String::from_utf8_lossy(&output.stdout).contains("Redis server"), "{output:?}");
        }
        Err(error) => {
            let has_apt = Command::new("apt-get").arg("--version").output().is_ok();
            assert!(!has_apt && error.to_string().contains("apt"), "{error}");
        }
    }
}

#[test]
fn dropped_server_leaves_no_process_or_directory() {
    let server = Server::start(Options::new()).unwrap();
    let (process, directory) = (server.process_id().unwrap(), server.directory().to_owned());
    assert!(!is_dead(process) && directory.exists());
    drop(server);
    assert!(is_dead(process) && !directory.exists());
}

#[test]
fn restarted_server_keeps_port_and_data() {
    let mut server = Server::start(Options::new().lasting()).unwrap();
    let port = server.port();
    assert_eq!(server.command("SET key value").unwrap(), "+OK");
    server.kill();
    assert!(server.command("PING").is_err());
    server.restart().unwrap();
    assert_eq!((server.port(), server.command("GET key").unwrap().as_str()), (port, "value"));
}

#[test]
fn unknown_setting_is_an_error_that_names_it() {
    let error = Server::start(Options::new().set("no-such-setting", "1")).unwrap_err();
    assert!(error.to_string().contains("no-such-setting"), "{error}");
}

#[test]
fn cluster_with_a_killed_server_is_not_healthy() {
    let mut cluster = Cluster::start().unwrap();
    cluster.servers[5].kill();
    cluster.until("the others answer", |server| Ok(server.command("PING")? == "+PONG")).unwrap();
    let error = cluster.until_well().unwrap_err();
    assert!(error.to_string().contains("killed"), "{error}");
}

#[test]
fn servers_die_with_their_killed_parent() {
    let test = "servers_die_with_their_killed_parent";
    if child_args(test).is_some() {
        let (server, cluster) = (Server::start(Options::new()).unwrap(), Cluster::start().unwrap());
        for server in cluster.servers.iter().chain([&server]) {
            say(&format!("server {} {}", server.process_id().unwrap(), server.directory().display()));
        }
        // The output fails if the parent dies first.
        loop {
            say("waiting");
            pause();
        }
    }
    let mut child = ChildProcess::spawn(test, &[]);
    let servers: Vec<_> = (0..7).map(|_| child.wait_for("server ")).collect();
    drop(child);
    for server in servers {
        let (process, directory) = server.split_once(' ').unwrap();
        eventually("a server is dead", || is_dead(process.parse().unwrap()));
        eventually("its directory is gone", || !Path::new(directory).exists());
    }
}
