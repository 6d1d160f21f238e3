import { redirect } from 'react-router';

export const loader = () => redirect('/notes/1', 301);
