import { defineHandler, getCookie, getQuery } from 'nitro/h3';

export default defineHandler((event) => ({
  name: event.context.params.name,
  query: getQuery(event),
  last: getCookie(event, 'last') ?? null,
  tracked: event.context.tracked,
}));
