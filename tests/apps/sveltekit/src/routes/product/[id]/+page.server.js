import { error } from '@sveltejs/kit';
import { products } from '$lib/products.js';

export function load({ params, setHeaders, platform }) {
  const product = products.find(({ id }) => id === params.id);
  if (!product) error(404, 'No such product');
  if (params.id === 'teapot') throw new Error('the secret reason');
  setHeaders({ 'cache-control': 'private, max-age=5' });
  platform.ctx.waitUntil(Promise.resolve().then(() => console.log(`${params.id} was looked at`)));
  return { product };
}
