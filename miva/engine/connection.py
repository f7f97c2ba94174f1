"""A connection of the engine's door that can say several things in one write."""

from __future__ import annotations

from collections.abc import Sequence

from websockets.asyncio.server import ServerConnection


class Connection(ServerConnection):
    """For `serve` (`create_connection`)."""

    async def send_together(self, messages: Sequence[str]) -> None:
        """Sends text messages; returns when the socket takes more. Raises ConnectionClosed.

        Each alone would be a system call here, and a step of the event loop over there.
        """
        async with self.send_context():
            for message in messages:
                self.protocol.send_text(message.encode())
            self.transport.write(b"".join(self.protocol.data_to_send()))
