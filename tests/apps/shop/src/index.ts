// A TypeScript application of several files: itty-router for routes, zod for validation.
import { AutoRouter, error, type IRequest, json } from "itty-router";
import { ZodError } from "zod";

import { Catalogue } from "./catalogue";
import { Order, type OrderLine } from "./order";
import { receipt } from "./receipt";

interface Environment {
  CURRENCY?: string;
}

interface Context {
  waitUntil(promise: Promise<unknown>): void;
}

const catalogue = new Catalogue();

// itty-router's own corsify copies a response by spreading it, which loses the status wherever `status` is a getter.
function allowAllOrigins(response: Response): Response {
  response.headers.set("access-control-allow-origin", "*");
  return response;
}

const router = AutoRouter<IRequest, [Environment, Context]>({
  finally: [allowAllOrigins],
  catch: (thrown: unknown) =>
    thrown instanceof ZodError
      ? json({ issues: thrown.issues.map(({ path, message }) => ({ path: path.join("."), message })) }, { status: 422 })
      : error(500),
});

router
  .get("/products", () => [...catalogue.all()])
  .get("/products/:sku", ({ params }) => catalogue.find(params.sku) ?? error(404, "no such product"))
  .post("/orders", async (request, environment, context) => {
    const order = Order.parse(await request.json());
    const total = order.lines.reduce((sum: number, line: OrderLine) => sum + catalogue.price(line), 0);
    context.waitUntil(catalogue.reserve(order.lines));
    return json({ customer: order.customer, total, currency: environment.CURRENCY ?? "EUR" }, { status: 201 });
  })
  .get("/stock/:sku", ({ params }) => ({ left: catalogue.left(params.sku) }))
  .get("/receipt/:rows", ({ params }) => receipt(Number(params.rows)));

export default { ...router };
