// The old application: Express. Arguments: the folder of its packages, the folder or the URL of its sessions, and the store.
'use strict'
const [packages, place, kind] = process.argv.slice(2)
const require_ = require('node:module').createRequire(packages + '/')
const express = require_('express')
const session = require_('express-session')

async function storeOf () {
  if (kind === 'files') {
    const FileStore = require_('session-file-store')(session)
    return new FileStore({ path: place, retries: 0, logFn: () => {} })
  }
  const { RedisStore } = require_('connect-redis')
  const client = require_('redis').createClient({ url: place })
  await client.connect()
  return new RedisStore({ client })
}

storeOf().then(store => {
  const app = express()
  app.use(session({ store, secret: 'express secret', resave: false, saveUninitialized: false }))
  app.get('/login', (request, response, next) => request.session.regenerate(error => {
    if (error) return next(error)
    Object.assign(request.session, { user: 'alice', tea: 2 })
    request.session.save(error => error ? next(error) : response.send('in'))
  }))
  app.get('/who', (request, response) => response.send(request.session.user ?? 'nobody'))
  const server = app.listen(0, '127.0.0.1', () => console.log('ready', server.address().port))
})
