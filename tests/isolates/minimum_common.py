"""The Minimum Common Web API (ECMA-429, 2025): what a runtime has to offer, as a table for `test_minimum_common.py`.

Members are those of the interfaces' own definitions in the standards that ECMA-429 refers to, without what these leave
to pages (`[Exposed=Window]`) and without constants.
"""

from typing import NamedTuple


class Interface(NamedTuple):
    """What instances have, and what the interface object itself has; names separated by spaces."""

    members: str = ""
    static: str = ""
    parent: str = ""


_BODY = "arrayBuffer blob body bodyUsed bytes formData json text"
_PAIRS = "append delete entries forEach get getAll has keys set values"
_TRANSFORM = "readable writable"

INTERFACES = {
    "AbortController": Interface("abort signal"),
    "AbortSignal": Interface("aborted onabort reason throwIfAborted", "abort any timeout", "EventTarget"),
    "Blob": Interface("arrayBuffer bytes size slice stream text type"),
    "ByteLengthQueuingStrategy": Interface("highWaterMark size"),
    "CompressionStream": Interface(_TRANSFORM),
    "CountQueuingStrategy": Interface("highWaterMark size"),
    "Crypto": Interface("getRandomValues randomUUID subtle"),
    "CryptoKey": Interface("algorithm extractable type usages"),
    "CustomEvent": Interface("detail initCustomEvent", parent="Event"),
    "DecompressionStream": Interface(_TRANSFORM),
    "DOMException": Interface("code message name", parent="Error"),
    "ErrorEvent": Interface("colno error filename lineno message", parent="Event"),
    "Event": Interface(
        "bubbles cancelBubble cancelable composed composedPath currentTarget defaultPrevented eventPhase initEvent "
        "preventDefault returnValue srcElement stopImmediatePropagation stopPropagation target timeStamp type"
    ),
    "EventTarget": Interface("addEventListener dispatchEvent removeEventListener"),
    "File": Interface("lastModified name", parent="Blob"),
    "FormData": Interface(_PAIRS),
    "Headers": Interface("append delete entries forEach get getSetCookie has keys set values"),
    "MessageChannel": Interface("port1 port2"),
    "MessageEvent": Interface("data initMessageEvent lastEventId origin ports source", parent="Event"),
    "MessagePort": Interface("close onmessage onmessageerror postMessage start", parent="EventTarget"),
    "Performance": Interface("now timeOrigin toJSON", parent="EventTarget"),
    "PromiseRejectionEvent": Interface("promise reason", parent="Event"),
    "ReadableByteStreamController": Interface("byobRequest close desiredSize enqueue error"),
    "ReadableStream": Interface("cancel getReader locked pipeThrough pipeTo tee values", "from"),
    "ReadableStreamBYOBReader": Interface("cancel closed read releaseLock"),
    "ReadableStreamBYOBRequest": Interface("respond respondWithNewView view"),
    "ReadableStreamDefaultController": Interface("close desiredSize enqueue error"),
    "ReadableStreamDefaultReader": Interface("cancel closed read releaseLock"),
    "Request": Interface(
        f"{_BODY} cache clone credentials destination duplex headers integrity isHistoryNavigation isReloadNavigation "
        "keepalive method mode redirect referrer referrerPolicy signal url"
    ),
    "Response": Interface(f"{_BODY} clone headers ok redirected status statusText type url", "error json redirect"),
    "SubtleCrypto": Interface(
        "decrypt deriveBits deriveKey digest encrypt exportKey generateKey importKey sign unwrapKey verify wrapKey"
    ),
    "TextDecoder": Interface("decode encoding fatal ignoreBOM"),
    "TextDecoderStream": Interface(f"{_TRANSFORM} encoding fatal ignoreBOM"),
    "TextEncoder": Interface("encode encodeInto encoding"),
    "TextEncoderStream": Interface(f"{_TRANSFORM} encoding"),
    "TransformStream": Interface(_TRANSFORM),
    "TransformStreamDefaultController": Interface("desiredSize enqueue error terminate"),
    "URL": Interface(
        "hash host hostname href origin password pathname port protocol search searchParams toJSON toString username",
        "canParse parse",
    ),
    "URLPattern": Interface("exec hasRegExpGroups hash hostname password pathname port protocol search test username"),
    "URLSearchParams": Interface(f"{_PAIRS} size sort toString"),
    "WebAssembly.CompileError": Interface(parent="Error"),
    "WebAssembly.Exception": Interface("getArg is"),
    "WebAssembly.Global": Interface("value valueOf"),
    "WebAssembly.Instance": Interface("exports"),
    "WebAssembly.LinkError": Interface(parent="Error"),
    "WebAssembly.Memory": Interface("buffer grow"),
    "WebAssembly.Module": Interface(static="customSections exports imports"),
    "WebAssembly.RuntimeError": Interface(parent="Error"),
    "WebAssembly.Table": Interface("get grow length set"),
    "WebAssembly.Tag": Interface(),
    "WritableStream": Interface("abort close getWriter locked"),
    "WritableStreamDefaultController": Interface("error signal"),
    "WritableStreamDefaultWriter": Interface("abort close closed desiredSize ready releaseLock write"),
}

FUNCTIONS = (
    "atob btoa clearInterval clearTimeout fetch queueMicrotask reportError setInterval setTimeout structuredClone "
    "WebAssembly.compile WebAssembly.compileStreaming WebAssembly.instantiate WebAssembly.instantiateStreaming "
    "WebAssembly.validate addEventListener dispatchEvent removeEventListener"
)

OBJECTS = "console crypto globalThis navigator performance self WebAssembly.JSTag"

HANDLERS = "onerror onrejectionhandled onunhandledrejection"

CONSOLE = (
    "assert clear count countReset debug dir dirxml error group groupCollapsed groupEnd info log table time timeEnd "
    "timeLog trace warn"
)
