"""Web Crypto in a real host: cases in JavaScript, and what only another implementation or a second request shows."""

import base64
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.isolates.driver import Edge, Host, Zygote

FOLDER = Path(__file__).parent
CASES_FOLDER = FOLDER / "crypto_cases"
FILES = sorted(path for path in CASES_FOLDER.glob("*.js") if path.name != "prelude.js")
PRELUDES = [FOLDER / "platform_cases" / "prelude.js", CASES_FOLDER / "prelude.js"]
APP = """
const listed = () => new Response(JSON.stringify(Object.keys(cases)));
export default { async fetch(request) {
  const name = decodeURIComponent(new URL(request.url).pathname.slice(1));
  if (name === '') return listed();
  try {
    await cases[name]();
    return new Response('passed');
  } catch (error) {
    return new Response(`${error?.stack ?? error}`);
  }
} };
"""
CASES = [
    *(name for path in FILES for name in re.findall(r"^cases\['([^']+)'\]", path.read_text(), re.MULTILINE)),
    *("RSA signatures hold: " + name for name in ("RSASSA-PKCS1-v1_5", "RSA-PSS")),
    *(
        "key pairs survive every format: " + name
        for name in ("RSA-PSS", "RSA-OAEP", "ECDSA", "ECDH", "Ed25519", "X448")
    ),
]


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """With the real platform."""
    with Zygote(tmp_path_factory.mktemp("hosts"), tmp_path_factory.mktemp("cache"), platform=None) as running:
        yield running


@pytest.fixture(scope="module")
def edge(zygote: Zygote) -> Edge:
    blocks = [f"{{\n{path.read_text()}}}" for path in FILES]
    return zygote.fork().serve("\n".join([*(path.read_text() for path in PRELUDES), *blocks, APP]))


@pytest.fixture
def host(zygote: Zygote) -> Iterator[Host]:
    forked = zygote.fork()
    yield forked
    forked.close()


@pytest.mark.parametrize("case", CASES)
def test_case(edge: Edge, case: str) -> None:
    assert edge.ask(f"http://a/{quote(case)}") == "passed"


def test_every_case_is_run(edge: Edge) -> None:
    assert sorted(json.loads(edge.ask("http://a/"))) == sorted(CASES)


SIGN = """
export default async () => {
  const algorithm = %s;
  const data = new TextEncoder().encode('signed in the isolate');
  const { publicKey, privateKey } = await crypto.subtle.generateKey(algorithm, false, ['sign', 'verify']);
  const signature = await crypto.subtle.sign(algorithm, privateKey, data);
  const key = await crypto.subtle.exportKey('spki', publicKey);
  return Response.json([key, signature].map((buffer) => new Uint8Array(buffer).toBase64()));
};
"""


def test_another_implementation_takes_keys_and_signatures(host: Host) -> None:
    algorithm = "{ name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-256' }"
    der, signature = map(base64.b64decode, json.loads(host.serve(SIGN % algorithm).ask()))
    key = load_der_public_key(der)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    r, s = int.from_bytes(signature[:48]), int.from_bytes(signature[48:])
    key.verify(encode_dss_signature(r, s), b"signed in the isolate", ec.ECDSA(hashes.SHA256()))


def test_another_implementation_takes_rsa_keys_of_a_thread(host: Host) -> None:
    algorithm = (
        "{ name: 'RSA-PSS', hash: 'SHA-512', saltLength: 7, modulusLength: 3072, "
        "publicExponent: new Uint8Array([1, 0, 1]) }"
    )
    der, signature = map(base64.b64decode, json.loads(host.serve(SIGN % algorithm).ask()))
    key = load_der_public_key(der)
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(signature, b"signed in the isolate", padding.PSS(padding.MGF1(hashes.SHA512()), 7), hashes.SHA512())


SLOW = """
const { subtle } = crypto;
export default async (request) => {
  if (request.url.endsWith('/quick')) return new Response('quick');
  const key = await subtle.importKey('raw', new Uint8Array(8), 'PBKDF2', false, ['deriveBits']);
  const derive = (iterations, bits) =>
    subtle.deriveBits({ name: 'PBKDF2', hash: 'SHA-512', salt: new Uint8Array(8), iterations }, key, bits);
  if (request.url.endsWith('/many')) {
    const sizes = await Promise.all(Array.from({ length: 20 }, (_, i) => derive(6000, 8 * (i + 1))));
    return new Response(sizes.map((buffer) => buffer.byteLength).join());
  }
  await derive(1_000_000, 256);
  return new Response('slow');
};
"""


def test_slow_operations_let_other_requests_go_on(host: Host) -> None:
    edge = host.serve(SLOW)
    start = time.monotonic()
    edge.request(1, "http://a/slow")
    edge.request(2, "http://a/quick")
    assert edge.frame().data == b"quick"
    quick = time.monotonic() - start
    assert edge.frame().data == b"slow"
    assert quick < (time.monotonic() - start) / 2


def test_replies_of_threads_find_their_callers(host: Host) -> None:
    assert host.serve(SLOW).ask("http://a/many") == ",".join(map(str, range(1, 21)))
