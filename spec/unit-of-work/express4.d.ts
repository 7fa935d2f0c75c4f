// The types of 5 serve: what differs is nothing that the specs use.
declare module 'express4' {
  export { default } from 'express'
}
