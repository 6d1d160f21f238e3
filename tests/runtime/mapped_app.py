"""A small app in TypeScript as esbuild bundles it (`--bundle --minify --format=esm --sourcemap`), for tests."""

BUNDLE = """\
function r(e){return e.cost*2}var i={async fetch(e,t){let n=new URL(e.url).pathname;return n==="/throw"?\
Response.json(r(void 0)):(console.log("asked for",n),new Response("fine"))}};export{i as default};
//# sourceMappingURL=worker.js.map
"""

MAP = """\
{
  "version": 3,
  "sources": ["../src/price.ts", "../src/index.ts"],
  "sourcesContent": [null, null],
  "mappings": "AAIO,SAASA,EAAMC,EAAoB,CACxC,OAAOA,EAAK,KAAO,CACrB,CCFA,IAAOC,EAAQ,CACb,MAAM,MAAMC,EAAkBC,EAA6B,\
CACzD,IAAMC,EAAe,IAAI,IAAIF,EAAQ,GAAG,EAAE,SAC1C,OAAIE,IAAS,SAAiB,SAAS,KAAKC,EAAM,MAAkB,CAAC,GACrE,QAAQ,IAAI,YAAaD,\
CAAI,EACtB,IAAI,SAAS,MAAM,EAC5B,CACF",
  "names": ["price", "item", "index_default", "request", "env", "path", "price"]
}
"""

THROWS = (1, BUNDLE.index("cost") + 1)
"""Line and column in the bundle of `item.cost`, which is at `SOURCE`."""
SOURCE = "src/price.ts:6:15"
CALLER = "src/index.ts:8:"
"""The line of the call, in the frame below."""
