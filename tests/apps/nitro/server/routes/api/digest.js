import { Buffer } from 'node:buffer';
import { createHash, randomUUID, timingSafeEqual } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import path from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { format, inspect, promisify } from 'node:util';
import { defineHandler, getQuery } from 'nitro/h3';

/** What libraries written for Node.js do. */
export default defineHandler(async (event) => {
  const { text = '' } = getQuery(event);
  const emitter = new EventEmitter();
  setTimeout(() => emitter.emit('ready', 'now'), 1);
  const [when] = await once(emitter, 'ready');
  const upper = new Transform({
    transform(chunk, _encoding, done) {
      done(null, chunk.toString().toUpperCase());
    },
  });
  const parts = [];
  upper.on('data', (chunk) => parts.push(chunk.toString()));
  await pipeline(Readable.from(['stream ', 'of ', 'text']), upper);
  return {
    sha256: createHash('sha256').update(text).digest('hex'),
    base64: Buffer.from(text).toString('base64'),
    equal: timingSafeEqual(Buffer.from('a'), Buffer.from('a')),
    uuid: randomUUID().length,
    path: path.join('/a', '../b', 'c.txt'),
    when,
    parts: parts.join(''),
    text: format('%s is %d %j', 'x', 42, { a: 1 }),
    shown: inspect({ a: [1, { b: 2 }] }),
    later: await promisify((value, done) => done(null, value * 2))(21),
    platform: typeof process.version,
  };
});
