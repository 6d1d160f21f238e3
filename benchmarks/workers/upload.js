// Reads the whole body.
export default {
  async fetch(request) {
    const body = await request.arrayBuffer();
    return new Response(`${body.byteLength}\n`);
  },
};
