// Fills the heap, which ends the process.
const all = [];
for (;;) all.push(new Array(10_000).fill(all.length));
