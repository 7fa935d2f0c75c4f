import { expect, it } from 'vitest'
import { createSessionsTable, KnexSessionStore } from '../../lib'
import { OTHER_STORES } from '../moving/other-stores'
import { describeDatabases, type OpenDatabase } from '../support/databases'
import { handMade } from '../support/stores'
import { Application } from './command'

const OPTIONS = "module.exports = { tableName: 'web_sessions', owner: (session) => session.user }"

describeDatabases('the command import', (database) => {
  /** An application that had connect-session-knex, with some sessions of it. */
  async function open(opened: OpenDatabase, count: number) {
    const { knex } = opened
    const other = await OTHER_STORES['connect-session-knex']?.({ knex, name: opened.name, url: opened.url })
    await new Promise((resolve) => other?.store.set('id 0', handMade({ user: 'user 0' }), resolve))
    const [first] = await knex('old_sessions').select('*')
    const rows = Array.from({ length: count - 1 }, (_, number) => ({ ...first, sid: `id ${number + 1}` }))
    await knex.batchInsert('old_sessions', rows, 100)
    await createSessionsTable(knex, { tableName: 'web_sessions' })
    return Application.create(opened, { 'session-options.js': OPTIONS })
  }
  const command = ['import', '--from', 'connect-session-knex', '--from-table', 'old_sessions', '--options', 'session-options.js']

  it('copies the sessions, says what became of them, and shows nothing of them', async () => {
    await using opened = await database.open()
    await using application = await open(opened, 5)
    const { knex } = opened
    await knex('old_sessions').where('sid', 'id 3').update({ sess: '{}' })
    const { exitCode, stdout, stderr } = await application.run(...command)
    expect({ exitCode, stdout }).toEqual({
      exitCode: 1,
      stdout: 'imported 4 sessions of 5 rows\n! 1 row of the other table hold no session that can be stored\n'
    })
    expect(stderr).toContain('import: 5 of 5')
    expect(stdout + stderr).not.toMatch(/id \d|user/)
    await knex('old_sessions').where('sid', 'id 3').delete()
    const again = await application.run(...command, '--json')
    expect(again.exitCode).toBe(0)
    expect(JSON.parse(again.stdout)).toEqual({ ok: true, looked: 4, imported: 0, alreadyThere: 4, ended: 0, unreadable: 0, stopped: false })
    const store = new KnexSessionStore({ knex, tableName: 'web_sessions', owner: () => 'nobody', pruneIntervalMs: false })
    expect(await store.get('id 4')).toMatchObject({ user: 'user 0' })
    expect(await store.countOf('user 0')).toBe(4)
    await store.close()
  })

  it('stops at Ctrl-C, and goes on when it is run again', async () => {
    await using opened = await database.open()
    await using application = await open(opened, 3000)
    const running = application.start(...command, '--batch', '2')
    await running.says(/import: 0/)
    running.interrupt()
    expect(await running.ended).toMatchObject({ exitCode: 130, stdout: expect.stringContaining('run it again to go on') })
    expect((await application.run(...command)).exitCode).toBe(0)
    const status = await application.run('status', '--options', 'session-options.js', '--json')
    expect(JSON.parse(status.stdout)).toMatchObject({ ok: true, live: 3000, ended: 0 })
  })

  it.each<[what: string, args: string[], message: RegExp]>([
    ['no store', ['import'], /import needs --from.*connect-pg-simple/],
    ['an unknown store', ['import', '--from', 'connect-pg-simpel'], /from must be one of .*did you mean 'connect-pg-simple'/],
    [
      'no such table',
      ['import', '--from', 'connect-session-knex', '--from-table', 'nowhere'],
      /--from-table must be the table of connect-session-knex.*not there/
    ],
    ['the same table', ['import', '--from', 'connect-session-knex'], /--table must be another table/]
  ])('says what is wrong: %s', async (_what, args, message) => {
    await using opened = await database.open()
    await using application = await Application.create(opened)
    const { exitCode, stderr } = await application.run(...args)
    expect({ exitCode, stderr }).toEqual({ exitCode: 2, stderr: expect.stringMatching(message) })
  })
})
