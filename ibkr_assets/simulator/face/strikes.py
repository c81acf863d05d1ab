"""What a client gets when a fault of the table strikes. Which fault strikes, and when, is `faults`."""

from __future__ import annotations

from ibkr_assets.simulator.face.exchange import Answer, refusal
from ibkr_assets.simulator.faults import ArmedFault, Effect

_LOGIN_PAGE = b"<!DOCTYPE html><html><head><title>Login</title></head><body><form method='post'></form></body></html>"

_ANSWERS: dict[Effect, Answer] = {
    Effect.RESET: Answer(Effect.RESET),
    Effect.UNAVAILABLE: Answer(
        {"error": "Service Unavailable", "statusCode": 503}, 503, headers={"x-response-time": "10000ms"}
    ),
    Effect.HTML: Answer(_LOGIN_PAGE, media="text/html"),
    Effect.EMPTY: Answer(b""),
    Effect.UNAUTHORIZED: refusal(401, "no session"),
    Effect.NO_ORDERS: Answer({"orders": [], "snapshot": False}),
    Effect.NO_TRADES: Answer([]),
}


def answer_of(armed: ArmedFault) -> Answer:
    """The answer of a fault, held back for as long as it was armed with."""
    answer = _ANSWERS[armed.fault.effect]
    return Answer(answer.body, answer.status, answer.media, answer.headers, armed.delay_s)
