/** `node:path`, for POSIX; `path.win32` is unenv's. */

import posix from 'path-browserify';
import win32 from 'unenv/node/path/win32';

posix.win32 = win32;
posix.posix = posix;
posix.toNamespacedPath ??= (path: string) => path;
posix.matchesGlob ??= win32.matchesGlob;

export const {
  basename,
  delimiter,
  dirname,
  extname,
  format,
  isAbsolute,
  join,
  matchesGlob,
  normalize,
  parse,
  relative,
  resolve,
  sep,
  toNamespacedPath,
} = posix;
export { posix, win32 };
export default posix;
