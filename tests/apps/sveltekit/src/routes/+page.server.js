import { fail, redirect } from '@sveltejs/kit';
import { env } from '$env/dynamic/private';
import { products } from '$lib/products.js';

export const load = () => ({ products, currency: env.CURRENCY ?? 'EUR' });

export const actions = {
  login: async ({ request, cookies }) => {
    const form = await request.formData();
    const user = form.get('user');
    if (!user) return fail(422, { missing: true });
    cookies.set('user', user, { path: '/' });
    cookies.set('since', 'today', { path: '/', httpOnly: false });
    redirect(303, '/');
  },
};
