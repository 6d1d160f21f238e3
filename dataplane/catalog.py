"""From a request's path and token to the database it may use. Pure; one instance in each edge worker, and in egress."""

from dataplane.messages import Catalog, Database
from dataplane.tokens import Access, TokenError, verify

_CACHED_TOKENS = 10_000


class CatalogIndex:
    """Looks up tokens in the newest catalog; remembers verified ones until the catalog changes."""

    def __init__(self, token_key: bytes) -> None:
        self._key = token_key
        self._catalog = Catalog(version=0, databases={})
        self._verified: dict[str, Access] = {}

    def __repr__(self) -> str:
        return f"<CatalogIndex version {self._catalog.version} [{len(self._catalog.databases)} databases]>"

    def apply(self, catalog: Catalog) -> None:
        """Use `catalog` for every lookup from now on; rotated tokens are dead with it."""
        self._catalog = catalog
        self._verified = {}

    @property
    def version(self) -> int:
        """Version of the catalog that is used."""
        return self._catalog.version

    def database(self, database_id: str) -> Database | None:
        """Return the database as it is now."""
        return self._catalog.databases.get(database_id)

    def authorize(self, token: str | None, database_id: str | None, now: float) -> Access | None:
        """Return the access that `token` gives to `database_id` (None: to the token's own) at `now` (Unix time).

        None: the token is good, but for another database. Raises `TokenError` if it is not good, whether the database
        exists or not.
        """
        if not token:
            raise TokenError
        access = self._verified.get(token)
        if access is None or (access.expires is not None and access.expires <= now):
            access = verify(token, self._catalog, self._key, now)
            if len(self._verified) >= _CACHED_TOKENS:
                self._verified.clear()
            self._verified[token] = access
        if database_id is not None and access.database.database_id != database_id:
            return None
        return access
