import { z } from "zod";

export const OrderLine = z.object({
  sku: z.string().regex(/^[A-Z]{2}-\d+$/, "a SKU looks like AB-12"),
  quantity: z.number().int().positive().max(99),
});
export type OrderLine = z.infer<typeof OrderLine>;

export const Order = z.object({
  customer: z.email(),
  lines: z.array(OrderLine).min(1),
  note: z.string().trim().max(200).optional(),
});
