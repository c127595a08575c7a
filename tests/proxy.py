"""A TCP proxy on the loopback address that does to connections what networks do.

    with Proxy("127.0.0.1", 5432) as proxy:
        connect to proxy.port
        proxy.swallow()                        # nothing arrives any more, and nobody is told
        proxy.cut(COMMIT, after=True)          # the next commit happens, its answer is lost

It can be told at any time and from any thread; what it is told holds for the connections that there are
and for those that come. A connection that has been swallowed stays so for good, as a half-open one does.
"""

import contextlib
import socket
import struct
import threading
import time

COMMIT = (b"COMMIT\x00", b"\x07\x00\x00\x00\x03COMMIT")
"""How a commit looks on the wire: PostgreSQL's simple and extended protocol, and MariaDB's."""

_CHUNK = 65536
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Cut:
    """An appointment: reset the connection on which a client sends one of `patterns`.

    Before the server sees it, or `after` the server has answered; at the first `times` sends.
    """

    def __init__(self, patterns, *, after, times):
        self.patterns = patterns
        self.after = after
        self.left = times
        self.happened = 0
        self._lock = threading.Lock()

    def meets(self, before, data):
        """Tell whether `data`, sent after `before`, completes a pattern that is still waited for."""
        with self._lock:
            if self.left and any(each in before[1 - len(each) :] + data for each in self.patterns):
                self.left -= 1
                return True
            return False


class Connection:
    """One client's connection through the proxy."""

    def __init__(self, proxy, client, server):
        self.is_swallowed = False
        self._proxy = proxy
        self._client = client
        self._server = server
        self._sent = b""
        self._cut_at_answer = None

    def start(self):
        for pump in (self._forward, self._answer):
            threading.Thread(target=self._guarded, args=(pump,), daemon=True).start()

    def has_sent(self, pattern):
        """Tell whether the client has sent `pattern`, among what the proxy remembers."""
        return pattern in self._sent

    def swallow(self):
        """Let nothing through any more, in either direction, without telling anybody."""
        self.is_swallowed = True

    def reset(self):
        """End both sides by a TCP reset."""
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        self.close()

    def half_close(self):
        """Tell the client that no more answers come; what it sends still arrives."""
        with contextlib.suppress(OSError):
            self._client.shutdown(socket.SHUT_WR)

    def close(self):
        for end in (self._client, self._server):
            # A thread that waits in recv() keeps the socket open; the reset must still be one.
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RD)
            end.close()
        self._proxy.connections.discard(self)

    def _guarded(self, pump):
        try:
            pump()
        except OSError:
            pass
        finally:
            self.close()

    def _forward(self):
        while data := self._client.recv(_CHUNK):
            if self.is_swallowed:
                continue
            cut = self._proxy.cut_met_by(self._sent, data)
            self._sent = (self._sent + data)[-self._proxy.remembered :]
            if cut and not cut.after:
                cut.happened += 1
                self.reset()
                return
            self._cut_at_answer = cut
            self._pass(data, self._server)

    def _answer(self):
        while data := self._server.recv(_CHUNK):
            if self.is_swallowed:
                continue
            if self._cut_at_answer:
                self._cut_at_answer.happened += 1
                self.reset()
                return
            self._pass(data, self._client)
        if self.is_swallowed:
            # The server has given up; the client never learns it.
            self._proxy.ended.wait()

    def _pass(self, data, end):
        if self._proxy.delay:
            time.sleep(self._proxy.delay)
        end.sendall(data)


class Proxy:
    """Listen on a free port and pass on what comes to `host`, `port`.

    Of each connection it remembers the last megabyte, or fewer bytes under load: they are copied each time.
    """

    def __init__(self, host, port, remembered=2**20):
        self.delay = 0.0
        self.remembered = remembered
        self.connections = set()
        self.ended = threading.Event()
        self._target = (host, port)
        self._swallows = False
        self._refuses = False
        self._cuts = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset()

    def swallow(self):
        """Make all connections half open, and accept new ones without an answer (a black hole)."""
        self._swallows = True
        for connection in list(self.connections):
            connection.swallow()

    def refuse(self):
        """Reset all connections and each new one."""
        self._refuses = True
        self.reset()

    def slow_down(self, seconds):
        """Hold back each packet, in each direction."""
        self.delay = seconds

    def pass_on(self):
        """Serve new connections as they should be, without delay; forget appointments to cut."""
        self._swallows = self._refuses = False
        self.delay = 0.0
        self._cuts = []

    def reset(self):
        """Reset the connections there are."""
        for connection in list(self.connections):
            connection.reset()

    def cut(self, patterns, *, after=False, times=1):
        """Reset a connection around the next `times` sends of one of `patterns`; return the appointment."""
        cut = Cut(patterns, after=after, times=times)
        self._cuts = [*self._cuts, cut]
        return cut

    def cut_met_by(self, before, data):
        return next((cut for cut in self._cuts if cut.meets(before, data)), None)

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refuses:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
                client.close()
                continue
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self, client, server)
            self.connections.add(connection)
            if self._swallows:
                connection.swallow()
            connection.start()
