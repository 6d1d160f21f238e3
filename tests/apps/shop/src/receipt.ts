/** Rows as they are made, upper-cased and encoded on the way: a pipeline of standard streams. */
export function receipt(rows: number): Response {
  const source = new ReadableStream<string>({
    async start(controller) {
      for (let row = 1; row <= rows; row++) {
        controller.enqueue(`row ${row}\n`);
        if (row % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      }
      controller.close();
    },
  });
  const loud = new TransformStream<string, string>({
    transform: (chunk, controller) => controller.enqueue(chunk.toUpperCase()),
  });
  return new Response(source.pipeThrough(loud).pipeThrough(new TextEncoderStream()), {
    headers: { "content-type": "text/plain; charset=utf-8" },
  });
}
