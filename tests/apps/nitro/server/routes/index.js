import { defineHandler, html } from 'nitro/h3';
import { useRuntimeConfig, useStorage } from 'nitro/runtime';

export default defineHandler(async () => {
  const entries = (await useStorage('memory').getItem('entries')) ?? [];
  const list = entries.map((entry) => `<li>${entry.text}</li>`).join('');
  return html(`<!doctype html><link rel="stylesheet" href="/_assets/site.4f1c2a.css">
<h1>Guest book of ${useRuntimeConfig().app.baseURL}</h1><ul>${list}</ul>
<form method="post" action="/entries"><input name="text"></form>`);
});
