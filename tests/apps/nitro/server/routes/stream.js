import { defineHandler } from 'nitro/h3';

export default defineHandler(() => {
  const encoder = new TextEncoder();
  let line = 0;
  return new ReadableStream({
    async pull(controller) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      if (line === 3) controller.close();
      else controller.enqueue(encoder.encode(`line ${line++}\n`));
    },
  });
});
