//! A library that the server loads before the C library: it makes the disk slow and the clock wrong.

use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each fsync takes at least `SHIM_SYNC_MS` milliseconds, and the clock is `SHIM_AHEAD_S` seconds ahead.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long setting(const char *name) { const char *text = getenv(name); return text ? atol(text) : 0; }
static void delay(void) { usleep(setting("SHIM_SYNC_MS") * 1000); }
int fsync(int fd) { delay(); return syscall(SYS_fsync, fd); }
int fdatasync(int fd) { delay(); return syscall(SYS_fdatasync, fd); }
int gettimeofday(struct timeval *now, void *zone) {
  struct timespec time;
  syscall(SYS_clock_gettime, CLOCK_REALTIME, &time);
  now->tv_sec = time.tv_sec + setting("SHIM_AHEAD_S");
  now->tv_usec = time.tv_nsec / 1000;
  return 0;
}
time_t time(time_t *out) {
  struct timeval now;
  gettimeofday(&now, 0);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}
"#;

/// Compiles the library into a directory, with the C compiler that Rust links with.
pub(crate) fn build(directory: &Path) -> Result<PathBuf> {
    let (source, library) = (directory.join("shim.c"), directory.join("shim.so"));
    std::fs::write(&source, SOURCE)?;
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
    let status = compiler.status().map_err(|error| Error::new(error.kind(), format!("cc: {error}")))?;
    if status.success() { Ok(library) } else { Err(Error::other("cc failed")) }
}
