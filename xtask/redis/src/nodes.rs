//! The file in which a node of a cluster keeps what it knows of the others.

use std::fs;
use std::io::{ErrorKind, Result};
use std::path::Path;

/// Gives each replica the shard of its primary in a killed node's file. Valkey 8 may write another one when a replica takes
/// over, and then refuses to start with it (valkey issues 774 and 2171). Does nothing without a file.
pub(crate) fn agree_on_shards(directory: &Path) -> Result<()> {
    let path = directory.join("nodes.conf");
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        text => text?,
    };
    let agreed = agreed(&text);
    if agreed == text { Ok(()) } else { fs::write(path, agreed) }
}

fn agreed(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| with_shard_of_primary(line, text).unwrap_or_else(|| line.to_owned()))
        .collect()
}

/// The line of a replica with another shard. A line is: id, address and further facts, flags, the id of the primary.
fn with_shard_of_primary(line: &str, text: &str) -> Option<String> {
    let (own, primary) = (shard(line)?, line.split(' ').nth(3)?);
    let of_primary = shard(text.lines().find(|line| line.split(' ').next() == Some(primary))?)?;
    Some(line.replacen(own, of_primary, 1))
}

fn shard(line: &str) -> Option<&str> {
    let (_, after) = line.split_once("shard-id=")?;
    after.split([',', ' ']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replica_gets_the_shard_of_its_primary() {
        let before = "aa 127.0.0.1:1@11,,tls-port=0,shard-id=one myself,slave bb 0 0 2 connected\n\
                      bb 127.0.0.1:2@12,,shard-id=two,tls-port=0 master - 0 0 2 connected 0-5\n\
                      cc 127.0.0.1:3@13,,shard-id=three master - 0 0 3 connected\n\
                      vars currentEpoch 6 lastVoteEpoch 0\n";
        assert_eq!(agreed(before), before.replace("shard-id=one", "shard-id=two"));
        let old =
            "aa 127.0.0.1:1@11 myself,slave bb 0 0 2 connected\nbb 127.0.0.1:2@12 master - 0 0 2 connected\n";
        assert_eq!(agreed(old), old);
    }
}
