import { defineHandler } from 'nitro/h3';

export default defineHandler((event) => {
  event.context.tracked = event.req.headers.get('x-track') ?? 'no';
});
