import { Form, redirect } from 'react-router';
import { commitSession, getSession } from '../session.js';

export async function action({ request }) {
  const session = await getSession(request.headers.get('cookie'));
  const form = await request.formData();
  session.set('user', form.get('user'));
  return redirect('/', { headers: { 'set-cookie': await commitSession(session) } });
}

export default function Login() {
  return (
    <Form method="post">
      <input name="user" />
    </Form>
  );
}
