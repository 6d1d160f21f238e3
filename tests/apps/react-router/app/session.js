import { createCookieSessionStorage } from 'react-router';

export const { getSession, commitSession, destroySession } = createCookieSessionStorage({
  cookie: { name: '__session', httpOnly: true, path: '/', sameSite: 'lax', secrets: ['not a secret here'] },
});
