/** API routes have the session too. */
export default function handler(req, res) {
  res.json({ visits: req.session.visits ?? 0 })
}
