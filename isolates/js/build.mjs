// Builds dist/platform.js from src/main.ts, dist/rehearsal.js from src/rehearsal.ts, dist/modules/ from src/modules and
// unenv, and dist/licenses.txt from the packages that went into them.
// `--check` builds in memory and compares with what is committed.
import { build } from 'esbuild';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(fileURLToPath(import.meta.url));
const DIST = path.join(root, 'dist');
const source = (name) => path.join(root, 'src', name);

/** Where urlpattern-polyfill differs from the standard: names outside the basic plane, hostnames, ports, set notation. */
const URL_PATTERN_CORRECTIONS = [
  ['let i=e.substr(s,1);', 'let i=String.fromCodePoint(e.codePointAt(s));'],
  ['{f+=e[s++];continue}break}if(!f)', '{f+=i;s+=i.length;continue}break}if(!f)'],
  ['function j(e){if(e==="")return e;', 'function j(e){return canonicalHostname(e);'],
  ['function G(e){if(e===""', 'function G(e){return canonicalPort(e);if(e===""'],
  ['return e&&e.ignoreCase?"ui":"u"', 'return e&&e.ignoreCase?"vi":"v"'],
];

/**
 * Where web-streams-polyfill differs: what is enqueued while a pipe waits for it must not be written synchronously; and the
 * first buffer it sees, which may be a shared one, must not decide how all others are transferred.
 */
const STREAMS_CORRECTIONS = [
  [
    'let ce=e=>(ce="function"==typeof e.transfer?e=>e.transfer():"function"==typeof structuredClone?e=>structuredClone(e,{transfer:[e]}):e=>e,ce(e)),de=e=>(de="boolean"==typeof e.detached?e=>e.detached:e=>0===e.byteLength,de(e));',
    'const ce=e=>{if("function"!=typeof e.transfer)throw new TypeError("The buffer is shared memory");return e.transfer()},de=e=>e.detached;',
  ],
  [
    '_chunkSteps(t){this._state._currentWrite=f(Yt(this._state._writer,t),void 0,e),this._resolvePromise(!1)}',
    '_chunkSteps(t){this._state._currentWrite=f(f(c(void 0),()=>Yt(this._state._writer,t)),void 0,e),this._resolvePromise(!1)}',
  ],
];

/** The text of a bundled file with each correction, which must apply exactly once. */
async function corrected(file, corrections) {
  let text = await readFile(file, 'utf8');
  for (const [old, correction] of corrections) {
    if (text.split(old).length !== 2) throw new Error(`${file} does not hold ${old} exactly once`);
    text = text.replace(old, () => correction);
  }
  return text;
}

/** Where parts of the bundled packages are replaced by our own, and large tables are kept as text until used. */
const replacements = {
  name: 'replacements',
  setup({ onResolve, onLoad }) {
    const whatwg = path.join(root, 'node_modules/whatwg-url/lib');
    const isWhatwg = (file) => path.dirname(file).endsWith('node_modules/whatwg-url/lib');
    onResolve({ filter: /^whatwg-url\/state-machine$/ }, () => ({ path: path.join(whatwg, 'url-state-machine.js') }));
    onResolve({ filter: /^@exodus\/bytes\// }, ({ importer, path: name }) => {
      if (!isWhatwg(importer)) return undefined;
      return name.endsWith('whatwg.js')
        ? { path: source('url/text_codec.ts') }
        : { path: 'empty', namespace: 'empty', sideEffects: false };
    });
    onResolve({ filter: /^\.\/encoding$/ }, ({ importer }) =>
      isWhatwg(importer) ? { path: source('url/text_codec.ts') } : undefined,
    );
    onResolve({ filter: /^tr46$/ }, ({ importer }) =>
      isWhatwg(importer) ? { path: source('url/tr46_lazy.cjs') } : undefined,
    );
    onResolve({ filter: /^tr46-tables$/ }, () => ({ path: path.join(root, 'node_modules/tr46/index.js') }));
    onLoad({ filter: /urlpattern-polyfill\/dist\/urlpattern\.js$/ }, async ({ path: file }) => {
      const text = await corrected(file, URL_PATTERN_CORRECTIONS);
      const imports =
        `import { URL } from ${JSON.stringify(source('url/url.ts'))};\n` +
        `import { canonicalHostname, canonicalPort } from ${JSON.stringify(source('url/url_pattern_parts.ts'))};\n`;
      return { contents: imports + text, loader: 'js' };
    });
    onLoad({ filter: /web-streams-polyfill\/dist\/ponyfill\.mjs$/ }, async ({ path: file }) => ({
      contents: await corrected(file, STREAMS_CORRECTIONS),
      loader: 'js',
    }));
    onLoad({ filter: /.*/, namespace: 'empty' }, () => ({ contents: '' }));
    onLoad({ filter: /(mappingTable|multi-byte\.encodings)\.json$/ }, async ({ path: file }) => {
      const text = JSON.stringify(JSON.parse(await readFile(file, 'utf8')));
      return { contents: `module.exports = JSON.parse(${JSON.stringify(text)});`, loader: 'js' };
    });
  },
};

