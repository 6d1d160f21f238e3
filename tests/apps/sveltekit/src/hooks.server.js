/** Who is asked for, from a cookie; and a header on every answer. */
export async function handle({ event, resolve }) {
  event.locals.user = event.cookies.get('user') ?? null;
  const response = await resolve(event);
  response.headers.set('x-shop', 'open');
  return response;
}

export function handleError({ error }) {
  console.error('unexpected:', error.message);
  return { message: 'Something broke' };
}
