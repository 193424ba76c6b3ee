#!/usr/bin/env bash
# @remix-run/session-storage-memcache 0.1.1 (npm) with memcached: a ttlSeconds of more than 30 days loses every session.
#
# ttlSeconds is documented as the session's expiration in seconds, and every whole number is accepted. The storage passes
# it on unchanged. memcached takes an expiration of up to 30 days as a duration, and a greater one as a moment since
# 1970, which is over. It still answers STORED and then drops the item. So save() succeeds and sets the cookie, and the
# next request finds no session. With 30 days it works.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
server=
cd "$folder"
npm install --silent --no-audit --no-fund @remix-run/session@0.4.2 @remix-run/session-storage-memcache@0.1.1 >/dev/null
chmod 755 . && apt-get download -qq memcached=1.6.18-1+deb12u1 libevent-2.1-7=2.1.12-stable-8+deb12u1 2>/dev/null
for package in *.deb; do dpkg -x "$package" root; done
export LD_LIBRARY_PATH=$folder/root/usr/lib/x86_64-linux-gnu
root/usr/bin/memcached --version
port=$((20000 + RANDOM % 10000))
root/usr/bin/memcached -u "$(id -un)" -l 127.0.0.1 -p "$port" &
server=$!
sleep 1
cat > days.mjs <<'JS'
import { createMemcacheSessionStorage } from '@remix-run/session-storage-memcache'

const seen = []
for (const days of [30, 31]) {
  const storage = createMemcacheSessionStorage(process.argv[2], { ttlSeconds: days * 24 * 3600 })
  const session = await storage.read(null)
  session.set('user', 'alice')
  const cookie = await storage.save(session)
  const user = (await storage.read(cookie)).get('user')
  console.log(`${days} days: save() gave the id ${cookie === session.id}, the next request has user ${user}`)
  seen.push(cookie === session.id, user)
}
process.exit(JSON.stringify(seen) === JSON.stringify([true, 'alice', true, undefined]) ? 0 : 1)
JS
node -p '"storage " + require("./node_modules/@remix-run/session-storage-memcache/package.json").version'
node days.mjs "127.0.0.1:$port"
