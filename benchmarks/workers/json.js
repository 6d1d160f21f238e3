// JSON in and out: parse an order, compute, answer with a new object.
export default {
  async fetch(request) {
    const order = await request.json();
    let total = 0;
    for (const line of order.lines) total += line.quantity * line.price;
    return Response.json(
      { customer: order.customer, lines: order.lines.length, total },
      { headers: { "cache-control": "no-store" } },
    );
  },
};
