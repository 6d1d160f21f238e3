import { Suspense } from 'react';
import { Await } from 'react-router';

export function loader() {
  return {
    now: 'at once',
    later: new Promise((resolve) => setTimeout(() => resolve('after a while'), 150)),
  };
}

export default function Slow({ loaderData }) {
  return (
    <main>
      <p>{loaderData.now}</p>
      <Suspense fallback={<p>waiting</p>}>
        <Await resolve={loaderData.later}>{(text) => <p>{text}</p>}</Await>
      </Suspense>
    </main>
  );
}
