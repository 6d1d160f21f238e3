import { read } from '$app/server';
import terms from '$lib/terms.txt?url&no-inline';

/** A file that was built in, read through the assets binding. */
export const GET = () => read(terms);
