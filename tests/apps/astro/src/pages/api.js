import { env } from 'cloudflare:workers';

export const GET = ({ url }) => Response.json({ path: url.pathname, currency: env.CURRENCY });

export async function POST({ request, locals }) {
  locals.cfContext.waitUntil(Promise.resolve().then(() => console.log('after the answer')));
  return Response.json({ got: await request.json() }, { status: 201 });
}
