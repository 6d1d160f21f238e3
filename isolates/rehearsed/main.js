// The app that hosts load while they stand by: see isolates/rehearsal.py.
export default {
  async fetch(request) {
    const url = new URL(request.url);
    const name = request.headers.get('accept');
    return request.method === 'POST' ? Response.json(await request.json()) : new Response(url.pathname + name);
  },
};
