/** What `inspect` shows of the platform's own objects, which keep their state out of sight. */

import { blobBytes, blobTypeOf, fileNameOf, isBlob, isFile } from './blob.ts';
import { formEntries, isFormData } from './form_data.ts';
import { headersList, isHeaders } from './http/headers.ts';
import { requestState } from './http/request.ts';
import { responseState } from './http/response.ts';
import { isURLSearchParams, paramsList } from './url/search_params.ts';

/** Names and values of an object in which a name may be there several times; null if it is another one. */
export function shownPairs(value: object): [string, unknown][] | null {
  return isURLSearchParams(value) ? paramsList(value) : isFormData(value) ? formEntries(value) : null;
}

/** The fields that tell what an object is; null if it is none of the platform's. */
export function shownFields(value: object): Record<string, unknown> | null {
  if (isHeaders(value)) return headerFields(headersList(value));
  if (isBlob(value)) {
    const facts = { size: blobBytes(value).length, type: blobTypeOf(value) };
    return isFile(value) ? { name: fileNameOf(value), ...facts } : facts;
  }
  const request = requestState(value);
  if (request !== null) return { method: request.method, url: request.url };
  const response = responseState(value);
  if (response !== null) return { status: response.status, statusText: response.statusText, url: response.url };
  return null;
}

/** `list` is names and values in turn; the values of one name are put together, as `get` does. */
function headerFields(list: string[]): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i];
    fields[name] = Object.hasOwn(fields, name) ? `${fields[name] as string}, ${list[i + 1]}` : list[i + 1];
  }
  return fields;
}
