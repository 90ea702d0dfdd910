"""What stands before the application: tokens, room, one form of errors, whatever goes wrong."""

from collections.abc import Callable

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medray.serving.replies import Reply, failure, refuse
from medray.serving.room import Pace, Room
from medray.serving.tokens import known

GONE = 499  # the client left; nginx's number, never sent


class Door:
    """Lets nobody pass without a token, whatever the path, but for /healthz; turns away at once who
    would ask a model that has no room.

    Args:
        app: what answers the others.
        hashes: of the tokens.
        rooms: by the path that is asked.
        refused: told the path of each request that was turned away.
    """

    def __init__(
        self,
        app: ASGIApp,
        hashes: tuple[str, ...],
        rooms: dict[str, Room],
        refused: Callable[[str, int], None],
    ) -> None:
        self._app, self._hashes, self._rooms, self._refused = app, hashes, rooms, refused
        self._pace = Pace()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        path = scope["path"]
        if path != "/healthz" and not self._knows(scope):
            reply = refuse(401, "no-token", "Authorization: Bearer <token> is missing or wrong")
            reply.headers["WWW-Authenticate"] = "Bearer"
            await self._turn_away(reply, scope, receive, send)
            return
        room = self._rooms.get(path)
        if room is not None and room.full and scope["method"] == "POST":
            reply = refuse(503, "busy", "too many requests wait for the model")
            self._refused(path, reply.status)
            await self._turn_away(reply, scope, receive, send)
            return
        await self._guarded(scope, receive, send)

    async def _turn_away(self, reply: Reply, scope: Scope, receive: Receive, send: Send) -> None:
        await self._pace.wait()
        if any(name == b"expect" for name, _ in scope["headers"]):
            reply.headers["Connection"] = "close"  # nobody knows whether the body still comes
        await response_of(reply)(scope, receive, send)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:  # noqa: BLE001 - every request gets an answer, and no traceback quotes it
            reply = failure(error)
            if started:
                raise ConnectionError("the answer broke off") from None
            await response_of(reply)(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) != 1:
            return False
        scheme, _, token = given[0].decode("latin-1").partition(" ")
        return scheme.lower() == "bearer" and known(token.strip(), self._hashes)


def response_of(reply: Reply) -> Response:
    """The reply, as ASGI sends it."""
    return Response(reply.body, reply.status, reply.headers, reply.media)
