#!/usr/bin/env bash
# pyturso 0.8.3: Turso and SQLite in one process open the same WAL database without an error and lose each other's writes.
#
# Both engines guard the file with POSIX record locks, which conflict between processes only. From another process Turso
# refuses the open database. Inside one process, for example in a test that writes through Turso and checks through the
# sqlite3 module, both engines open it and commit. Neither sees the other's commits, and a later opener finds the rows of
# one engine only. The integrity check still answers "ok".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pyturso==0.8.3
"$folder/venv/bin/python" - "$folder/sessions.db" <<'PY'
import importlib.metadata, sqlite3, subprocess, sys
import turso

path = sys.argv[1]
print("pyturso", importlib.metadata.version("pyturso"), "and SQLite", sqlite3.sqlite_version)
sqlite = sqlite3.connect(path, isolation_level=None)
sqlite.execute("PRAGMA journal_mode = wal")
sqlite.execute("CREATE TABLE sessions (id TEXT PRIMARY KEY, data TEXT)")

alone = "import sys, turso; turso.connect(sys.argv[1])"
refused = subprocess.run([sys.executable, "-c", alone, path], capture_output=True).returncode != 0

other = turso.connect(path)
cursor = other.cursor()
cursor.execute("INSERT INTO sessions VALUES ('a', 'by Turso')")
other.commit()
sqlite.execute("INSERT INTO sessions VALUES ('b', 'by SQLite')")
cursor.execute("INSERT INTO sessions VALUES ('c', 'by Turso')")
other.commit()

cursor.execute("SELECT id FROM sessions ORDER BY id")
turso_sees = "".join(row[0] for row in cursor.fetchall())
sqlite_sees = "".join(row[0] for row in sqlite.execute("SELECT id FROM sessions ORDER BY id"))
other.close()
sqlite.close()
fresh = sqlite3.connect(path)
left = "".join(row[0] for row in fresh.execute("SELECT id FROM sessions ORDER BY id"))
check = fresh.execute("PRAGMA integrity_check").fetchone()[0]
seen = [("another process is refused", refused), ("Turso sees", turso_sees), ("SQLite sees", sqlite_sees),
        ("left after both closed", left), ("integrity check", check)]
for name, value in seen:
    print(f"{name}: {value}")
sys.exit([value for _, value in seen] != [True, "ac", "b", "ac", "ok"])
PY
