"""The Unix socket by which an operator looks at a KME and steers its simulation.

HTTP and JSON, mode 0600 in a folder that nobody else can write: the KME's own user and
root, whose credentials are asked of the kernel at each connection. A client looks at
folder and listener before it asks anything. Not for SAEs, and not the SAEs' interface.
"""

import asyncio
import contextlib
import json
import logging
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web

from gateway.errors import KMEError
from gateway.host.local_names import (
    NameTakenError,
    check_folder,
    check_listener,
    peer_of,
    trusted_users,
)
from gateway.kme.misbehaviour.answers import DEFAULT_DELAY
from gateway.kme.peer_messages import BadMessageError, decode_order
from gateway.kme.replies import Reply
from gateway.kme.server import KMEServer

MODE: Final = 0o600

_log = logging.getLogger(__name__)

MAX_PATH: Final = 107
"""Bytes of ``sun_path`` without its closing zero (unix(7))."""

MAX_ANSWER: Final = 1 << 20
"""Bytes of an answer; the status has below 2 KiB."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_TO_OWN: Final = "its folder must belong to the KME's user, with mode 0700"

TIMEOUT: Final = 10.0
"""Seconds of a command; a switch of the link may go on to the other end."""


class ControlSocket:
    """The KME's end.

    Args:
        path: The socket's file; its folder must be there.
        server: What it steers.
    """

    def __init__(self, path: Path, server: KMEServer) -> None:
        self._path = path
        self._server = server
        application = web.Application(
            client_max_size=1 << 16, middlewares=[_admit_owners]
        )
        application.add_routes(
            [
                web.get("/status", self._status, allow_head=False),
                web.post("/misbehave", self._misbehave),
                web.post("/link", self._link),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None)
        self._made: os.stat_result | None = None

    async def start(self) -> None:
        """Make the socket and serve.

        Raises:
            KMEError: Another KME listens there, or the file cannot be made.
        """
        made = _bind(self._path)
        self._made = self._path.lstat()
        await self._runner.setup()
        await web.SockSite(self._runner, made).start()

    async def stop(self) -> None:
        """Close it and remove the file, if it is still the one made here."""
        await self._runner.cleanup()
        with contextlib.suppress(OSError):
            found = self._path.lstat()
            if self._made and found.st_ino == self._made.st_ino:
                self._path.unlink()

    async def _status(self, _request: web.Request) -> web.StreamResponse:
        return Reply(HTTPStatus.OK, self._server.status()).response()

    async def _misbehave(self, request: web.Request) -> web.StreamResponse:
        order = await _read(request)
        mode, count, delay = order.get("mode"), order.get("count"), order.get("delay")
        if not isinstance(mode, str) or not isinstance(count, int | None):
            return _bad("mode is a string, count a whole number")
        if not isinstance(delay, int | float | None):
            return _bad("delay is a number of seconds")
        try:
            if mode == "off":
                self._server.misbehaviour.stop()
            else:
                self._server.misbehaviour.start(
                    mode, count=count, delay=DEFAULT_DELAY if delay is None else delay
                )
        except KMEError as error:
            return _bad(error.message, error.hint)
        return await self._status(request)

    async def _link(self, request: web.Request) -> web.StreamResponse:
        try:
            order = decode_order(await _read(request))
        except BadMessageError as error:
            return _bad(str(error))
        try:
            await self._server.switch_link(*order)
        except KMEError as error:
            return _bad(error.message, error.hint)
        return await self._status(request)


async def call(
    path: Path, method: str, what: str, order: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Ask a KME at its control socket.

    Args:
        path: The socket.
        method: ``GET`` or ``POST``.
        what: ``status``, ``misbehave`` or ``link``.
        order: JSON object to post.

    Raises:
        KMEError: It is not there, does not answer, or refuses.
    """
    await asyncio.to_thread(_check_listener, path)
    problem, hint = "", "see: journalctl -u qgw-kme"
    try:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(str(path)),
                timeout=aiohttp.ClientTimeout(total=TIMEOUT),
            ) as session,
            session.request(method, f"http://kme/{what}", json=order) as response,
        ):
            body = bytearray()
            async for chunk in response.content.iter_chunked(1 << 16):
                body += chunk
                if len(body) > MAX_ANSWER:
                    break
            answer = json.loads(body)
            if response.status == HTTPStatus.OK and isinstance(answer, dict):
                return answer
            problem = str(answer.get("message")) if isinstance(answer, dict) else ""
            hint = str(answer.get("hint", "")) if isinstance(answer, dict) else hint
    except TimeoutError:
        problem = f"no answer within {TIMEOUT:.0f} seconds"
    except aiohttp.ClientConnectorError as error:
        reason = (error.os_error.strerror or "an error").lower()
        problem = f"no KME answers at {path}: {reason}"
        hint = "start it: systemctl start qgw-kme; and be root, or its user"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        problem = f"{path}: {type(error).__name__}"
    raise KMEError(problem or "the KME refused without a reason", hint)


