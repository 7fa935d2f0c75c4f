// The users of the demo, in a table of their own, with passwords as scrypt hashes.
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { TABLES } from './database.mjs'

const SEEDED = { ada: 'lovelace', grace: 'hopper', alan: 'turing' }
const derive = promisify(scrypt)

export async function seedUsers(knex) {
  if (!(await knex.schema.hasTable(TABLES.users))) {
    await knex.schema.createTable(TABLES.users, (table) => {
      table.increments('id')
      table.string('name', 64).notNullable().unique()
      table.string('password', 255).notNullable()
    })
  }
  const names = (await knex(TABLES.users).select('name')).map(({ name }) => name)
  for (const [name, password] of Object.entries(SEEDED)) {
    if (!names.includes(name))
      await knex(TABLES.users)
        .insert({ name, password: await hash(password) })
        .onConflict('name')
        .ignore()
  }
}

/** Returns the user, or undefined. It takes as long for a name that nobody has. */
export async function userOf(knex, name, password) {
  const user = await knex(TABLES.users).where({ name }).first()
  const isRight = await matches(password, user?.password ?? (await nobody))
  return isRight ? user : undefined
}

async function hash(password) {
  const salt = randomBytes(16)
  return `${salt.toString('hex')}.${(await derive(password, salt, 32)).toString('hex')}`
}

async function matches(password, stored) {
  const [salt, key] = stored.split('.').map((part) => Buffer.from(part, 'hex'))
  return timingSafeEqual(await derive(password, salt, 32), key)
}

const nobody = hash(randomBytes(16).toString('hex'))
