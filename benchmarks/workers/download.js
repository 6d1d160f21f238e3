// As many bytes as the query asks for, from memory.
const bodies = new Map();

export default {
  fetch(request) {
    const size = Number(new URL(request.url).searchParams.get("bytes"));
    let body = bodies.get(size);
    if (body === undefined) bodies.set(size, (body = new Uint8Array(size).fill(0x61)));
    return new Response(body, { headers: { "content-type": "application/octet-stream" } });
  },
};
