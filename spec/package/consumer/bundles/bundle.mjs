// node bundle.mjs BUNDLER FORMAT ENTRY OUTPUT. The path of the folder that the output is in must have a folder `migrations` above it.
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const [bundler, format, entry, output] = process.argv.slice(2)
const input = fileURLToPath(new URL(entry, import.meta.url))
/** Not bundled, for its drivers are optional and native. */
const external = ['knex', 'better-sqlite3']

const bundlers = {
  async esbuild() {
    const { build } = await import('esbuild')
    // What esbuild needs for every CommonJS package in a bundle of ES modules.
    const banner = { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" }
    await build({
      entryPoints: [input],
      outfile: output,
      bundle: true,
      platform: 'node',
      format,
      external,
      minify: true,
      supported: { 'top-level-await': true },
      ...(format === 'esm' ? { banner } : {})
    })
  },
  async rollup() {
    const [{ rollup }, { default: commonjs }, { default: json }, { nodeResolve }] = await Promise.all(
      ['rollup', '@rollup/plugin-commonjs', '@rollup/plugin-json', '@rollup/plugin-node-resolve'].map((name) => import(name))
    )
    const bundle = await rollup({ input, external, plugins: [nodeResolve({ preferBuiltins: true }), commonjs(), json()] })
    await bundle.write({ file: output, format, inlineDynamicImports: true })
  },
  async webpack() {
    const { default: webpack } = await import('webpack')
    const isModule = format === 'esm'
    const compiler = webpack({
      entry: input,
      target: 'node',
      mode: 'production',
      externals: Object.fromEntries(external.map((name) => [name, `node-commonjs ${name}`])),
      experiments: { outputModule: isModule },
      output: { path: fileURLToPath(new URL('.', `file://${output}`)), filename: output.split('/').at(-1), module: isModule }
    })
    const stats = await promisify(compiler.run.bind(compiler))()
    if (stats.hasErrors()) throw new Error(stats.toString('errors-only'))
  }
}

await bundlers[bundler]()
