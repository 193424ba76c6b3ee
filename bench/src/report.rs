//! Output.

use std::io;
use std::path::Path;

use session_bench_work::name;

use crate::groups::Group;
use crate::measure::Row;

/// Prints the list of rows.
pub(crate) fn list(groups: &[Group]) {
    let mut lines =
        vec![["area", "work", "tasks", "subject", "peer", "unit", "target"].map(str::to_owned).to_vec()];
    for group in groups {
        for compare in &group.rows {
            lines.push(vec![
                name(group.area),
                group.label.clone(),
                group.args.tasks.to_string(),
                group.title(compare.ours),
                group.peer(compare),
                compare.figure.unit.to_owned(),
                compare.target.map_or_else(String::new, |target| format!("{target:.2}")),
            ]);
        }
    }
    print(&lines);
}

/// Prints the measured rows, and how many targets are met.
#[expect(clippy::print_stdout, reason = "the table is what the program is for")]
pub(crate) fn table(rows: &[Row]) {
    let head = [
        "area", "work", "tasks", "subject", "peer", "unit", "ours", "theirs", "ratio", "target", "met",
        "gap ms",
    ];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for row in rows {
        lines.push(vec![
            row.area.clone(),
            row.work.clone(),
            row.tasks.to_string(),
            row.subject.clone(),
            row.peer.clone(),
            row.unit.to_owned(),
            number(row.ours),
            number(row.theirs),
            format!("{:.2}", row.ratio),
            row.target.map_or_else(String::new, |target| format!("{target:.2}")),
            row.met.map_or("", |met| if met { "yes" } else { "NO" }).to_owned(),
            row.gap_ms.map_or_else(String::new, |gap| format!("{:.1} / {:.1}", gap.ours, gap.theirs)),
        ]);
    }
    print(&lines);
    let asked = rows.iter().filter_map(|row| row.met);
    println!("{} of {} targets met", asked.clone().filter(|met| *met).count(), asked.count());
}

/// Prints the filesystem of the stores on disk, because it affects their figures.
///
/// # Errors
/// The list of mounts cannot be read.
#[expect(clippy::print_stdout, reason = "the figures of stores on disk depend on it")]
pub(crate) fn filesystem(dir: &Path) -> io::Result<()> {
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    println!(
        "stores on disk were in {}, on {}",
        dir.display(),
        kind(&mounts, dir).unwrap_or("an unknown filesystem")
    );
    Ok(())
}

/// The type of the filesystem of `dir`: that of the longest mount point above it.
fn kind<'a>(mounts: &'a str, dir: &Path) -> Option<&'a str> {
    let above = |line: &'a str| {
        let mut words = line.split(' ').skip(1);
        let (point, kind) = (words.next()?, words.next()?);
        dir.starts_with(point).then_some((point.len(), kind))
    };
    mounts.lines().filter_map(above).max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

/// At most four digits and a prefix of the unit.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{:.2} M", value / 1e6),
        size if size >= 1e4 => format!("{:.1} k", value / 1e3),
        _ => format!("{value:.0}"),
    }
}

/// Prints aligned columns; numbers are aligned to the right.
#[expect(clippy::print_stdout, reason = "the table is what the program is for")]
fn print(lines: &[Vec<String>]) {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| lines.iter().filter_map(|line| Some(line.get(column)?.chars().count())).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for line in lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| {
            if cell.starts_with(|first: char| first.is_ascii_digit() || first == '-') {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            }
        });
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_point_names_the_filesystem() {
        let mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\nnone /tmpx proc rw 0 0\n";
        assert_eq!(kind(mounts, Path::new("/srv/x")), Some("ext4"));
        assert_eq!(kind(mounts, Path::new("/tmp/x")), Some("tmpfs"));
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(number(15_945_926.0), "15.95 M");
        assert_eq!(number(22_538.8), "22.5 k");
        assert_eq!(number(1_235.9), "1236");
    }
}
