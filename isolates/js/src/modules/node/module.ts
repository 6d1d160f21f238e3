/** `node:module`: `createRequire` finds the modules of Node.js; packages are bundled. */

import values from 'internal:platform';
import Module from 'unenv/node/module';

export * from 'unenv/node/module';

/** A `require` for modules of Node.js. */
export function createRequire(_filename: unknown): AnyFunction {
  const require = (name: string): unknown => {
    const found = values.getBuiltinModule(name);
    if (found !== undefined) return found;
    throw Object.assign(new Error(`Cannot find module '${name}': bundle dependencies into the build`), {
      code: 'MODULE_NOT_FOUND',
    });
  };
  const resolve = (name: string): string => name;
  return Object.assign(require, { resolve, cache: {}, extensions: {}, main: undefined });
}

export default Object.assign(Object.create(Module) as object, { createRequire });
