"""Answering a proof: reach the origin, judge a foreign address, sign what was found.

Not metered, not reported, not forwarded. Only the owner's processes can ask (``proof``).
"""

from __future__ import annotations

from underpass.gatehouse import proof
from underpass.gatehouse.foreign import judge_foreign
from underpass.gatehouse.house import House
from underpass.gatehouse.origin.probe import OriginProbe
from underpass.gatehouse.ports import Visitor
from underpass.gatehouse.proof import LayerAnswer, ProofAnswer, ProofRequest
from underpass.http.messages import Headers, ResponseHead


class ProofExchange:
    """The exchange of one valid proof."""

    def __init__(self, house: House, visitor: Visitor, asked: ProofRequest) -> None:
        self._house = house
        self._visitor = visitor
        self._asked = asked
        self._probe = OriginProbe(house, self._origin_found)
        house.books.proofs += 1

    def begin(self) -> None:
        """Set out for the origin; the answer follows."""
        self._probe.begin()

    def _origin_found(self, origin: LayerAnswer) -> None:
        settings = self._house.settings
        layers = {"gatehouse": LayerAnswer("passed"), "origin": origin}
        if self._asked.foreign:
            layers["gate"] = judge_foreign(self._house, self._asked.foreign)
        answer = ProofAnswer(settings.name, settings.instance, layers)
        body, value = proof.make_answer(settings.proof_key, self._asked.nonce, answer)
        headers = [
            (b"Content-Type", b"application/json"),
            (b"Cache-Control", b"no-store"),
            (proof.ANSWER_HEADER, value),
        ]
        self._visitor.send_head(ResponseHead(200, b"OK", headers, len(body)), body, end=True)

    def data_received(self, data: bytes | memoryview) -> None:
        """A question has no body: what comes is let go."""
        self._visitor.drained(len(data))

    def trailers_received(self, trailers: Headers) -> None:
        """A question has none."""

    def end_received(self) -> None:
        """Expected."""

    def visitor_left(self, code: str) -> None:
        """The prover gave up."""
        self._probe.cancel()
        self._visitor.abort(code)

    def answer_unwanted(self, code: str) -> None:
        """The prover gave up."""
        self._probe.cancel()

    def resume_writing(self) -> None:
        """The answer was sent whole."""
