/** `node:async_hooks`: the platform's own AsyncLocalStorage; hooks into async work are accepted and never called. */

import values from 'internal:platform';
import {
  asyncWrapProviders,
  createHook,
  executionAsyncId,
  executionAsyncResource,
} from 'unenv/node/internal/async_hooks/async-hook';

const { AsyncLocalStorage, AsyncResource } = values;
const triggerAsyncId = (): number => 0;

export {
  AsyncLocalStorage,
  AsyncResource,
  asyncWrapProviders,
  createHook,
  executionAsyncId,
  executionAsyncResource,
  triggerAsyncId,
};
export default {
  AsyncLocalStorage,
  AsyncResource,
  asyncWrapProviders,
  createHook,
  executionAsyncId,
  executionAsyncResource,
  triggerAsyncId,
};
