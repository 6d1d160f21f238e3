/** DOMException (Web IDL §4.3). */

import { hasOwn, ObjectDefineProperty, ObjectSetPrototypeOf, ReflectConstruct } from './primordials.ts';
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

/** Lets a class put its private fields on an object that another constructor made. */
const Given = function (object: object): object {
  return object;
} as unknown as new (object: object) => object;

/** What only a genuine instance has. */
class State extends Given {
  #name: string;
  #message: string;

  constructor(error: object, name: string, message: string) {
    super(error);
    this.#name = name;
    this.#message = message;
  }

  static has(value: object): boolean {
    return #name in value;
  }

  /** Both throw a TypeError for a foreign receiver. */
  static nameOf(self: object): string {
    return (self as State).#name;
  }

  static messageOf(self: object): string {
    return (self as State).#message;
  }
}

/** What `name` and `message` say, whatever a subclass made of them. */
export const { nameOf: exceptionName, messageOf: exceptionMessage } = State;

/** Whether a value is one, whatever its prototype is. */
export function isDOMException(value: object): value is DOMException {
  return State.has(value);
}

export class DOMException {
  constructor(message: string = '', options: string | { name?: string; cause?: unknown } = 'Error') {
    const text = toDOMString(message);
    const given = typeof options === 'object' && options !== null;
    const name = !given ? toDOMString(options) : options.name === undefined ? 'Error' : toDOMString(options.name);
    // A genuine error, with what `Error.isError` asks for, and a stack that begins where `new` was.
    const error = ReflectConstruct(Error, [text], new.target) as DOMException;
    delete (error as { message?: string }).message; // the stack has it; the interface's attribute has it, too
    new State(error, name, text);
    if (given && 'cause' in options) {
      ObjectDefineProperty(error, 'cause', { value: options.cause, configurable: true, writable: true });
    }
    return error;
  }

  get name(): string {
    return State.nameOf(this);
  }

  get message(): string {
    return State.messageOf(this);
  }

  get code(): number {
    const name = State.nameOf(this);
    return hasOwn(CODES, name) ? CODES[name] : 0;
  }
}

// `instanceof Error` holds.
ObjectSetPrototypeOf(DOMException.prototype, Error.prototype);
ObjectDefineProperty(DOMException.prototype, 'constructor', {
  value: DOMException,
  writable: true,
  configurable: true,
  enumerable: false,
});
defineInterface(DOMException, 'DOMException', CONSTANTS);
