/** What an app with Node.js modules finds on its global object. Imported by the platform before the app. */

import { Buffer } from '../node/buffer.ts';
import process from '../node/process.ts';

const globals: Record<string, unknown> = { Buffer, process };
for (const name of Object.keys(globals)) {
  Object.defineProperty(globalThis, name, { value: globals[name], writable: true, configurable: true });
}
