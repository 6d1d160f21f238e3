// The IDNA tables are large and only needed for hosts outside ASCII: they are evaluated at the first such host.
exports.toASCII = (domain, options) => require('tr46-tables').toASCII(domain, options);
exports.toUnicode = (domain, options) => require('tr46-tables').toUnicode(domain, options);
