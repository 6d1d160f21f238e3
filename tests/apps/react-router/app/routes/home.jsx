import { data, Form, Link, redirect } from 'react-router';
import { envContext } from '../context.js';
import { notes } from '../notes.js';
import { getSession } from '../session.js';

export const meta = () => [{ title: 'Notes' }];

export async function loader({ request, context }) {
  const session = await getSession(request.headers.get('cookie'));
  return { user: session.get('user') ?? null, greeting: context.get(envContext).env.GREETING ?? 'Hello', notes };
}

export async function action({ request, context }) {
  const form = await request.formData();
  const text = String(form.get('text') ?? '').trim();
  if (!text) return data({ error: 'A note needs a text' }, { status: 400 });
  const id = String(notes.length + 1);
  notes.push({ id, text });
  context.get(envContext).ctx.waitUntil(Promise.resolve().then(() => console.log(`note ${id} added`)));
  return redirect(`/notes/${id}`);
}

export default function Home({ loaderData, actionData }) {
  return (
    <main>
      <h1>{`${loaderData.greeting}, ${loaderData.user ?? 'stranger'}`}</h1>
      {actionData?.error && <p role="alert">{actionData.error}</p>}
      <ul>
        {loaderData.notes.map((note) => (
          <li key={note.id}>
            <Link to={`/notes/${note.id}`}>{note.text}</Link>
          </li>
        ))}
      </ul>
      <Form method="post">
        <input name="text" />
        <button>Add</button>
      </Form>
    </main>
  );
}
