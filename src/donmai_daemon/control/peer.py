"""Who is at the other end of a connection, as far as the kernel says."""

from __future__ import annotations

import os
import socket
import struct
import sys
from dataclasses import dataclass

_UCRED = struct.Struct("=iII")  # Linux, struct ucred: pid, uid, gid
_XUCRED = struct.Struct("=II")  # macOS, struct xucred: version, uid, then groups that do not matter here
_XUCRED_BYTES = 76
_SOL_LOCAL, _LOCAL_PEERCRED = 0, 1  # macOS, <sys/un.h>; the socket module does not name them


@dataclass(frozen=True, slots=True)
class Peer:
    """`uid` is the user that connected to the unix socket, None on TCP and where the kernel does not tell."""

    is_unix: bool
    uid: int | None = None

    @property
    def trusted(self) -> bool:
        """The daemon's own user, or root, by the unix socket."""
        return self.uid is not None and self.uid in (0, os.geteuid())


TCP_PEER = Peer(is_unix=False)


def peer_of(connection: socket.socket) -> Peer:
    """The peer of a connected socket."""
    if connection.family != socket.AF_UNIX:
        return TCP_PEER
    try:
        if sys.platform == "linux":
            _, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        else:
            _, uid = _XUCRED.unpack_from(connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED_BYTES))
    except OSError:  # gone already: nobody to trust
        return Peer(is_unix=True)
    return Peer(is_unix=True, uid=uid)
