/** URLPattern (URL Pattern standard), from urlpattern-polyfill; the build gives it this platform's URL. */

import { URLPattern } from 'urlpattern-polyfill/urlpattern';
import { defineInterface } from '../webidl.ts';

defineInterface(URLPattern, 'URLPattern');

export { URLPattern };
