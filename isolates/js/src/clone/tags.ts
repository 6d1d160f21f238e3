/**
 * The form of a serialised value: a tag byte and its content; numbers are little-endian. An object that was there before
 * is told by its place in the order in which objects began.
 */

import { ERRORS, VIEWS } from '../internal_slots.ts';

export const UNDEFINED = 0;
export const NULL = 1;
export const TRUE = 2;
export const FALSE = 3;
export const NUMBER = 4;
export const TEXT = 5;
/** With halves of surrogate pairs, which UTF-8 has not. */
export const UNITS = 6;
export const BIGINT = 7;
export const AGAIN = 8;
export const DATE = 9;
export const BOOLEAN_OBJECT = 10;
export const NUMBER_OBJECT = 11;
export const STRING_OBJECT = 12;
export const BIGINT_OBJECT = 13;
export const REGEXP = 14;
export const BUFFER = 15;
export const VIEW = 16;
export const ARRAY = 17;
export const OBJECT = 18;
export const MAP = 19;
export const SET = 20;
export const ERROR = 21;
export const BLOB = 22;
export const FILE = 23;
export const DOM_EXCEPTION = 24;

/** A view's constructor is told by its place here; undefined is DataView. */
export const VIEW_TAGS: (string | undefined)[] = [undefined, ...Object.keys(VIEWS), 'Float16Array'];
/** An error's is told by its place here. */
export const ERROR_NAMES = Object.keys(ERRORS);