@web.middleware
async def _admit_owners(
    request: web.Request,
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> web.StreamResponse:
    """Serve root and our own user, whatever the file's mode has become."""
    transport = request.transport
    connection = transport.get_extra_info("socket") if transport else None
    try:
        pid, uid = peer_of(connection) if connection else (0, None)
    except OSError:
        pid, uid = 0, None
    if uid in trusted_users():
        return await handler(request)
    _log.warning("refused a control connection of uid %s (pid %d)", uid, pid)
    return Reply(403, {"message": "you may not steer this KME"}).response()


def _check_listener(path: Path) -> None:
    """See, before anything is asked, that the KME's own user or root answers there.

    The folder's owner is the KME's user; nobody else may be able to change its names.

    Raises:
        KMEError: Somebody else could. What else is wrong shows when it is asked.
    """
    try:
        users = trusted_users() | {path.parent.stat().st_uid}
        check_folder(path.parent, users=users)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(TIMEOUT)
            probe.connect(str(path))
            check_listener(probe, users=users)
    except NameTakenError as error:
        raise KMEError(f"that is no KME to trust: {error}", _TO_OWN) from None
    except OSError:
        return


async def _read(request: web.Request) -> dict[str, object]:
    try:
        order = json.loads(await request.read())
    except (ValueError, RecursionError):
        return {}
    return order if isinstance(order, dict) else {}


def _bad(message: str, hint: str = "") -> web.Response:
    return Reply(400, {"message": message, "hint": hint}).response()


def _bind(path: Path) -> socket.socket:
    if len(os.fsencode(path)) > MAX_PATH:
        raise KMEError(
            f"{path}: longer than {MAX_PATH} bytes",
            "choose a shorter control_socket in the configuration",
        )
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        check_folder(path.parent)
        _remove_stale(path)
        # The mode of an unbound socket becomes that of its file (Linux), so that
        # the file is at no instant open to others.
        os.fchmod(made.fileno(), MODE)
        made.bind(str(path))
    except OSError as error:
        made.close()
        problem = (error.strerror or "an error").lower()
    except NameTakenError as error:
        made.close()
        raise KMEError(f"cannot make the control socket: {error}", _TO_OWN) from None
    except BaseException:
        made.close()
        raise
    else:
        return made
    raise KMEError(
        f"cannot make the control socket {path}: {problem}",
        f"{path.parent} must be there, and writable for the KME's user",
    )


def _remove_stale(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise KMEError(f"{path} is there and is no socket", "move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError:
            pass
    raise KMEError(f"another KME listens at {path}", "stop it: systemctl stop qgw-kme")


def run_call(
    path: Path, method: str, what: str, order: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Do `call` where no event loop runs."""
    return asyncio.run(call(path, method, what, order))
