"""Content type by file name, for static files. Pure.

The standard library's table depends on the machine's own files and lacks much of what the web uses today. Types are
those of the IANA registry and of the HTML and WebAssembly standards; all text is UTF-8, which every build tool writes.
"""

DEFAULT = "application/octet-stream"

_TEXT = {
    "text/html": "html htm xhtm",
    "text/css": "css",
    # RFC 9239: text/javascript is the one registered type of JavaScript.
    "text/javascript": "js mjs cjs",
    "text/plain": "txt text log conf ini lock sh env toml py rb go rs c h cpp hpp java php ts tsx jsx vue sql",
    "text/markdown": "md markdown mdx",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "text/calendar": "ics ifb",
    "text/vcard": "vcf vcard",
    "text/vtt": "vtt",
    "text/x-component": "rsc",
    "application/xml": "xml xsl xslt xsd",
    "application/xhtml+xml": "xhtml xht",
    "application/rss+xml": "rss",
    "application/atom+xml": "atom",
    "image/svg+xml": "svg",
    "application/yaml": "yaml yml",
    "application/graphql": "graphql gql",
    "application/x-subrip": "srt",
}
# JSON is UTF-8 by definition (RFC 8259 section 11), so these have no charset parameter.
_BINARY = {
    "application/json": "json json5 map webapp code-workspace",
    "application/geo+json": "geojson",
    "application/ld+json": "jsonld",
    "application/x-ndjson": "ndjson jsonl",
    "application/manifest+json": "webmanifest",
    "application/wasm": "wasm",
    "application/pdf": "pdf",
    "application/rtf": "rtf",
    "application/epub+zip": "epub",
    "application/zip": "zip",
    "application/gzip": "gz tgz",
    "application/zstd": "zst",
    "application/x-bzip2": "bz2",
    "application/x-xz": "xz",
    "application/x-tar": "tar",
    "application/x-7z-compressed": "7z",
    "application/vnd.rar": "rar",
    "application/java-archive": "jar war",
    "application/vnd.android.package-archive": "apk",
    "application/x-apple-diskimage": "dmg",
    "application/vnd.debian.binary-package": "deb",
    "application/x-rpm": "rpm",
    "application/x-shockwave-flash": "swf",
    "application/msword": "doc dot",
    "application/vnd.ms-excel": "xls xlt",
    "application/vnd.ms-powerpoint": "ppt pps",
    "application/vnd.ms-fontobject": "eot",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/vnd.apple.mpegurl": "m3u8",
    "application/dash+xml": "mpd",
    "application/vnd.apple.pkpass": "pkpass",
    "application/vnd.sqlite3": "sqlite sqlite3 db",
    "application/vnd.apache.parquet": "parquet",
    "application/postscript": "ps eps ai",
    "application/pgp-signature": "sig asc",
    "application/pkix-cert": "cer crt der",
    "application/x-pem-file": "pem",
    "image/png": "png",
    "image/apng": "apng",
    "image/jpeg": "jpg jpeg jpe jfif",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/avif": "avif",
    "image/heic": "heic",
    "image/heif": "heif",
    "image/jxl": "jxl",
    "image/bmp": "bmp",
    "image/tiff": "tif tiff",
    "image/x-icon": "ico cur",
    "image/ktx2": "ktx2",
    "image/vnd.adobe.photoshop": "psd",
    "font/woff2": "woff2",
    "font/woff": "woff",
    "font/ttf": "ttf",
    "font/otf": "otf",
    "font/collection": "ttc otc",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a m4b",
    "audio/aac": "aac",
    "audio/ogg": "ogg oga opus spx",
    "audio/wav": "wav",
    "audio/flac": "flac",
    "audio/webm": "weba",
    "audio/midi": "mid midi",
    "audio/aiff": "aif aiff",
    "video/mp4": "mp4 m4v",
    "video/webm": "webm",
    "video/ogg": "ogv",
    "video/quicktime": "mov qt",
    "video/x-matroska": "mkv",
    "video/x-msvideo": "avi",
    "video/mpeg": "mpeg mpg",
    "video/mp2t": "m2ts mts",
    "video/3gpp": "3gp",
    "model/gltf+json": "gltf",
    "model/gltf-binary": "glb",
    "model/obj": "obj",
    "model/stl": "stl",
    "model/vnd.usdz+zip": "usdz",
}

BY_EXTENSION: dict[str, str] = {
    **{extension: kind for kind, extensions in _BINARY.items() for extension in extensions.split()},
    **{extension: f"{kind}; charset=utf-8" for kind, extensions in _TEXT.items() for extension in extensions.split()},
}

BY_NAME = {
    # Files without extension that their readers insist on; the first two are Apple's and Google's association files.
    "apple-app-site-association": "application/json",
    "apple-developer-merchantid-domain-association": "text/plain; charset=utf-8",
    "security.txt": "text/plain; charset=utf-8",
    "LICENSE": "text/plain; charset=utf-8",
    "README": "text/plain; charset=utf-8",
    "CNAME": "text/plain; charset=utf-8",
}


def content_type(path: str) -> str:
    """Return the content type for a file name or path."""
    name = path.rpartition("/")[2]
    if name in BY_NAME:
        return BY_NAME[name]
    _, dot, extension = name.rpartition(".")
    return BY_EXTENSION.get(extension.lower(), DEFAULT) if dot else DEFAULT


def has_known_extension(path: str) -> bool:
    """Tell whether the last segment looks like a file rather than a page: "/app.js" does, "/john.doe" does not."""
    _, dot, extension = path.rpartition("/")[2].rpartition(".")
    return bool(dot) and extension.lower() in BY_EXTENSION
