import { reactRouter } from '@react-router/dev/vite';
import { defineConfig } from 'vite';

// As the framework's templates for workers have it: one bundle that exports a fetch handler, with all dependencies in it.
export default defineConfig({
  plugins: [reactRouter()],
  environments: {
    ssr: {
      build: { rollupOptions: { input: './workers/app.js' } },
      resolve: { noExternal: true, conditions: ['workerd', 'worker', 'browser'] },
    },
  },
  ssr: { target: 'webworker' },
  build: { sourcemap: true },
});
