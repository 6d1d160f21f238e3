// A 200-row page, built anew for each request.
const escapes = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escape = (text) => text.replace(/[&<>"]/g, (character) => escapes[character]);

export default {
  fetch(request) {
    const title = new URL(request.url).searchParams.get("title") ?? "Rows";
    let rows = "";
    for (let i = 0; i < 200; i++) {
      rows += `<tr><td>${i}</td><td>${escape(`Row <${i}> & more`)}</td><td>${(i * 7919) % 1000}</td></tr>\n`;
    }
    return new Response(
      `<!doctype html><title>${escape(title)}</title><h1>${escape(title)}</h1><table>\n${rows}</table>\n`,
      { headers: { "content-type": "text/html; charset=utf-8" } },
    );
  },
};
