import { AsyncLocalStorage } from 'node:async_hooks';
import { defineHandler } from 'nitro/h3';

const storage = new AsyncLocalStorage();

async function later() {
  await new Promise((resolve) => setTimeout(resolve, 1));
  return storage.getStore();
}

export default defineHandler(async (event) => {
  const { cloudflare } = event.req.runtime;
  cloudflare.context.waitUntil(Promise.resolve().then(() => console.log('after the answer')));
  return { store: await storage.run('kept', later), greeting: cloudflare.env.GREETING ?? null };
});
