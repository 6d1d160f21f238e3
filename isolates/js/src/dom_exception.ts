/** DOMException (Web IDL §4.3). */

import { hasOwn, ObjectDefineProperty, ObjectSetPrototypeOf } from './primordials.ts';
import { defineInterface, toDOMString } from './webidl.ts';

const CODES: Record<string, number> = {
  IndexSizeError: 1,
  HierarchyRequestError: 3,
  WrongDocumentError: 4,
  InvalidCharacterError: 5,
  NoModificationAllowedError: 7,
  NotFoundError: 8,
  NotSupportedError: 9,
  InUseAttributeError: 10,
  InvalidStateError: 11,
  SyntaxError: 12,
  InvalidModificationError: 13,
  NamespaceError: 14,
  InvalidAccessError: 15,
  TypeMismatchError: 17,
  SecurityError: 18,
  NetworkError: 19,
  AbortError: 20,
  URLMismatchError: 21,
  QuotaExceededError: 22,
  TimeoutError: 23,
  InvalidNodeTypeError: 24,
  DataCloneError: 25,
};

const CONSTANTS: Record<string, number> = {
  INDEX_SIZE_ERR: 1,
  DOMSTRING_SIZE_ERR: 2,
  HIERARCHY_REQUEST_ERR: 3,
  WRONG_DOCUMENT_ERR: 4,
  INVALID_CHARACTER_ERR: 5,
  NO_DATA_ALLOWED_ERR: 6,
  NO_MODIFICATION_ALLOWED_ERR: 7,
  NOT_FOUND_ERR: 8,
  NOT_SUPPORTED_ERR: 9,
  INUSE_ATTRIBUTE_ERR: 10,
  INVALID_STATE_ERR: 11,
  SYNTAX_ERR: 12,
  INVALID_MODIFICATION_ERR: 13,
  NAMESPACE_ERR: 14,
  INVALID_ACCESS_ERR: 15,
  VALIDATION_ERR: 16,
  TYPE_MISMATCH_ERR: 17,
  SECURITY_ERR: 18,
  NETWORK_ERR: 19,
  ABORT_ERR: 20,
  URL_MISMATCH_ERR: 21,
  QUOTA_EXCEEDED_ERR: 22,
  TIMEOUT_ERR: 23,
  INVALID_NODE_TYPE_ERR: 24,
  DATA_CLONE_ERR: 25,
};

const captureStackTrace = (Error as unknown as { captureStackTrace(target: object, from?: unknown): void })
  .captureStackTrace;

export let isDOMException: (value: object) => value is DOMException;

export class DOMException {
  #name: string;
  #message: string;

  constructor(message: string = '', options: string | { name?: string; cause?: unknown } = 'Error') {
    this.#message = toDOMString(message);
    if (typeof options === 'object' && options !== null) {
      this.#name = options.name === undefined ? 'Error' : toDOMString(options.name);
      if ('cause' in options) {
        ObjectDefineProperty(this, 'cause', { value: options.cause, configurable: true, writable: true });
      }
    } else this.#name = toDOMString(options);
    captureStackTrace(this, new.target);
  }

  get name(): string {
    return this.#name;
  }

  get message(): string {
    return this.#message;
  }

  get code(): number {
    return hasOwn(CODES, this.#name) ? CODES[this.#name] : 0;
  }

  /** Whether a value is one, whatever its prototype is. */
  static {
    isDOMException = (value): value is DOMException => #name in value;
  }
}

// An instance must also be an Error: `instanceof Error` holds, and it has a stack.
ObjectSetPrototypeOf(DOMException.prototype, Error.prototype);
ObjectDefineProperty(DOMException.prototype, 'constructor', {
  value: DOMException,
  writable: true,
  configurable: true,
  enumerable: false,
});
defineInterface(DOMException, 'DOMException', CONSTANTS);