const result = await build({
  absWorkingDir: root,
  entryPoints: ['src/main.ts'],
  inject: ['src/captured_globals.ts'],
  outfile: path.join(DIST, 'platform.js'),
  bundle: true,
  write: false,
  metafile: true,
  format: 'iife',
  platform: 'neutral',
  preserveSymlinks: true,
  mainFields: ['module', 'main'],
  conditions: ['import', 'default'],
  target: 'esnext',
  charset: 'utf8',
  legalComments: 'eof',
  minifySyntax: true,
  minifyWhitespace: true,
  keepNames: false,
  logLevel: 'warning',
  banner: { js: '// The web platform of brrrd, built by `npm run build` in isolates/js: do not edit.' },
  plugins: [replacements],
});

/** Modules of unenv that are here as they are: each takes the names of Node.js's own, and says what it has not. */
const UNENV = [
  ...['assert', 'assert/strict', 'child_process', 'cluster', 'constants', 'dgram', 'diagnostics_channel', 'dns'],
  ...['dns/promises', 'domain', 'fs', 'fs/promises', 'http', 'http2', 'https', 'inspector', 'net', 'os', 'path/win32'],
  ...['perf_hooks', 'punycode', 'querystring', 'readline', 'readline/promises', 'repl', 'sqlite', 'sys', 'timers'],
  ...['timers/promises', 'tls', 'trace_events', 'tty', 'url', 'v8', 'vm', 'wasi', 'worker_threads', 'zlib'],
];
const MODULES = path.join(root, 'src/modules');
const ours = (await readdir(MODULES, { recursive: true })).filter((name) => /^(node|cloudflare)\/.*\.ts$/.test(name));
const entries = Object.fromEntries([
  ...UNENV.map((name) => [`node/${name}`, `unenv/node/${name}`]),
  ...[...ours, 'internal/globals.ts'].map((name) => [name.slice(0, -3), path.join(MODULES, name)]),
]);

