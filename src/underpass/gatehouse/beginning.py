"""How the exchange of an admitted request begins, whether it was held before or not."""

from __future__ import annotations

from math import inf

from underpass.gatehouse.admission import Admitted
from underpass.gatehouse.exchange_http import HttpExchange
from underpass.gatehouse.house import House
from underpass.gatehouse.ports import Visitor
from underpass.http.messages import RequestHead


def begin_admitted(
    house: House, visitor: Visitor, head: RequestHead, admitted: Admitted
) -> HttpExchange:
    """Begin the exchange with the origin. The visitor may be answered before this returns."""
    if house.mcp is not None:
        visitor = house.mcp.attend(visitor, head, admitted.target)
    exchange = HttpExchange(house, visitor, head)
    if admitted.until != inf or admitted.holds:
        exchange.ending = house.endings.enter(exchange, admitted.until, admitted.holds)
    exchange.begin(admitted.request, is_jsonrpc=admitted.is_jsonrpc)
    return exchange
