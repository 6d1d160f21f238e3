"""The control API: the only way in which anything on the node is changed.

`services.py` and its neighbours do the work in terms of state and supervisor; `*_routes.py` give it HTTP; `endpoint.py`
is the table both the router and `openapi.json` are made from.
"""