/** What imports a module of Node.js gets the one that is here; code in packages too. */
const nodeModules = {
  name: 'node-modules',
  setup({ onResolve, onLoad, resolve }) {
    // unenv compares by JSON.stringify.
    onLoad({ filter: /unenv\/dist\/runtime\/node\/assert\.mjs$/ }, async ({ path: file }) => {
      const text = await readFile(file, 'utf8');
      const old = 'const isDeepStrictEqual = isEqual;';
      if (text.split(old).length !== 2) throw new Error(`${file} does not hold ${old} exactly once`);
      const own = path.join(MODULES, 'internal/deep_equal.ts');
      return { contents: `import { isDeepStrictEqual } from ${JSON.stringify(own)};\n${text.replace(old, '')}` };
    });
    onResolve({ filter: /^(node:)?[a-z_]+[0-9]?(\/[a-z0-9]*)?$/ }, async ({ path: name, importer, kind }) => {
      const key = `node/${name.replace(/^node:/, '').replace(/\/$/, '')}`;
      if (kind === 'entry-point' || entries[key] === undefined) return undefined;
      // Our own module is made of the package of the same name.
      if (importer === entries[key] && !name.startsWith('node:')) return undefined;
      if (path.isAbsolute(entries[key])) return { path: entries[key] };
      return resolve(entries[key], { kind, resolveDir: root });
    });
  },
};
const modules = await build({
  absWorkingDir: root,
  entryPoints: entries,
  outdir: path.join(DIST, 'modules'),
  chunkNames: 'internal/[name]-[hash]',
  bundle: true,
  splitting: true,
  write: false,
  metafile: true,
  format: 'esm',
  platform: 'neutral',
  preserveSymlinks: true,
  mainFields: ['browser', 'module', 'main'],
  conditions: ['import', 'default'],
  external: ['internal:platform'],
  target: 'esnext',
  charset: 'utf8',
  legalComments: 'none',
  minifySyntax: true,
  minifyWhitespace: true,
  logLevel: 'warning',
  plugins: [nodeModules],
});
const rehearsal = await build({
  absWorkingDir: root,
  entryPoints: ['src/rehearsal.ts'],
  outfile: path.join(DIST, 'rehearsal.js'),
  bundle: true,
  write: false,
  format: 'iife',
  target: 'esnext',
  banner: { js: '// Built from src/rehearsal.ts, which says what for: do not edit.' },
});
const outputs = {
  'platform.js': Buffer.from(result.outputFiles[0].contents),
  'rehearsal.js': Buffer.from(rehearsal.outputFiles[0].contents),
  ...Object.fromEntries(
    modules.outputFiles.map((file) => [path.relative(DIST, file.path), Buffer.from(file.contents)]),
  ),
  'licenses.txt': await licenses(),
};

/** The licence texts of the packages in the bundle, which must go with it. */
async function licenses() {
  const inputs = [result, modules].flatMap(({ metafile }) => Object.keys(metafile.inputs));
  const packages = new Set(inputs.flatMap((file) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1] ?? []));
  const texts = [];
  for (const name of [...packages].sort()) {
    const folder = path.join(root, 'node_modules', name);
    const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
    if (file === undefined) throw new Error(`${name} has no licence file`);
    const { version } = JSON.parse(await readFile(path.join(folder, 'package.json'), 'utf8'));
    texts.push(`${name} ${version}\n\n${(await readFile(path.join(folder, file), 'utf8')).trim()}\n`);
  }
  return Buffer.from(texts.join(`\n${'-'.repeat(80)}\n\n`));
}

if (process.argv.includes('--check')) {
  const committed = await readdir(DIST, { recursive: true, withFileTypes: true });
  const names = committed
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(DIST, path.join(entry.parentPath, entry.name)));
  for (const name of new Set([...names, ...Object.keys(outputs)])) {
    const there = await readFile(path.join(DIST, name)).catch(() => Buffer.alloc(0));
    if (Buffer.compare(there, outputs[name] ?? Buffer.alloc(0)) === 0 && outputs[name] !== undefined) continue;
    console.error(`dist/${name} does not match its source: run \`npm run build\` in isolates/js and commit it`);
    process.exit(1);
  }
} else {
  await rm(path.join(DIST, 'modules'), { recursive: true, force: true });
  for (const [name, content] of Object.entries(outputs)) {
    await mkdir(path.dirname(path.join(DIST, name)), { recursive: true });
    await writeFile(path.join(DIST, name), content);
  }
  const total = modules.outputFiles.reduce((sum, file) => sum + file.contents.length, 0);
  console.log(`dist/platform.js: ${outputs['platform.js'].length} bytes`);
  console.log(`dist/modules: ${modules.outputFiles.length} files, ${total} bytes`);
}
