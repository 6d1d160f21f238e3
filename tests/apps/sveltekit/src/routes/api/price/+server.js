import { json } from '@sveltejs/kit';

export async function POST({ request, url }) {
  const { count } = await request.json();
  return json({ total: count * 450, rounded: url.searchParams.has('rounded') }, { status: 201 });
}
