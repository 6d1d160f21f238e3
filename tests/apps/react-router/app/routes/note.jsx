import { data } from 'react-router';
import { notes } from '../notes.js';

export const headers = () => ({ 'cache-control': 'private, max-age=5' });

export function loader({ params }) {
  const note = notes.find(({ id }) => id === params.id);
  if (!note) throw data('no such note', { status: 404 });
  return note;
}

export default function Note({ loaderData }) {
  return <h1>{loaderData.text}</h1>;
}
