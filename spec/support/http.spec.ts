import express from 'express'
import { expect, it } from 'vitest'
import { serve, Visitor } from './http'

function app() {
  return express()
    .use(express.json())
    .post('/login', (req, res) => {
      res.cookie('name', req.body.name, { httpOnly: true }).redirect('/whoami')
    })
    .get('/logout', (_req, res) => {
      res.clearCookie('name').redirect('/whoami')
    })
    .get('/whoami', (req, res) => {
      res.send(req.headers.cookie ?? 'nobody')
    })
    .get('/broken', (_req, res) => {
      res.status(500).send('broken')
    })
}

it('a visitor keeps the cookies of a redirect and sends them on', async () => {
  await using site = await serve(app())
  const visitor = new Visitor(site.url)
  expect(await (await visitor.post('/login', { name: 'ada' })).text()).toBe('name=ada')
  expect(await visitor.text('/whoami')).toBe('name=ada')
  expect(await new Visitor(site.url).text('/whoami')).toBe('nobody')
  expect(await visitor.clone().text('/whoami')).toBe('name=ada')
})

it('a visitor forgets a cookie that is cleared', async () => {
  await using site = await serve(app())
  const visitor = new Visitor(site.url)
  await visitor.post('/login', { name: 'ada' })
  expect(await visitor.text('/logout')).toBe('nobody')
})

it('a visitor stays where it is when asked', async () => {
  await using site = await serve(app())
  const response = await new Visitor(site.url).post('/login', { name: 'ada' }, { redirect: 'manual' })
  expect([response.status, response.headers.get('location')]).toEqual([302, '/whoami'])
})

it('text() is an error when the page is one', async () => {
  await using site = await serve(app())
  await expect(new Visitor(site.url).text('/broken')).rejects.toThrow('/broken answered 500: broken')
})

it('a served application is gone when it is disposed', async () => {
  const site = await serve(app())
  await new Visitor(site.url).text('/whoami')
  await site[Symbol.asyncDispose]()
  await expect(fetch(site.url)).rejects.toThrow()
})
