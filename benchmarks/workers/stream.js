// One megabyte as a stream of 64 chunks of 16 KiB.
const chunk = new Uint8Array(16384).fill(0x61);

export default {
  fetch() {
    let left = 64;
    const body = new ReadableStream({
      pull(controller) {
        controller.enqueue(chunk.slice());
        if (--left === 0) controller.close();
      },
    });
    return new Response(body, { headers: { "content-type": "application/octet-stream" } });
  },
};
