import { index, route } from '@react-router/dev/routes';

export default [
  index('routes/home.jsx'),
  route('notes/:id', 'routes/note.jsx'),
  route('slow', 'routes/slow.jsx'),
  route('login', 'routes/login.jsx'),
  route('broken', 'routes/broken.jsx'),
  route('old', 'routes/old.js'),
  route('api/notes', 'routes/api.js'),
];
