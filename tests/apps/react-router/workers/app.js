import { createRequestHandler, RouterContextProvider } from 'react-router';
import * as build from 'virtual:react-router/server-build';
import { envContext } from '../app/context.js';

const handle = createRequestHandler(build, 'production');

export default {
  fetch(request, env, ctx) {
    const context = new RouterContextProvider();
    context.set(envContext, { env, ctx });
    return handle(request, context);
  },
};
