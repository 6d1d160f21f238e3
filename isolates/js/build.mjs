// Builds dist/platform.js from src/main.ts. `--check` builds in memory and compares with what is committed.
import { build } from 'esbuild';
import { readFile, mkdir, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const OUTPUT = path.join(root, 'dist/platform.js');
const source = (name) => path.join(root, 'src', name);

/** Where parts of the bundled packages are replaced by our own, and large tables are kept as text until used. */
const replacements = {
  name: 'replacements',
  setup({ onResolve, onLoad }) {
    const whatwg = path.join(root, 'node_modules/whatwg-url/lib');
    onResolve({ filter: /^whatwg-url\/state-machine$/ }, () => ({ path: path.join(whatwg, 'url-state-machine.js') }));
    onResolve({ filter: /^@exodus\/bytes\// }, ({ importer, path: name }) => {
      if (!importer.startsWith(whatwg)) return undefined;
      return name.endsWith('whatwg.js')
        ? { path: source('url/text_codec.ts') }
        : { path: 'empty', namespace: 'empty', sideEffects: false };
    });
    onResolve({ filter: /^\.\/encoding$/ }, ({ importer }) =>
      importer.startsWith(whatwg) ? { path: source('url/text_codec.ts') } : undefined,
    );
    onResolve({ filter: /^tr46$/ }, ({ importer }) =>
      importer.startsWith(whatwg) ? { path: source('url/tr46_lazy.cjs') } : undefined,
    );
    onResolve({ filter: /^tr46-tables$/ }, () => ({ path: require.resolve('tr46') }));
    onLoad({ filter: /.*/, namespace: 'empty' }, () => ({ contents: '' }));
    onLoad({ filter: /(mappingTable|multi-byte\.encodings)\.json$/ }, async ({ path: file }) => {
      const text = JSON.stringify(JSON.parse(await readFile(file, 'utf8')));
      return { contents: `module.exports = JSON.parse(${JSON.stringify(text)});`, loader: 'js' };
    });
  },
};

const { version } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8'));
const result = await build({
  absWorkingDir: root,
  entryPoints: ['src/main.ts'],
  outfile: OUTPUT,
  bundle: true,
  write: false,
  format: 'iife',
  platform: 'neutral',
  mainFields: ['module', 'main'],
  conditions: ['import', 'default'],
  target: 'esnext',
  charset: 'utf8',
  legalComments: 'eof',
  minifySyntax: true,
  minifyWhitespace: true,
  keepNames: false,
  logLevel: 'warning',
  banner: { js: `// brrrd platform ${version ?? ''}: built by \`npm run build\` in isolates/js, do not edit`.trim() },
  plugins: [replacements],
});
const built = result.outputFiles[0].contents;

if (process.argv.includes('--check')) {
  const committed = await readFile(OUTPUT).catch(() => Buffer.alloc(0));
  if (Buffer.compare(committed, built) !== 0) {
    console.error('dist/platform.js does not match its source: run `npm run build` in isolates/js and commit it');
    process.exit(1);
  }
} else {
  await mkdir(path.dirname(OUTPUT), { recursive: true });
  await writeFile(OUTPUT, built);
  console.log(`dist/platform.js: ${built.length} bytes`);
}
