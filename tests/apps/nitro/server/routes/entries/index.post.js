import { defineHandler, HTTPError, redirect, setCookie } from 'nitro/h3';
import { useStorage } from 'nitro/runtime';

export default defineHandler(async (event) => {
  const form = await event.req.formData();
  const text = form.get('text');
  if (!text) throw new HTTPError({ status: 422, message: 'An entry needs a text', data: { field: 'text' } });
  const storage = useStorage('memory');
  const entries = (await storage.getItem('entries')) ?? [];
  await storage.setItem('entries', [...entries, { text }]);
  setCookie(event, 'last', text, { httpOnly: true, path: '/' });
  setCookie(event, 'count', String(entries.length + 1), { path: '/' });
  return redirect('/', 303);
});
