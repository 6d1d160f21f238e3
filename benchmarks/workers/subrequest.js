// Asks another service, and answers with its answer's length.
export default {
  async fetch(request) {
    const answer = await fetch(new URL(request.url).searchParams.get("url"));
    const text = await answer.text();
    return new Response(`${answer.status} ${text.length}\n`);
  },
};
