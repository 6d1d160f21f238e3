// Waits as long as the query asks for.
export default {
  async fetch(request) {
    const ms = Number(new URL(request.url).searchParams.get("ms"));
    await new Promise((resolve) => setTimeout(resolve, ms));
    return new Response("waited\n");
  },
};
