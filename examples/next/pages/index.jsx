/** `req` is the request of Express, so the session is there. It is saved when the page ends, as in every route of Express. */
export function getServerSideProps({ req }) {
  const { session } = req
  if (session.name === undefined) return { props: {} }
  session.visits = (session.visits ?? 0) + 1
  return { props: { name: session.name, visits: session.visits } }
}

export default function Home({ name, visits }) {
  if (name === undefined) {
    return (
      <form method="post" action="/sign-in">
        <p>Nobody is signed in.</p>
        <input name="name" placeholder="Your name" maxLength={255} required /> <button type="submit">Sign in</button>
      </form>
    )
  }
  return (
    <form method="post" action="/log-out">
      <p>{`Hello ${name}, visit number ${visits}.`}</p>
      <button type="submit">Log out</button>
    </form>
  )
}
