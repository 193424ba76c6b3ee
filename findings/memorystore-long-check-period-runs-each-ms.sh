#!/usr/bin/env bash
# memorystore 1.6.8 (npm): a checkPeriod of 25 days or more sweeps about every millisecond, not rarely.
#
# checkPeriod says how often the store removes expired sessions, in milliseconds. The store passes it to setInterval,
# whose largest delay is 2^31 - 1 ms, which is 24.8 days. Node.js replaces a longer delay by 1 ms. Each sweep looks at
# every session: with 5,000 of them the sweeps took a third of the event loop's time. With 24 days they take none.
# Node.js says so once, in a TimeoutOverflowWarning on standard error that does not name the store. session-file-store
# 1.5.0 has the same fault in reapInterval.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund memorystore@1.6.8 express-session@1.18.2 >/dev/null
cat > sweeps.js <<'JS'
const { performance } = require('node:perf_hooks')
let sweeps = 0
const real = globalThis.setInterval
globalThis.setInterval = (sweep, period) => real(() => { sweeps += 1; sweep() }, period)

const session = require('express-session')
const MemoryStore = require('memorystore')(session)
const days = Number(process.argv[2])
const store = new MemoryStore({ checkPeriod: days * 24 * 3600 * 1000 })
for (let n = 0; n < 5000; n += 1) store.set(`id-${n}`, { cookie: { maxAge: 3600 * 1000 }, user: 'alice' }, () => {})
setTimeout(() => {
  sweeps = 0
  const start = performance.eventLoopUtilization()
  setTimeout(() => {
    const busy = performance.eventLoopUtilization(start).utilization
    console.log(`${days} days: ${sweeps} sweeps in 2 s, event loop busy ${Math.round(busy * 100)} %`)
    process.exit((days > 24) === (sweeps > 20) ? 0 : 1)
  }, 2000)
}, 500)
JS
node --version
node -p '"memorystore " + require("memorystore/package.json").version'
node --no-warnings sweeps.js 24
node --no-warnings sweeps.js 25
