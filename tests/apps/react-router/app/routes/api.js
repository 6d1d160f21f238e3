import { notes } from '../notes.js';

export const loader = () => Response.json(notes.slice(0, 2));
