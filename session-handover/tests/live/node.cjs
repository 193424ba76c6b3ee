// Random sessions of express-session, cookie-session and iron-session: node node.cjs PACKAGES FOLDER COUNT
//
// Each line: kind, TAB, what the software wrote in hexadecimal digits, TAB, the cookies, TAB, the session in the notation.
'use strict'
const [packages, folder, count] = process.argv.slice(2)
const require_ = require('node:module').createRequire(packages + '/')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const session = require_('express-session')
const FileStore = require_('session-file-store')(session)
const cookieSession = require_('cookie-session')
const { sealData } = require_('iron-session')

const below = n => Math.floor(Math.random() * n)
const pick = list => list[below(list.length)]
const unit = () => pick(['a', 'Z', '0', ' ', '"', '\\', '/', '\n', '\0', '\x1f', '\x7f', 'é', '€', '😀', '\u2028', '\ud800', '\udfff', '%', '=', ';'])
const text = () => Array.from({ length: below(8) }, unit).join('')
const key = () => pick(['user', '', '5', '07', '4294967294', '4294967295', '10', '-1', '1.5', 'é', 'a"b', 'constructors', 'x' + below(50)])
const number = () => pick([
  () => below(1000) - 500, () => Math.random(), () => (Math.random() - 0.5) * 10 ** (below(60) - 30),
  () => 2 ** below(1000), () => -(2 ** below(80)), () => new Float64Array(new BigUint64Array([
    BigInt(below(2 ** 32)) << 32n | BigInt(below(2 ** 32))]).buffer)[0],
  () => 5e-324, () => 1e21, () => 999999999999999900000, () => 1e-6, () => 1e-7, () => -0, () => 9007199254740993
])()
const value = depth => pick([
  () => null, () => true, () => false, number, number, text, text,
  () => new Date(below(4e12)), () => Buffer.from(text()), () => undefined, () => NaN,
  () => depth > 3 ? [] : Array.from({ length: below(4) }, () => value(depth + 1)),
  () => depth > 3 ? {} : map(depth + 1)
])()
const map = depth => Object.fromEntries(Array.from({ length: below(6) }, () => [key(), value(depth)]))

function note (value) {
  if (typeof value === 'number') {
    const digits = JSON.stringify(value)
    if (!/^-?\d+$/.test(digits)) return `{"$float":"${digits}"}`
    return BigInt.asIntN(64, BigInt(digits)) === BigInt(digits) ? digits : `{"$int":"${digits}"}`
  }
  if (typeof value === 'string' && !value.isWellFormed()) {
    const units = Array.from({ length: value.length }, (_, at) => value.charCodeAt(at).toString(16).padStart(4, '0'))
    return `{"$utf16":"${units.join('')}"}`
  }
  if (Array.isArray(value)) return `[${value.map(note).join(',')}]`
  if (value !== null && typeof value === 'object') {
    return `{${Object.entries(value).map(([key, value]) => `${JSON.stringify(key)}:${note(value)}`).join(',')}}`
  }
  return JSON.stringify(value)
}

const stores = session({
  secret: ['newest secret', 'older secret'],
  resave: false,
  saveUninitialized: true,
  store: new FileStore({ path: folder, logFn () {}, retries: 0, reapInterval: -1 })
})
const cookies = cookieSession({ keys: ['newest secret', 'older secret'] })
let next
const server = http.createServer((request, response) => {
  const handler = request.url === '/file' ? stores : cookies
  handler(request, response, () => {
    if (request.url === '/file' && below(2)) request.session.cookie.maxAge = pick([60000, 1, null, 3.5e9])
    Object.assign(request.session, next)
    if (request.url !== '/file') return response.end()
    request.session.save(error => response.end(error ? String(error) : request.sessionID))
  })
})
const sent = response => response.headers.getSetCookie().map(cookie => cookie.split(';')[0]).join('; ')
const line = (kind, bytes, cookies, session) =>
  console.log([kind, Buffer.from(bytes).toString('hex'), cookies, note(JSON.parse(session))].join('\t'))

server.listen(0, '127.0.0.1', async () => {
  const url = `http://127.0.0.1:${server.address().port}`
  for (let at = 0; at < count; at++) {
    next = map(0)
    let response = await fetch(url + '/file')
    const id = await response.text()
    const file = fs.readFileSync(path.join(folder, id + '.json'))
    line('file ' + id, file, sent(response), file)
    response = await fetch(url + '/cookie')
    await response.text()
    if (sent(response)) line('cookie-session', '', sent(response), JSON.stringify(next))
    const options = { password: { 1: 'first password '.repeat(3), 2: 'second password '.repeat(3) }, ttl: pick([0, 60, 1e6]) }
    line('iron-session', '', 'iron=' + await sealData(next, options), JSON.stringify(next))
  }
  server.close()
  process.exit()
})
