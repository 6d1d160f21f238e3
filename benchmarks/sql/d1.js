// The same with D1.
export default {
  async fetch(request, env) {
    const { results } = await env.DB.prepare("SELECT id, name, price FROM items WHERE id = ?").bind(4711).all();
    const { id, name, price } = results[0];
    return Response.json({ id, name, price });
  },
};
