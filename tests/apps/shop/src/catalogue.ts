import type { OrderLine } from "./order";

export interface Product {
  readonly sku: string;
  readonly name: string;
  readonly cents: number;
}

export class Catalogue {
  readonly #products = new Map<string, Product>();
  readonly #stock = new Map<string, number>();

  constructor() {
    for (const [index, name] of ["Tea", "Kettle", "Cup"].entries()) {
      const sku = `TE-${index + 1}`;
      this.#products.set(sku, { sku, name, cents: 450 * (index + 1) });
      this.#stock.set(sku, 10);
    }
  }

  *all(): Generator<Product> {
    yield* this.#products.values();
  }

  find(sku: string): Product | undefined {
    return this.#products.get(sku);
  }

  left(sku: string): number {
    return this.#stock.get(sku) ?? 0;
  }

  price({ sku, quantity }: OrderLine): number {
    return (this.find(sku)?.cents ?? 0) * quantity;
  }

  async reserve(lines: readonly OrderLine[]): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 10));
    for (const { sku, quantity } of lines) this.#stock.set(sku, this.left(sku) - quantity);
  }
}
