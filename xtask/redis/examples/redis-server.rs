//! Starts a temporary server, or a cluster with `cluster`, and prints its URL. It ends when its standard input ends:
//! `cargo run -p xtask-redis --example redis-server`. `find DIRECTORY` and `unpack DIRECTORY` only find the program or
//! unpack it there.

use std::io::{Error, Read, Result};
use std::path::Path;

use xtask_redis::{Cluster, Options, Server};

#[expect(clippy::print_stdout, reason = "the program prints URLs and paths")]
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
        _ => Err(Error::other("expected no argument, cluster, find DIRECTORY or unpack DIRECTORY")),
    }
}
