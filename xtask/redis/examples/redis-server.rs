//! Starts a throw-away server, or with `cluster` a cluster, prints where it is, and ends it with its standard input:
//! `cargo run -p xtask-redis --example redis-server`. With `find DIRECTORY` or `unpack DIRECTORY` it only looks for
//! the program, or unpacks it there.

use std::io::{Error, Read, Result};
use std::path::Path;

use xtask_redis::{Cluster, Options, Server};

#[expect(clippy::print_stdout, reason = "it is what the program is for")]
fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            let server = Server::start(Options::new())?;
            println!("{}", server.url());
            std::io::stdin().read_to_end(&mut Vec::new()).map(drop)
        }
        ["cluster"] => {
            let cluster = Cluster::start()?;
            println!("{}", cluster.urls().join("\n"));
            std::io::stdin().read_to_end(&mut Vec::new()).map(drop)
        }
        ["find", home] => xtask_redis::find(Path::new(home)).map(|path| println!("{}", path.display())),
        ["unpack", home] => xtask_redis::unpack(Path::new(home)).map(|path| println!("{}", path.display())),
        _ => Err(Error::other("nothing, cluster, find DIRECTORY or unpack DIRECTORY")),
    }
}
