#!/usr/bin/env bash
# @remix-run/session 0.4.2 (npm): with file storage, reading a session fails while another request saves it.
#
# The storage writes a session in place instead of replacing its file in one step. A request that reads the session at
# that moment sees an empty file, and read() rejects with "Unexpected end of JSON input". A page whose requests run in
# parallel, such as an image beside a form, therefore answers with an error now and then, in a single process and on a
# healthy disk. Here one request after another saves the session while another reads it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund @remix-run/session@0.4.2 >/dev/null
cat > parallel.mjs <<'JS'
import { createFsSessionStorage } from '@remix-run/session/fs-storage'

const storage = createFsSessionStorage('sessions')
const session = await storage.read(null)
session.set('user', 'alice')
const cookie = await storage.save(session)

let saving = true
let read = 0
const failed = new Map()
async function pages() {
  while (saving) {
    try {
      if ((await storage.read(cookie)).get('user') === 'alice') read += 1
    } catch (error) {
      failed.set(error.message, (failed.get(error.message) ?? 0) + 1)
    }
  }
}
async function forms() {
  for (let count = 0; count < 1000; count += 1) {
    session.set('count', count)
    await storage.save(session)
  }
  saving = false
}
await Promise.all([pages(), forms()])
console.log(`reads beside 1000 saves: ${read} answered, failed:`, Object.fromEntries(failed))
process.exit(failed.get('Unexpected end of JSON input') > 10 ? 0 : 1)
JS
node --version
node -p '"@remix-run/session " + require("./node_modules/@remix-run/session/package.json").version'
node parallel.mjs
