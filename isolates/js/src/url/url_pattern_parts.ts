/** Components of a URLPattern in the form that the URL parser gives them (URL Pattern standard §3.2). */

import { basicURLParse, serializeHost } from 'whatwg-url/state-machine';

/** "Canonicalize a hostname": what follows its end in a URL is dropped. @throws TypeError when it is none. */
export function canonicalHostname(value: string): string {
  if (value === '') return value;
  const url = basicURLParse('https://dummy.invalid')!;
  const parsed = basicURLParse(value, { url, stateOverride: 'hostname' });
  if (parsed === null || parsed.host === null) throw new TypeError(`Invalid hostname: ${value}`);
  return serializeHost(parsed.host);
}

/** "Canonicalize a port": its digits, up to the first character that is none. @throws TypeError when it is no port. */
export function canonicalPort(value: string): string {
  if (value === '') return value;
  const digits = /^[0-9]+/.exec(value.replace(/[\t\n\r]/g, ''));
  if (digits === null || Number(digits[0]) > 65535) throw new TypeError(`Invalid port: ${value}`);
  return `${Number(digits[0])}`;
}
