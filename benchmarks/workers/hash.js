// SHA-256 of 16 KiB through WebCrypto.
const data = new Uint8Array(16384).fill(0x62);

export default {
  async fetch() {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
    let hex = "";
    for (const byte of digest) hex += byte.toString(16).padStart(2, "0");
    return new Response(hex);
  },
};
