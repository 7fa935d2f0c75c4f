/** The one page of the example. */
export function page(name, visits) {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Visits</title>
<style>
  :root { color-scheme: light dark; font: 18px/1.5 system-ui, sans-serif }
  body { display: grid; place-content: center; min-height: 90vh; gap: 1rem; text-align: center }
  input, button { font: inherit; padding: .4em .8em }
</style>
<main>${name === undefined ? visitor : member(name, visits)}</main>
</html>`
}

const visitor = `
  <h1>Who are you?</h1>
  <form method="post" action="/register">
    <input name="name" placeholder="Your name" maxlength="255" aria-label="Your name" required autofocus>
    <button>Register</button>
  </form>`

function member(name, visits) {
  return `
  <h1>Hello ${escaped(name)}</h1>
  <p>This is your visit number <strong>${Number(visits)}</strong>. <a href="/">Visit again</a></p>
  <form method="post" action="/logout"><button>Log out</button></form>`
}

function escaped(text) {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
