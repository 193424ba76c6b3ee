#!/usr/bin/env bash
# atoi 2.0.0 (Rust; sqlx depends on it) is compiled by another Rust than the rest of the program, or not at all.
#
# The published package of atoi has a file `rust-toolchain.toml` with the channel 1.57.0. Cargo runs the compiler of a
# dependency in the folder of its package. If Cargo was started by its own path and not through rustup (by a build system,
# an editor, or a program that remembers the variable CARGO), RUSTUP_TOOLCHAIN is not set, and the `rustc` of rustup obeys
# the file in that folder. Without Rust 1.57 the build fails in the middle, and names neither atoi's file nor rustup as the
# cause; with automatic installation, rustup installs a compiler of 2021 for one crate. Started through rustup, the same
# build succeeds. The compiler that belongs to Cargo, named by RUSTC, helps.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cargo=$(rustc --print sysroot)/bin/cargo
cd "$folder"
mkdir src
echo 'pub use atoi::atoi;' > src/lib.rs
printf '[package]\nname = "reads-numbers"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\natoi = "=2.0.0"\n' > Cargo.toml
rustup --version 2>/dev/null
"$cargo" --version
"$cargo" fetch --quiet
echo "in the package: $(grep channel "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/atoi-2.0.0/rust-toolchain.toml)"
try() {
  rm -rf target
  if env -u RUSTUP_TOOLCHAIN RUSTUP_AUTO_INSTALL=0 "$@" check --quiet > output 2>&1; then echo builds
  else grep -o "toolchain '1.57.0[^']*' is not installed" output | head -1; fi
}
direct=$(try "$cargo")
echo "cargo by its own path: $direct"
through=$(try cargo)
echo "cargo through rustup: $through"
named=$(try env RUSTC="$(dirname "$cargo")/rustc" "$cargo")
echo "cargo by its own path, with RUSTC: $named"
[[ $direct == *"1.57.0"* && $through == builds && $named == builds ]]
